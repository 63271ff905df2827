"""Many records in one body: where each begins and ends, byte for byte.

Cutting is lenient where it can be, so that a record that is not strict JSON (a repeated
member name, a lone surrogate, bytes that are not UTF-8) costs only itself; whoever
reads a record decides what becomes of it.
"""

import json
import re

from provlog.server.intake.problems import EventError

MAX_BATCH_EVENTS = 1000
MAX_BATCH_BYTES = 8 * 1024 * 1024

_SCANNER = json.JSONDecoder(strict=False, parse_int=len, parse_float=len)
_BLANKS = re.compile(r"[ \t\r\n]*")


def check_batch_size(body: bytes) -> None:
    """Raise `EventError` (413) when a body is longer than a batch may be."""
    if len(body) > MAX_BATCH_BYTES:
        raise EventError(413, f"a batch has at most {MAX_BATCH_BYTES} bytes")


def cut_array(body: bytes) -> list[bytes]:
    """Return the elements of a JSON array, each exactly as it stands in `body`.

    Raises `EventError`: 400 when the body is not one array, 413 when it holds more than
    `MAX_BATCH_EVENTS` elements or is longer than `MAX_BATCH_BYTES`.
    """
    check_batch_size(body)
    # Latin-1 maps each byte to one character, so positions in the text are positions in
    # the body, and all that structures JSON is ASCII.
    text = body.decode("latin-1")
    position = _skip_blanks(text, 0)
    if text[position : position + 1] != "[":
        raise EventError(400, "not a JSON array")
    elements: list[bytes] = []
    position = _skip_blanks(text, position + 1)
    if text[position : position + 1] == "]":
        _require_end(text, position + 1)
        return elements
    while True:
        end = _scan(text, position)
        elements.append(body[position:end])
        _check_count(len(elements))
        end = _skip_blanks(text, end)
        separator = text[end : end + 1]
        if separator == "]":
            _require_end(text, end + 1)
            return elements
        if separator != ",":
            raise EventError(400, f"not a JSON array (at byte {end})")
        position = _skip_blanks(text, end + 1)


def cut_lines(body: bytes) -> list[bytes]:
    """Return the lines of an NDJSON body that are not blank, without outer blanks.

    Raises `EventError` (413) when there are more than `MAX_BATCH_EVENTS` or the body is
    longer than `MAX_BATCH_BYTES`.
    """
    check_batch_size(body)
    lines = [line.strip(b" \t\r") for line in body.split(b"\n")]
    records = [line for line in lines if line]
    _check_count(len(records))
    return records


def is_json_object(data: bytes) -> bool:
    """Tell whether `data` is one JSON object and nothing else, read leniently."""
    text = data.decode("latin-1")
    if not text.startswith("{"):
        return False
    try:
        return _SCANNER.raw_decode(text)[1] == len(text)
    except (ValueError, RecursionError):
        return False


def _scan(text: str, position: int) -> int:
    try:
        return _SCANNER.raw_decode(text, position)[1]
    except ValueError:
        raise EventError(400, f"not JSON (element at byte {position})") from None
    except RecursionError:
        raise EventError(400, f"nested too deeply (at byte {position})") from None


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _require_end(text: str, position: int) -> None:
    if _skip_blanks(text, position) != len(text):
        raise EventError(400, "something follows the JSON array")


def _check_count(count: int) -> None:
    if count > MAX_BATCH_EVENTS:
        raise EventError(413, f"a batch has at most {MAX_BATCH_EVENTS} events")
