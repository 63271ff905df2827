"""`provlog submit`: send events, verify what comes back, keep the receipts."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provlog.client.answers import Receipt
from provlog.client.cli.output import note, print_json, progress, save
from provlog.client.cli.settings import Settings, connecting, json_option, read_file
from provlog.client.errors import (
    RefusedError,
    UnavailableError,
    UsageError,
    printable,
)
from provlog.client.events import JsonObject, read_events
from provlog.client.records import FORMATS, cut_records
from provlog.merkle.encoding import JsonValue

if TYPE_CHECKING:
    from provlog.client.aio import Result
    from provlog.client.sync import Client

MAX_INPUT = 1 << 30


@click.command()
@click.argument(
    "file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option(
    "--format",
    "format_",
    metavar="NAME",
    help="FILE holds records of a provider, for the server to translate: "
    f"{', '.join(FORMATS)}.",
)
@click.option("--source", metavar="URI", help="With --format: whose records these are.")
@click.option(
    "--receipts",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Store each receipt as DIR/<index>.receipt.json (they hold personal data).",
)
@click.option(
    "--witnessed",
    is_flag=True,
    help="Insist on receipts that witnesses cosigned; --policy asks for a quorum then.",
)
@json_option
@connecting
def submit(
    file: Path,
    format_: str | None,
    source: str | None,
    receipts: Path | None,
    witnessed: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Send the events of FILE (- for standard input) and verify their receipts.

    FILE holds one event, one event a line, or a JSON array of events; an event is a
    CloudEvent 1.0. To submit an event again is safe: the log has one entry for each
    source and id, and answers with its receipt. An event without id gets a new one each
    time it is submitted.

    \b
    Examples:
      provlog submit event.json --receipts receipts/
      jq -c '.[]' today.json | provlog submit - --json
      provlog submit --format okta --source urn:okta:acme system-log.ndjson

    Prints a line for each event. Exit code 2 if any was refused, 3 if the server is
    unavailable, 1 if an answer does not verify.
    """
    if (format_ is None) != (source is None):
        raise UsageError("--format and --source go together")
    raw = read_file(file, MAX_INPUT + 1)
    if len(raw) > MAX_INPUT:
        raise UsageError(f"{file}: larger than {MAX_INPUT} bytes; send it in parts")
    if receipts is not None:
        _make_folder(receipts)
    report = _Report(receipts, as_json=as_json)
    make = partial(settings.client, wait_witnessed=witnessed)
    if format_ is not None and source is not None:
        _submit_records(make, report, format_, source, raw)
    else:
        _submit_events(settings, make, report, read_events(raw))
    report.finish()


def _submit_events(
    settings: Settings,
    make: Callable[[], "Client"],
    report: "_Report",
    events: Sequence[JsonObject],
) -> None:
    with make() as client, progress("submitting", len(events)) as advance:

        def done(results: Sequence["Result"]) -> None:
            report.add(results)
            advance(len(results))

        try:
            client.submit_batch(events, on_results=done)
        except UnavailableError as error:
            _explain_unsettled(error, settings, events)
            raise


def _submit_records(
    make: Callable[[], "Client"],
    report: "_Report",
    format_: str,
    source: str,
    raw: bytes,
) -> None:
    total = len(cut_records(raw, format_).items)
    with make() as client, progress("submitting", total) as advance:

        def done(results: Sequence["Result"]) -> None:
            report.add(results)
            advance(len(results))

        try:
            client.submit_records(format_, source, raw, on_results=done)
        except UnavailableError as error:
            error.add_note("Submit the same file again: nothing is logged twice.")
            raise


def _explain_unsettled(
    error: UnavailableError, settings: Settings, events: Iterable[JsonObject]
) -> None:
    """Say how to go on without making second entries of what may have been logged."""
    count = len(error.unsettled)
    if all(event.get("id") is not None for event in events):
        error.add_note(
            f"{count} event(s) have no receipt yet. Submit the same file again: "
            "nothing is logged twice."
        )
        return
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in error.unsettled)
    path = settings.memory().keep("unsettled", "ndjson", lines)
    error.add_note(
        f"{count} event(s) have no receipt yet. They are kept, with the ids they were "
        f"given, in {path}: submit that file, and remove it."
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from None


class _Report:
    """Prints and stores results as they come in, and counts them."""

    def __init__(self, receipts: Path | None, *, as_json: bool) -> None:
        self._receipts = receipts
        self._as_json = as_json
        self._place = 0
        self._logged = self._known = self._refused = 0

    def add(self, results: Sequence["Result"]) -> None:
        for result in results:
            self._place += 1
            if isinstance(result, RefusedError):
                self._add_refused(result)
            else:
                self._add_receipt(result)

    def finish(self) -> None:
        if not self._as_json:
            note(
                f"{self._logged} logged, {self._known} known before, "
                f"{self._refused} refused; all receipts verified"
            )
        if self._refused:
            raise click.exceptions.Exit(2)

    def _add_refused(self, error: RefusedError) -> None:
        self._refused += 1
        if self._as_json:
            print_json(_refusal_json(error, self._place))
        else:
            where = "" if error.index is None else f" (entry {error.index})"
            click.echo(f"refused  event {self._place}: {error}{where}")

    def _add_receipt(self, receipt: Receipt) -> None:
        if receipt.created:
            self._logged += 1
        else:
            self._known += 1
        path = self._store(receipt)
        body = receipt.verified.entry.body
        if self._as_json:
            line: dict[str, JsonValue] = {
                "event": self._place,
                "status": 201 if receipt.created else 200,
                "index": receipt.index,
                "origin": receipt.verified.origin,
                "source": body["source"],
                "type": body["type"],
                "id": _event_id(receipt),
            }
            if path is None:
                print_json({**line, "receipt": receipt.json})
            else:
                print_json({**line, "file": str(path)})
        else:
            verb = "logged" if receipt.created else "known"
            shown = printable(str(_event_id(receipt)))
            click.echo(f"{verb:7}  {receipt.index}  {body['type']}  {shown}")

    def _store(self, receipt: Receipt) -> Path | None:
        if self._receipts is None:
            return None
        path = self._receipts / f"{receipt.index}.receipt.json"
        _require_same_log(path, receipt.verified.origin)
        save(path, json.dumps(receipt.json).encode() + b"\n")
        return path


def _event_id(receipt: Receipt) -> JsonValue:
    member = receipt.verified.disclosures.get("event")
    value = member.value if member else None
    return value.get("id") if isinstance(value, dict) else None


def _refusal_json(error: RefusedError, place: int) -> Mapping[str, JsonValue]:
    line: dict[str, JsonValue] = {
        "event": place,
        "status": error.status,
        "error": str(error),
    }
    for name in ("kind", "pointer", "index"):
        value = getattr(error, name)
        if value is not None:
            line[name] = value
    return line


def _require_same_log(path: Path, origin: str) -> None:
    """Refuse to write over another log's receipt: it may be the only one there is."""
    try:
        there = json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        there = None
    if not isinstance(there, dict) or there.get("origin") != origin:
        raise UsageError(
            f"{path} is not a receipt of this log, and is not overwritten: give each "
            "log a folder of its own"
        )
