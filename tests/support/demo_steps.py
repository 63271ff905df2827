"""How the demo's steps are held to what they promise, and printed."""

import json
from typing import Any

import click

Json = dict[str, Any]


class DemoError(Exception):
    """A step did not hold."""


def require(condition: bool, message: str) -> None:
    """Raise `DemoError` with the message unless the condition holds."""
    if not condition:
        raise DemoError(message)


def count(number: int, what: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def lines(output: str) -> list[Json]:
    """Return the JSON objects of a command's output, one on each line."""
    return [json.loads(line) for line in output.splitlines()]


def title(text: str) -> None:
    """Print the headline of a step."""
    click.secho(f"\n{text}", bold=True)


def held(text: str) -> None:
    """Print something that held."""
    click.echo(f"  {click.style('✓', fg='green')} {text}")


def shown(name: str, text: str) -> None:
    """Print a value under its name."""
    click.echo(f"    {click.style(f'{name:<11}', dim=True)}{text}")
