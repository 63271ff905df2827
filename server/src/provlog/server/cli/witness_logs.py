"""`provlog-server witness log`: which logs a witness knows."""

import re
from pathlib import Path

import click

from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.log_list import MAX_CONTACT, MAX_RATE
from provlog.server.cli.common import json_option, print_json, print_table
from provlog.server.cli.witness_keys import dir_option
from provlog.server.errors import ConfigurationError
from provlog.server.witness.roll import add_log
from provlog.server.witness.store import DATABASE, WitnessStore

_RATE = re.compile(r"([1-9][0-9]{0,9})/day", re.ASCII)


@click.group()
def log() -> None:
    """Add, list and remove logs; a running witness takes changes up at once."""


@log.command("add")
@dir_option
@click.argument("vkey")
@click.option("--origin", help="The log's origin.  [default: the name of its key]")
@click.option(
    "--rate",
    metavar="N/day",
    help="How often the log may grow in a day.  [default: 86400/day]",
)
@click.option(
    "--contact", default="", help="How its operator is reached; shown to all."
)
@json_option
def log_add(
    folder: Path,
    vkey: str,
    origin: str | None,
    rate: str | None,
    contact: str,
    as_json: bool,
) -> None:
    """Know a log by its verifier key, or by a further one.

    Checkpoints are taken that any of a log's keys signed: add the new key before the
    log signs with it, and remove the old one when it is retired.

    \b
    provlog-server witness log add --dir witness "$LOG_KEY" --rate 8640/day
    provlog-server witness log add --dir witness --origin "go.sum database tree" \\
        sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8
    """
    if len(contact) > MAX_CONTACT or not contact.isprintable():
        raise ConfigurationError(f"--contact has {MAX_CONTACT} printable characters")
    store = WitnessStore(folder / DATABASE)
    try:
        added = add_log(store, vkey, origin, _parse_rate(rate), contact)
    finally:
        store.close()
    if as_json:
        print_json({"origin": added})
    else:
        click.echo(f"log {added}")


@log.command("remove")
@dir_option
@click.argument("vkey")
@click.option("--origin", help="The log's origin.  [default: the name of its key]")
@json_option
def log_remove(folder: Path, vkey: str, origin: str | None, as_json: bool) -> None:
    """Forget a log's key, and with its last key the log.

    What was cosigned of it is remembered all the same: if it is added again, it has to
    go on from there.
    """
    try:
        chosen = VerifierKey.parse(vkey).name if origin is None else origin
    except MalformedError as error:
        raise ConfigurationError(str(error)) from None
    store = WitnessStore(folder / DATABASE)
    try:
        found = store.settle(lambda writing: writing.remove_key(chosen, vkey))
    finally:
        store.close()
    if not found:
        raise ConfigurationError("no such log has this key; see witness log list")
    if as_json:
        print_json({"removed": True})
    else:
        click.echo("removed")


@log.command("list")
@dir_option
@json_option
def log_list(folder: Path, as_json: bool) -> None:
    """List the logs that were added, and what was last cosigned of each.

    Those that `serve --logs` reads from files are listed at GET /logs.
    """
    store = WitnessStore(folder / DATABASE)
    try:
        rows = [(row, store.head(row.origin)) for row in store.logs()]
    finally:
        store.close()
    if as_json:
        print_json(
            [
                {
                    "origin": row.origin,
                    "rate": row.rate,
                    "contact": row.contact,
                    "vkeys": [*row.vkeys],
                    "size": None if head is None else head.size,
                    "time": None if head is None else head.time,
                }
                for row, head in rows
            ]
        )
        return
    cells = [
        (
            row.origin,
            str(len(row.vkeys)),
            f"{row.rate}/day",
            "-" if head is None else str(head.size),
        )
        for row, head in rows
    ]
    print_table(cells, ("ORIGIN", "KEYS", "RATE", "SIZE"))


def _parse_rate(text: str | None) -> int | None:
    if text is None:
        return None
    match = _RATE.fullmatch(text)
    if match is None or int(match[1]) > MAX_RATE:
        raise ConfigurationError(f"--rate: {text!r} is no rate; write 8640/day")
    return int(match[1])
