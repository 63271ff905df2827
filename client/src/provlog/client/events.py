"""Events on their way out: an id before the first attempt, and batches that fit."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

from provlog.client.errors import UsageError
from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError

MAX_BATCH_EVENTS = 1000
MAX_BATCH_BYTES = 8 << 20

JsonObject = dict[str, JsonValue]
T = TypeVar("T")

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Submission:
    """One event as it is sent, in every attempt.

    `event` is what a reader of `body` gets. `minted` tells that the id is fresh and
    the client's own, so that the log cannot have known it before.
    """

    event: JsonObject
    body: bytes
    minted: bool


def prepare(event: Mapping[str, JsonValue]) -> Submission:
    """Return an event ready to be sent, with an id (UUID 4) if it had none.

    `specversion` is filled in as well; everything else is the server's to judge. Raises
    `UsageError` for what is not JSON.
    """
    whole = {"specversion": "1.0", **event}
    minted = whole.get("id") is None
    if minted:
        whole["id"] = str(uuid4())
    try:
        body = _ENCODER.encode(whole).encode("utf-8")
        # What the server will read: 1 for a key becomes "1", a tuple a list.
        sent = loads_json(body, "event")
    except (TypeError, ValueError, RecursionError, MalformedError) as error:
        raise UsageError(f"not an event in JSON: {error}") from None
    assert isinstance(sent, dict)  # noqa: S101  a dict was encoded
    return Submission(sent, body, minted)


def split_batches(submissions: Iterable[Submission]) -> Iterator[list[Submission]]:
    """Yield the submissions in order, in batches that a server takes."""
    return split(submissions, lambda each: len(each.body), MAX_BATCH_EVENTS)


def split(
    items: Iterable[T], length: Callable[[T], int], most: int
) -> Iterator[list[T]]:
    """Yield the items in order, in batches of `most` at most that fit into one body.

    `length` is the number of bytes of an item. One that is too long for any body is a
    batch of its own, for the server to refuse.
    """
    batch: list[T] = []
    # Two brackets, and a comma for each item but one.
    size = 1
    for item in items:
        needed = length(item) + 1
        if batch and (len(batch) == most or size + needed > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 1
        batch.append(item)
        size += needed
    if batch:
        yield batch


def join_batch(bodies: Iterable[bytes]) -> bytes:
    """Return JSON texts as one JSON array; each stands in it byte for byte."""
    return b"[%b]" % b",".join(bodies)


def read_events(raw: bytes) -> list[JsonObject]:
    """Return the events of a file: a JSON array, lines of JSON, or one object.

    Raises `UsageError` with the place of what is not JSON, or not an object.
    """
    return [_read_event(text, place) for place, text in enumerate(cut_values(raw), 1)]


def _read_event(text: bytes, place: int) -> JsonObject:
    try:
        event = loads_json(text, f"event {place}")
    except MalformedError as error:
        raise UsageError(str(error)) from None
    if not isinstance(event, dict):
        raise UsageError(f"event {place}: not a JSON object")
    return event


def cut_values(raw: bytes) -> list[bytes]:
    """Return JSON values, each byte for byte as it stands in `raw`.

    `raw` is a JSON array, lines of JSON, or one JSON value. Raises `UsageError` where
    it is none of these, with the place.
    """
    try:
        text = raw.decode("utf-8")
        place = _skip_space(text, 0)
        cut = _cut_array if text[place : place + 1] == "[" else _cut_stream
        return [record.encode("utf-8") for record in cut(text, place)]
    except UnicodeDecodeError:
        raise UsageError("not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise UsageError("nested too deeply") from None


_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


def _skip_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _cut_stream(text: str, place: int) -> Iterator[str]:
    while place < len(text):
        _, end = _DECODER.raw_decode(text, place)
        yield text[place:end]
        place = _skip_space(text, end)


def _cut_array(text: str, place: int) -> Iterator[str]:
    place = _skip_space(text, place + 1)
    closed = text[place : place + 1] == "]"
    while not closed:
        _, end = _DECODER.raw_decode(text, place)
        yield text[place:end]
        place = _skip_space(text, end)
        closed = text[place : place + 1] == "]"
        if not closed:
            if text[place : place + 1] != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
            place = _skip_space(text, place + 1)
    if _skip_space(text, place + 1) != len(text):
        raise json.JSONDecodeError("Extra data", text, place + 1)
