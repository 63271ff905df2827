"""What `serve` says once it serves."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click
import msgspec

from provlog.server.log import Log


class OpenLog(msgspec.Struct, frozen=True):
    """What is said of one log."""

    name: str
    size: int
    log_key: str

    @classmethod
    def of(cls, log: Log) -> Self:
        """Return what is to be said of an open log."""
        return cls(log.record.name, log.released.size, log.announced.newest)


class Announcement(msgspec.Struct, frozen=True):
    """Where the API is served, and which logs."""

    url: str
    logs: list[OpenLog]


@dataclass(frozen=True, slots=True)
class Announcer:
    """Prints what is served, as text for people or a line of JSON."""

    folder: Path
    as_json: bool
    public_url: str | None

    def print(self, made: Announcement, metrics_urls: list[str]) -> None:
        """Print it."""
        if self.as_json:
            self._print_json(made, metrics_urls)
        else:
            self._print_text(made, metrics_urls)

    def _print_json(self, made: Announcement, metrics_urls: list[str]) -> None:
        line = {
            "url": made.url,
            "metrics_url": metrics_urls[0] if metrics_urls else None,
            "metrics_urls": metrics_urls,
            "log_keys": {log.name: log.log_key for log in made.logs},
        }
        if self.public_url is not None:
            line["public_url"] = self.public_url
        click.echo(json.dumps(line))

    def _print_text(self, made: Announcement, metrics_urls: list[str]) -> None:
        for log in made.logs:
            click.echo(f"log {log.name}, size {log.size}")
            click.echo(f"  log key {log.log_key}")
        metrics = f", metrics on {', '.join(metrics_urls)}" if metrics_urls else ""
        click.echo(f"serving on {made.url}{metrics}")
        if self.public_url is not None:
            click.echo(f"reached at {self.public_url}")
        env = self.folder / "dev.env"
        if env.exists():
            click.echo("\nIn another terminal:")
            click.echo(f"  source {env}")
            click.echo("  .venv/bin/provlog submit docs/examples/role-assign.json")
