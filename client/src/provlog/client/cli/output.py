"""What commands print: results to standard output, everything else to standard error.

Text that came from files and servers goes through `printable` or JSON, so that it
cannot drive the terminal.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from provlog.client.errors import UsageError, printable
from provlog.client.memory import write_private
from provlog.merkle.encoding import JsonValue, encode_base64, format_time
from provlog.merkle.receipts import VerifiedReceipt
from provlog.merkle.trust import SignedCheckpoint


def print_json(value: Mapping[str, JsonValue]) -> None:
    """Print one object on one line."""
    click.echo(json.dumps(value))


def note(text: str) -> None:
    """Tell the person something that is no result."""
    click.echo(text, err=True)


def note_missed(served: int, missed: int | None) -> None:
    """Tell the person that the log serves an older head than one it signed before."""
    if missed is not None:
        note(
            f"STALE: the log serves its tree of {served} entries, having signed "
            f"{missed}: of what came after, nothing is told"
        )


def save(path: Path, data: bytes) -> None:
    """Write a file of mode 0600, whole or not at all; raises `UsageError`."""
    try:
        write_private(path, data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def describe_receipt(receipt: VerifiedReceipt) -> Iterator[str]:
    """Yield the lines that tell a person what a receipt proves, naming nobody."""
    size = receipt.checkpoint.checkpoint.size
    yield f"entry {receipt.index} of {printable(receipt.origin)}, a log of {size}"
    entry = receipt.entry
    if not entry.understood:
        yield f"of kind {printable(entry.kind)!r}, which this program does not know"
        return
    kind = entry.kind
    if kind == "event":
        kind = f"{entry.body['type']} from {entry.body['source']}"
    yield f"{kind}, recorded {format_time(entry.recorded)}"
    if receipt.disclosures:
        yield f"opened: {', '.join(sorted(receipt.disclosures))}"
    if receipt.withheld:
        yield f"withheld: {', '.join(receipt.withheld)}"
    if receipt.openings is not None and receipt.openings.labels:
        yield f"labels claimed: {len(receipt.openings.labels)}"


def receipt_summary(receipt: VerifiedReceipt) -> dict[str, JsonValue]:
    """Return what a receipt proves as JSON, naming nobody."""
    entry = receipt.entry
    summary: dict[str, JsonValue] = {
        "origin": receipt.origin,
        "index": receipt.index,
        "size": receipt.checkpoint.checkpoint.size,
        "kind": entry.kind,
        "understood": entry.understood,
    }
    for name in ("type", "source", "seq", "time", "recorded"):
        if entry.understood and name in entry.body:
            summary[name] = entry.body[name]
    summary["opened"] = list[JsonValue](sorted(receipt.disclosures))
    summary["withheld"] = list[JsonValue](receipt.withheld)
    return summary


def checkpoint_json(signed: SignedCheckpoint) -> dict[str, JsonValue]:
    """Return a verified checkpoint as JSON."""
    checkpoint = signed.checkpoint
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": encode_base64(checkpoint.root),
        "log_key": signed.log_key.vkey(),
        "cosignatures": [
            {"witness": each.witness, "timestamp": each.timestamp}
            for each in signed.cosignatures
        ],
        "note": signed.note.decode("utf-8"),
    }


@contextlib.contextmanager
def progress(
    what: str, total: int, *, done: int = 0, unit: str = ""
) -> Iterator[Callable[[int], None]]:
    """Show a bar while something long is done; yields what to call with each advance.

    With a `unit` it also shows how many of it are done in a second. There is none where
    standard error is not a terminal.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    columns = Progress.get_default_columns()
    if unit:
        # The default ones end with the time that is left.
        rate = TextColumn("{task.fields[rate]:,.0f} " + unit + "/s")
        columns = (*columns[:-1], rate, columns[-1])
    console = Console(stderr=True)
    started = time.monotonic()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done, rate=0.0)
        advanced = 0

        def advance(count: int) -> None:
            nonlocal advanced
            advanced += count
            seconds = max(time.monotonic() - started, 0.001)
            bar.update(task, advance=count, rate=advanced / seconds)

        yield advance
