"""Many records in one body: where each begins and ends, byte for byte.

Cutting is lenient where it can be, so that a record that is not strict JSON (a repeated
member name, a lone surrogate, bytes that are not UTF-8) costs only itself; whoever
reads a record decides what becomes of it.

A long body takes long to cut and to read. Both go in steps, each of them an item of an
iterator: between two of them other requests can have their turn.
"""

import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeVar

from provlog.server.intake.problems import EventError

MAX_BATCH_EVENTS = 1000
MAX_BATCH_BYTES = 8 * 1024 * 1024

STEP_RECORDS = 32
STEP_BYTES = 64 * 1024
"""About how much is cut or read in one step; one record is never divided."""

WINDOW = 512 * 1024
"""How long a value may be that is read as JSON; of a longer one only the end is found,
by its brackets. No event is as long."""

MAX_BRACKETS = 500_000
STEP_BRACKETS = 16_384
MAX_MEMBERS = 1_000
"""How many members an object may have that an array is looked for in."""

T = TypeVar("T")

_SCANNER = json.JSONDecoder(strict=False, parse_int=len, parse_float=len)
_BLANKS = re.compile(r"[ \t\r\n]*")
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NO_BRACKETS = re.compile(r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)


def check_batch_size(body: bytes) -> None:
    """Raise `EventError` (413) when a body is longer than a batch may be."""
    if len(body) > MAX_BATCH_BYTES:
        raise EventError(413, f"a batch has at most {MAX_BATCH_BYTES} bytes")


def in_steps(
    records: Iterable[bytes],
    read: Callable[[bytes], list[T]],
    weigh: Callable[[list[T]], int] = len,
) -> Iterator[list[T]]:
    """Yield what `read` makes of the records, of some of them at a time.

    `weigh` tells how many things it made of one: few records may make many.
    """
    made: list[T] = []
    looked = count = 0
    for record in records:
        part = read(record)
        made += part
        looked, count = looked + len(record), count + max(1, weigh(part))
        if looked >= STEP_BYTES or count >= STEP_RECORDS:
            yield made
            made, looked, count = [], 0, 0
    if made:
        yield made


def cut_array(body: bytes, most: int = MAX_BATCH_EVENTS) -> Iterator[list[bytes]]:
    """Yield the elements of a JSON array, each exactly as it stands in `body`.

    In steps, some of which may be empty. Raises `EventError` on the way: 400 when the
    body is not one array, 413 when it holds more than `most` elements or is longer than
    `MAX_BATCH_BYTES`.
    """
    check_batch_size(body)
    # Latin-1 maps each byte to one character, so positions in the text are positions in
    # the body, and all that structures JSON is ASCII.
    text = body.decode("latin-1")
    position = _skip_blanks(text, 0)
    if text[position : position + 1] != "[":
        raise EventError(400, "not a JSON array")
    position = _skip_blanks(text, position + 1)
    if text[position : position + 1] == "]":
        _require_end(text, position + 1)
        return
    window, elements, count, begun = _Window(text), list[bytes](), 0, position
    while True:
        end = yield from window.pass_value(position)
        elements.append(body[position:end])
        count += 1
        _check_count(count, most)
        end = _skip_blanks(text, end)
        separator = text[end : end + 1]
        if separator != ",":
            break
        position = _skip_blanks(text, end + 1)
        if position - begun >= STEP_BYTES:
            yield elements
            elements, begun = [], position
    if separator != "]":
        raise EventError(400, f"not a JSON array (at byte {end})")
    _require_end(text, end + 1)
    yield elements


def cut_member(body: bytes, path: Sequence[str], most: int) -> Iterator[list[bytes]]:
    """Yield the elements of an array inside a JSON object, as `cut_array` does.

    `path` holds the names of the members that lead to it. Raises `EventError` 400 also
    where one of them is missing or repeated, 413 where it is one of more than
    `MAX_MEMBERS`.
    """
    for name in path:
        found = yield from find_members(body, (name,))
        if name not in found:
            raise EventError(400, f"not one member {name}")
        body = found[name]
    yield from cut_array(body, most)


def find_members(
    body: bytes, names: Sequence[str]
) -> Generator[list[bytes], None, dict[str, bytes]]:
    """Return the values of those members of a JSON object that it has, as they stand.

    Yields empty steps. Raises `EventError` as `cut_member` does, but for none of them.
    """
    check_batch_size(body)
    found = yield from _find_members(body.decode("latin-1"), names)
    return {name: body[place] for name, place in found.items()}


def cut_lines(body: bytes) -> Iterator[list[bytes]]:
    """Yield the lines of an NDJSON body that are not blank, without outer blanks.

    In steps. Raises `EventError` (413) when there are more than `MAX_BATCH_EVENTS` or
    the body is longer than `MAX_BATCH_BYTES`.
    """
    check_batch_size(body)
    lines = (match[0].rstrip(b" \t\r") for match in _LINE.finditer(body))
    count = 0
    for step in in_steps(lines, lambda line: [line]):
        count += len(step)
        _check_count(count, MAX_BATCH_EVENTS)
        yield step


def is_json_object(data: bytes) -> bool:
    """Tell whether `data` is one JSON object and nothing else, read leniently.

    One longer than `WINDOW` is not looked through: its first and last byte decide.
    """
    if len(data) > WINDOW:
        return data.startswith(b"{") and data.endswith(b"}")
    text = data.decode("latin-1")
    if not text.startswith("{"):
        return False
    try:
        return _SCANNER.raw_decode(text)[1] == len(text)
    except (ValueError, RecursionError):
        return False


class _Window:
    """Finds ends of values in a long text without ever reading far beyond them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._start = 0
        self._part = text[:WINDOW]

    def pass_value(self, position: int) -> Generator[list[bytes], None, int]:
        """Return where the value at `position` ends, after empty steps if it is long.

        Raises `EventError` (400) where no JSON value stands.
        """
        end = self.end_of(position)
        if end is None:
            end = yield from _pass_long(self._text, position)
        return end

    def end_of(self, position: int) -> int | None:
        """Return where the value at `position` ends, None if that is too far away.

        Raises `EventError` (400) where no JSON value stands.
        """
        end = self._scan(position)
        if end is None and position > self._start:
            self._start = position
            self._part = self._text[position : position + WINDOW]
            end = self._scan(position)
        if end is None and self._is_last():
            raise _no_json(position)
        return end

    def _is_last(self) -> bool:
        return self._start + len(self._part) == len(self._text)

    def _scan(self, position: int) -> int | None:
        try:
            end = _SCANNER.raw_decode(self._part, position - self._start)[1]
        except ValueError:
            return None
        except RecursionError:
            raise EventError(400, f"nested too deeply (at byte {position})") from None
        if end == len(self._part) and not self._is_last():
            return None  # a number may go on
        return self._start + end


def _find_members(
    text: str, wanted: Sequence[str]
) -> Generator[list[bytes], None, dict[str, slice]]:
    """Return where in the object that `text` is the values of some members are."""
    window, found = _Window(text), dict[str, slice]()
    begun = position = _pass_mark(text, 0, "{")
    if text[position : position + 1] == "}":
        _require_end(text, position + 1)
        return found
    for _ in range(MAX_MEMBERS):
        match = _STRING.match(text, position)
        if match is None:
            raise _no_json(position)
        position = _pass_mark(text, match.end(), ":")
        end = yield from window.pass_value(position)
        # A name may be spelled with escapes.
        name = json.loads(match[0], strict=False)
        if name in found:
            raise EventError(400, f"not one member {name}")
        if name in wanted:
            found[name] = slice(position, end)
        position = _skip_blanks(text, end)
        if text[position : position + 1] != ",":
            break
        position = _skip_blanks(text, position + 1)
        if position - begun >= STEP_BYTES:
            yield []
            begun = position
    else:
        raise EventError(413, f"an object of more than {MAX_MEMBERS} members")
    _require_end(text, _pass_mark(text, position, "}"))
    return found


def _pass_mark(text: str, position: int, mark: str) -> int:
    position = _skip_blanks(text, position)
    if text[position : position + 1] != mark:
        raise _no_json(position)
    return _skip_blanks(text, position + 1)


def _pass_long(text: str, position: int) -> Generator[list[bytes], None, int]:
    """Find the end of a value that is longer than a window, in empty steps."""
    if text[position] == '"':
        match = _STRING.match(text, position)
        end = match.end() if match else position
    else:
        end = yield from _pass_brackets(text, position)
    if end - position < WINDOW:
        # A value of that length would have been read, had it been JSON.
        raise _no_json(position)
    return end


def _pass_brackets(text: str, position: int) -> Generator[list[bytes], None, int]:
    depth, place, looked = 0, position, 0
    while text[place : place + 1] in ("[", "{", "]", "}"):
        depth += 1 if text[place] in "[{" else -1
        place, looked = place + 1, looked + 1
        if depth <= 0:
            return place
        match = _NO_BRACKETS.match(text, place)
        place = match.end() if match else place
        if looked > MAX_BRACKETS:
            raise EventError(413, f"too much in one value (at byte {position})")
        if looked % STEP_BRACKETS == 0:
            yield []
    raise _no_json(position)


def _no_json(position: int) -> EventError:
    return EventError(400, f"not JSON (element at byte {position})")


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _require_end(text: str, position: int) -> None:
    if _skip_blanks(text, position) != len(text):
        raise EventError(400, "something follows the JSON value")


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise EventError(413, f"a batch has at most {most} events")
