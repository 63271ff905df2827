"""The commands about a spool that need no log: put, look, decide."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provlog.client.cli.output import note, print_json
from provlog.client.cli.settings import json_option, read_file
from provlog.client.errors import UsageError, printable
from provlog.client.events import read_events
from provlog.client.memory import default_folder
from provlog.merkle.encoding import JsonValue, format_time

if TYPE_CHECKING:
    from provlog.client.outbox.items import Item, Status
    from provlog.client.outbox.spool import Spool

MAX_INPUT = 1 << 30

spool_option = click.option(
    "--spool",
    "spool_file",
    envvar="PROVLOG_SPOOL",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The spool's file (by default outbox.spool in the user's state folder).",
)

number_option = click.option(
    "--number",
    "numbered",
    is_flag=True,
    help="Number events that have no id and no sequence, so that gaps can be seen.",
)


def open_spool(
    path: Path | None,
    max_events: int | None = None,
    max_bytes: int | None = None,
    *,
    numbered: bool = False,
    create: bool = True,
) -> "Spool":
    """Return the spool that an option names, or the user's own."""
    from provlog.client.outbox.spool import MAX_BYTES, MAX_EVENTS, Spool

    return Spool(
        path or default_folder() / "outbox.spool",
        max_events=max_events or MAX_EVENTS,
        max_bytes=max_bytes or MAX_BYTES,
        numbered=numbered,
        create=create,
    )


@click.command()
@spool_option
@click.argument(
    "file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option(
    "--format",
    "format_",
    metavar="NAME",
    help="FILE holds records of a provider; NAME as for `provlog submit`.",
)
@click.option("--source", metavar="URI", help="With --format: whose records these are.")
@number_option
@json_option
def put(
    file: Path,
    spool_file: Path | None,
    format_: str | None,
    source: str | None,
    numbered: bool,
    as_json: bool,
) -> None:
    """Put the events of FILE (- for standard input) into the spool, all or none.

    FILE is as for `provlog submit`. When the command returns they are on disk; some
    `provlog spool run` sends them. Exit code 2 if anything is no event, 3 if there is
    no room: then nothing was put.

    \b
    Examples:
      provlog spool put event.json
      echo '{"source":"urn:hr:acme","type":"account.lock"}' | provlog spool put -
    """
    from provlog.client.outbox.items import event_item, record_items

    if (format_ is None) != (source is None):
        raise UsageError("--format and --source go together")
    raw = read_file(file, MAX_INPUT + 1)
    if len(raw) > MAX_INPUT:
        raise UsageError(f"{file}: larger than {MAX_INPUT} bytes; put it in parts")
    if format_ is not None and source is not None:
        items = list(record_items(raw, format_, source))
    else:
        items = [event_item(each) for each in read_events(raw)]
    box = open_spool(spool_file, numbered=numbered)
    try:
        if items:
            box.put(items)
    finally:
        box.close()
    if as_json:
        ids: list[JsonValue] = [each.id for each in items if each.id is not None]
        print_json({"queued": len(items), "ids": ids})
    else:
        note(f"{len(items)} put into the spool")


@click.command()
@spool_option
@click.option("--check", is_flag=True, help="Read all of the file, to find damage.")
@json_option
def status(spool_file: Path | None, check: bool, as_json: bool) -> None:
    """Say what is in the spool.

    \b
    Examples:
      provlog spool status
      provlog spool status --json --check
    """
    from provlog.client.outbox import views

    with _opened(spool_file) as box:
        if check:
            views.check(box)
        found = views.read_status(box)
    if as_json:
        print_json(_status_json(found))
        return
    age = "" if found.oldest is None else f", the oldest for {_age(found.oldest)} s"
    click.echo(f"waiting   {found.waiting}{age}")
    click.echo(f"failed    {found.failed}")
    click.echo(f"receipts  {found.receipts}")
    click.echo(f"sent      {found.sent} since the spool was made")
    click.echo(f"sender    {'running' if found.sending else 'none'}")
    if found.trouble is not None:
        click.echo(f"trouble   {printable(found.trouble)}")


@click.command()
@spool_option
@click.option("--show", is_flag=True, help="Print the events too (personal data).")
@json_option
def failed(spool_file: Path | None, show: bool, as_json: bool) -> None:
    """List what the log refused for good, and why.

    \b
    Examples:
      provlog spool failed
      provlog spool failed --json --show
    """
    from provlog.client.outbox import views

    with _opened(spool_file) as box:
        after = 0
        while page := views.read_failed(box, after=after):
            for item in page:
                _print_failed(item, show=show, as_json=as_json)
            after = page[-1].number


@click.command()
@spool_option
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1))
@click.option("--all", "every", is_flag=True, help="All that failed.")
def retry(spool_file: Path | None, numbers: Sequence[int], every: bool) -> None:
    """Send failed items again, by the numbers that `failed` lists.

    \b
    Examples:
      provlog spool retry 17 18
      provlog spool retry --all
    """
    from provlog.client.outbox import views

    count = _decide(views.retry, spool_file, numbers, every=every)
    note(f"{count} wait again")


@click.command()
@spool_option
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1))
@click.option("--all", "every", is_flag=True, help="All that failed.")
def drop(spool_file: Path | None, numbers: Sequence[int], every: bool) -> None:
    """Remove failed items for good, by the numbers that `failed` lists.

    \b
    Examples:
      provlog spool drop 17
      provlog spool drop --all
    """
    from provlog.client.outbox import views

    count = _decide(views.drop, spool_file, numbers, every=every)
    note(f"{count} dropped")


@click.command()
@spool_option
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--remove", is_flag=True, help="Take them out of the spool then.")
def receipts(spool_file: Path | None, folder: Path, remove: bool) -> None:
    """Write the receipts in the spool to FOLDER/<index>.receipt.json.

    They hold personal data. `provlog verify` takes them.

    \b
    Examples:
      provlog spool receipts kept/
      provlog spool receipts kept/ --remove
    """
    from provlog.client.outbox import views

    with _opened(spool_file) as box:
        count = views.move_receipts(box, folder, remove=remove)
    note(f"{count} written to {folder}")


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator["Spool"]:
    """Yield the spool of an option, which has to exist; close it at the end."""
    box = open_spool(path, create=False)
    try:
        yield box
    finally:
        box.close()


def _decide(
    decide: Callable[[Any, Sequence[int] | None], int],
    path: Path | None,
    numbers: Sequence[int],
    *,
    every: bool,
) -> int:
    if every == bool(numbers):
        raise UsageError("give the numbers of failed items, or --all")
    with _opened(path) as box:
        return decide(box, None if every else numbers)


def _status_json(status: "Status") -> dict[str, JsonValue]:
    oldest = None if status.oldest is None else format_time(status.oldest)
    return {
        "waiting": status.waiting,
        "failed": status.failed,
        "receipts": status.receipts,
        "bytes": status.bytes,
        "oldest": oldest,
        "sent": status.sent,
        "refused": status.refused,
        "dropped": status.dropped,
        "trouble": status.trouble,
        "sending": status.sending,
        "origin": status.origin,
    }


def _print_failed(item: "Item", *, show: bool, as_json: bool) -> None:
    failure = item.failure
    if failure is None:
        return
    body = item.body.decode("utf-8", "replace")
    if as_json:
        line: dict[str, JsonValue] = {
            "item": item.number,
            "source": item.source,
            "id": item.id,
            "format": item.format,
            "put": format_time(item.queued),
            **failure.to_json(),
        }
        print_json({**line, "body": body} if show else line)
        return
    where = "" if failure.index is None else f" (entry {failure.index})"
    named = printable(item.id or item.format or "a line")
    click.echo(f"{item.number}  {named}: {printable(failure.detail)}{where}")
    if show:
        click.echo(f"  {json.dumps(body)}")


def _age(queued: int) -> int:
    return max(int(time.time() - queued / 1000), 0)
