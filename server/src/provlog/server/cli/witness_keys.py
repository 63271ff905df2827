"""`provlog-server witness key`: the witness's own keys, shown and changed."""

from collections.abc import Sequence
from pathlib import Path

import click

from provlog.merkle.encoding import JsonValue
from provlog.server.cli.common import json_option, print_json
from provlog.server.cli.urls import PUBLIC_URL_VARIABLE, parse_public_url
from provlog.server.witness.keys import Generation, KeyFolder, policy_lines

dir_option = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar="PROVLOG_WITNESS_DIR",
    help="Folder of the witness.  [env: PROVLOG_WITNESS_DIR]",
)
url_option = click.option(
    "--public-url",
    "url",
    envvar=PUBLIC_URL_VARIABLE,
    metavar="URL",
    help="Where logs reach the witness; it stands in the policy's lines then."
    f"  [env: {PUBLIC_URL_VARIABLE}]",
)


@click.group()
def key() -> None:
    """Show the witness's keys, add new ones, retire old ones."""


@key.command("list")
@dir_option
@url_option
@json_option
def key_list(folder: Path, url: str | None, as_json: bool) -> None:
    """Print the keys that sign, and the lines of a tlog-policy that name them."""
    public = None if url is None else parse_public_url(url)
    print_generations(KeyFolder(folder).load(), public, as_json=as_json)


@key.command("rotate")
@dir_option
@url_option
@json_option
def key_rotate(folder: Path, url: str | None, as_json: bool) -> None:
    """Make new keys, which sign beside the old ones until those are retired.

    A running witness takes them up within a second. Give the new lines to whoever
    relies on the witness; a policy names old and new in one group of which any is
    enough. When nobody needs the old ones any more, retire them.

    \b
    provlog-server witness key rotate --dir witness \\
        --public-url https://witness.example.com
    provlog-server witness key retire --dir witness 1
    """
    public = None if url is None else parse_public_url(url)
    keys = KeyFolder(folder)
    keys.rotate()
    print_generations(keys.load(), public, as_json=as_json)


@key.command("retire")
@dir_option
@click.argument("generation", type=click.IntRange(min=1))
@json_option
def key_retire(folder: Path, generation: int, as_json: bool) -> None:
    """Let the keys of one generation sign nothing any more.

    Their files are kept with the ending .retired; nothing reads them.
    """
    KeyFolder(folder).retire(generation)
    if as_json:
        print_json({"retired": generation})
    else:
        click.echo(f"generation {generation} signs nothing any more")


def print_generations(
    made: Sequence[Generation], url: str | None, *, as_json: bool
) -> None:
    """Print keys, and what a policy says to rely on them."""
    if as_json:
        generations: list[JsonValue] = [
            {"number": each.number, "vkeys": [*each.vkeys()]} for each in made
        ]
        lines: list[JsonValue] = [*policy_lines(made, url)]
        print_json({"name": made[0].name, "generations": generations, "policy": lines})
        return
    click.echo(f"witness {made[0].name}")
    for each in made:
        click.echo(f"keys of generation {each.number}:")
        for vkey in each.vkeys():
            click.echo(f"  {vkey}")
    click.echo("in a tlog-policy:")
    for line in policy_lines(made, url):
        click.echo(f"  {line}")
