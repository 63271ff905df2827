"""`provlog checkpoint`, `entry` and `proof`: ask a log, and print what was verified."""

import json
from pathlib import Path

import click

from provlog.client.answers import Receipt
from provlog.client.cli.output import (
    checkpoint_json,
    describe_receipt,
    note,
    print_json,
    save,
)
from provlog.client.cli.settings import Settings, connecting, json_option, read_file
from provlog.client.cli.trusting import newest_trust
from provlog.client.errors import UsageError
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

_INDEX = click.IntRange(min=0)
_NOTE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_OUTPUT = click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to FILE instead of standard output.",
)
_SOURCE = click.option("--source", metavar="URI", help="With --id: the event's source.")
_EVENT_ID = click.option("--id", "event_id", metavar="ID", help="The event's own id.")


@click.command()
@click.option(
    "--newer-than",
    type=_INDEX,
    metavar="SIZE",
    help="Wait until the log has more than SIZE entries.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 60),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="With --newer-than: how long to wait at most.",
)
@json_option
@connecting
def checkpoint(
    newer_than: int | None,
    wait: float,
    as_json: bool,
    settings: Settings,
) -> None:
    """Print the log's checkpoint: its signed size and root.

    It is verified, and consistent with the newest one this user has seen of the log.

    \b
    Examples:
      provlog checkpoint > today.checkpoint
      provlog checkpoint --newer-than 1000 --json
    """
    with settings.client() as client:
        signed = client.checkpoint(newer_than=newer_than, wait=wait)
    if as_json:
        print_json(checkpoint_json(signed))
    else:
        click.echo(signed.note, nl=False)


@click.command()
@click.argument("index", type=_INDEX, required=False)
@_SOURCE
@_EVENT_ID
@_OUTPUT
@json_option
@connecting
def entry(
    index: int | None,
    source: str | None,
    event_id: str | None,
    output: Path | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Fetch and verify one entry, by its INDEX or by the event's source and id.

    Prints what the entry's receipt proves; with --json, or into --output, the receipt
    itself, as `provlog verify` takes it. How much it opens depends on the token. Where
    the id of an event asked for by source and id is withheld, nothing proves that the
    entry is that event's, and a line on standard error says so.

    \b
    Examples:
      provlog entry 17
      provlog entry --source urn:okta:acme --id 9f2c --output 9f2c.receipt.json
    """
    with settings.client() as client:
        receipt = client.entry(index, source=source, event_id=event_id)
    _explain_claimed(receipt)
    if output is not None:
        save(output, json.dumps(receipt.json).encode() + b"\n")
    elif as_json:
        print_json(receipt.json)
        return
    for line in describe_receipt(receipt.verified):
        click.echo(line)


@click.group()
def proof() -> None:
    """Fetch and verify a proof about the log."""


@proof.command()
@click.argument("index", type=_INDEX, required=False)
@_SOURCE
@_EVENT_ID
@click.option(
    "--size", type=_INDEX, help="In the tree of this size, not in the newest."
)
@_OUTPUT
@json_option
@connecting
def inclusion(
    index: int | None,
    source: str | None,
    event_id: str | None,
    size: int | None,
    output: Path | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Prove that an entry stands in the log, by its INDEX or its source and id.

    Prints a tlog-proof file. With --size, the proof is in an earlier tree, which is
    proved to be the beginning of the newest; that is printed as JSON.

    \b
    Examples:
      provlog proof inclusion 17 --output 17.tlog-proof
      provlog proof inclusion 17 --size 20 --json
    """
    with settings.client() as client:
        if index is None or source is not None or event_id is not None:
            if size is not None:
                raise UsageError("--size goes with an index")
            found = client.entry(index, source=source, event_id=event_id)
            _explain_claimed(found)
            index = found.index
        proved = client.inclusion(index, size=size)
    text = proved.proof_file()
    if as_json or text is None:
        value: dict[str, JsonValue] = {
            "index": proved.index,
            "size": proved.size,
            "leaf_hash": encode_base64(proved.leaf_hash),
            "hashes": [encode_base64(each) for each in proved.hashes],
            "root": encode_base64(proved.root),
            "consistency": [encode_base64(each) for each in proved.consistency],
            "checkpoint": checkpoint_json(proved.checkpoint),
        }
        text = json.dumps(value) + "\n"
    _write(text, output)


@proof.command()
@click.argument("older", type=_NOTE)
@click.argument("newer", type=_NOTE, required=False)
@_OUTPUT
@json_option
@connecting
def consistency(
    older: Path,
    newer: Path | None,
    output: Path | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Prove that the log only grew between two checkpoints.

    OLDER and NEWER are files as `provlog checkpoint` prints them; without NEWER it is
    the log's newest. If the log cannot prove it, both notes are kept as evidence and
    the exit code is 1.

    \b
    Examples:
      provlog proof consistency yesterday.checkpoint
      provlog proof consistency yesterday.checkpoint today.checkpoint --json
    """
    trust = newest_trust(settings)
    first = _read_checkpoint(older, trust)
    second = None if newer is None else _read_checkpoint(newer, trust)
    with settings.client() as client:
        proved = client.consistency(first, second)
    old, new = proved.older.checkpoint.size, proved.newer.checkpoint.size
    hashes = [encode_base64(each) for each in proved.hashes]
    if as_json or output is not None:
        value: dict[str, JsonValue] = {
            "from": old,
            "to": new,
            "hashes": list[JsonValue](hashes),
            "older": proved.older.note.decode("utf-8"),
            "newer": proved.newer.note.decode("utf-8"),
        }
        _write(json.dumps(value) + "\n", output)
    else:
        click.echo(f"consistent: the log of {new} begins with the log of {old}")


def _explain_claimed(receipt: Receipt) -> None:
    if receipt.id_claimed:
        note(
            f"NOT PROVED: that entry {receipt.index} is of the event asked for. Its id "
            "is withheld from this token, so that is the log's word alone; the entry "
            "itself is verified."
        )


def _read_checkpoint(path: Path, trust: Trust) -> SignedCheckpoint:
    return verify_checkpoint(read_file(path, MAX_NOTE_SIZE + 1), trust)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        save(output, text.encode())
        note(f"written: {output}")
