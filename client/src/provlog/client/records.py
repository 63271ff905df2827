"""A provider's records: where each begins and ends, byte for byte, and how they travel.

Security event tokens in compact form are records as well: on lines of their own, or as
strings in an array, where the record is what stands between the quotation marks.

A log's connector cuts a body where this module does, so that both sides speak of the
same records; the log keeps each of them whatever is wrong with it (a repeated member
name, bytes that are not UTF-8, a line that is not JSON at all), and none of that is a
reason to refuse a file here. An array stays an array and lines stay lines: not every
line could be an element of an array. Records that a provider's API wraps in an object
are taken out of it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from provlog.client.errors import UsageError
from provlog.client.events import join_batch, split
from provlog.merkle.event_tokens import is_token_shaped

MAX_BATCH_RECORDS = 500
"""Fewer than events, because one record of a provider may become several events."""

FORMATS = (
    "auth0",
    "entra",
    "generic",
    "google",
    "jumpcloud",
    "keycloak",
    "okta",
    "onelogin",
    "scim",
    "set",
)
"""What help says of formats. A log may know others: it decides, not the client."""

ENVELOPES: Mapping[str, Sequence[Sequence[str]]] = {
    "entra": (("records",), ("value",)),
    "google": (("items",),),
    "onelogin": (("data",),),
}
"""By format: the members that lead to the array of records in an object of an API."""

TOKENS = "set"
"""The format of security event tokens."""

_SCANNER = json.JSONDecoder(strict=False, parse_int=len, parse_float=len)
_BLANKS = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Records:
    """Records in their order, to be sent as lines or as one JSON array.

    The first of several lines is a JSON object, or a token: by it the server tells
    lines from other forms.
    """

    items: Sequence[bytes]
    lines: bool

    @property
    def body(self) -> bytes:
        """The records as they are sent; each stands in it byte for byte."""
        if self.lines:
            return b"\n".join(self.items)
        # What looks like a token is no JSON: it stood between quotation marks.
        return join_batch(
            b'"%b"' % each if is_token_shaped(each) else each for each in self.items
        )

    @property
    def content_type(self) -> str:
        """The media type of `body`."""
        if self.lines and self.items and is_token_shaped(self.items[0]):
            return "text/plain"
        several = self.lines and len(self.items) > 1
        return "application/x-ndjson" if several else "application/json"

    def batches(self) -> Iterator["Records"]:
        """Yield the records in bodies that a server takes.

        Where lines would begin with one that is no object and no token, the nearest one
        before it goes ahead once more: the log answers it as known.
        """
        lead = b""
        for batch in split(self.items, _length, MAX_BATCH_RECORDS):
            items = batch
            if self.lines and lead and not _can_lead(batch[0]):
                items = [lead, *batch]
            yield Records(items, self.lines)
            if self.lines:
                lead = _last_leader(items)

    def halves(self) -> tuple["Records", "Records"] | None:
        """Return the records in two smaller bodies, None where there is no such way."""
        middle = (len(self.items) + 1) // 2
        first, second = self.items[:middle], self.items[middle:]
        if self.lines and second and not _can_lead(second[0]):
            second = [_last_leader(first), *second]
        if not second or len(second) == len(self.items):
            return None
        return Records(first, self.lines), Records(second, self.lines)


def cut_records(raw: bytes, provider: str = "") -> Records:
    """Return the records of a JSON array, of lines, or of a single JSON object.

    The first line decides between a single object and lines: if it is an object, each
    line that is not blank is a record, readable or not. `provider` is the format; a
    single object that is one of its envelopes holds several records. With ``set`` the
    first line may be a security event token, as may strings in an array. Raises
    `UsageError` where `raw` is none of the three; nothing at all is no records.
    """
    tokens = provider == TOKENS
    stripped = raw.strip(b" \t\r\n")
    if not stripped:
        return Records((), lines=True)
    if stripped.startswith(b"["):
        elements = _cut_array(stripped)
        items = [_unquoted(each) for each in elements] if tokens else elements
        return Records(items, lines=False)
    first, _, rest = stripped.partition(b"\n")
    whole = not rest.strip() and _is_object(stripped)
    leads = _is_object(first.rstrip()) or (tokens and is_token_shaped(first.rstrip()))
    if not whole and leads:
        lines = (line.strip(b" \t\r") for line in stripped.split(b"\n"))
        return Records([line for line in lines if line], lines=True)
    if whole or _is_object(stripped):
        for path in ENVELOPES.get(provider, ()):
            if (array := _inside(stripped, path)) is not None:
                return Records(_cut_array(array), lines=False)
        return Records((stripped,), lines=True)
    raise UsageError(
        "neither a JSON array, nor lines of which the first is a JSON object, nor one "
        "JSON object"
    )


def _inside(raw: bytes, path: Sequence[str]) -> bytes | None:
    """Return the array that is a member of an object, None where there is not one."""
    for name in path:
        found = _members(raw).get(name, [])
        if len(found) != 1:
            return None
        [raw] = found
    return raw if raw.startswith(b"[") else None


def _members(raw: bytes) -> dict[str, list[bytes]]:
    """Return the values of an object's members, as they stand; nothing of another."""
    text, found = raw.decode("latin-1"), dict[str, list[bytes]]()
    position = _skip_blanks(text, 1) if text.startswith("{") else len(text)
    while match := _STRING.match(text, position):
        position = _skip_blanks(text, _skip_blanks(text, match.end()) + 1)
        end = _scan(text, position)
        # A name may be spelled with escapes.
        name = json.loads(match[0], strict=False)
        found.setdefault(name, []).append(raw[position:end])
        position = _skip_blanks(text, _skip_blanks(text, end) + 1)
    return found


def _cut_array(raw: bytes) -> list[bytes]:
    # Latin-1 maps each byte to one character, so positions in the text are positions in
    # the bytes, and all that structures JSON is ASCII.
    text = raw.decode("latin-1")
    elements: list[bytes] = []
    position = _skip_blanks(text, 1)
    closed = text[position : position + 1] == "]"
    while not closed:
        end = _scan(text, position)
        elements.append(raw[position:end])
        position = _skip_blanks(text, end)
        closed = text[position : position + 1] == "]"
        if not closed:
            if text[position : position + 1] != ",":
                raise UsageError(f"not a JSON array (at byte {position})")
            position = _skip_blanks(text, position + 1)
    if position + 1 != len(text):
        raise UsageError("something follows the JSON array")
    return elements


def _scan(text: str, position: int) -> int:
    try:
        return _SCANNER.raw_decode(text, position)[1]
    except ValueError:
        raise UsageError(f"not JSON (element at byte {position})") from None
    except RecursionError:
        raise UsageError(f"nested too deeply (at byte {position})") from None


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _is_object(data: bytes) -> bool:
    """Tell whether `data` is one JSON object and nothing else, read leniently."""
    text = data.decode("latin-1")
    if not text.startswith("{"):
        return False
    try:
        return _SCANNER.raw_decode(text)[1] == len(text)
    except (ValueError, RecursionError):
        return False


def _unquoted(element: bytes) -> bytes:
    """Return the token that an array's element is, or the element itself."""
    inner = element[1:-1]
    return inner if element[:1] == b'"' and is_token_shaped(inner) else element


def _length(item: bytes) -> int:
    return len(_quoted(item))


def _quoted(item: bytes) -> bytes:
    """Return an array's element: what looks like a token stood in quotation marks."""
    return b'"%b"' % item if is_token_shaped(item) else item


def _can_lead(line: bytes) -> bool:
    """Tell whether a line makes the server take lines behind it."""
    return _is_object(line.rstrip()) or is_token_shaped(line.rstrip())


def _last_leader(items: Sequence[bytes]) -> bytes:
    # There is one: the first item is an object or a token.
    return next(each for each in reversed(items) if _can_lead(each))
