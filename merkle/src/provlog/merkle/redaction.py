"""Secrets cut out of a provider's record before anybody keeps or hashes it.

`cut_secrets` replaces the values of secret members by ``"[redacted]"``; every other
byte stays as it was sent. It is the same on both sides: the server keeps and hashes
what it returns, and a client that knows the record knows what has to be kept of it.
So a log cannot leave out anything else under the pretext of a secret.

Which members are secrets is said in `secret_names`. Cut are

- their values, unless they are empty, booleans, null, or made of such alone;
- in an object whose `name` (`key`, `field`, `path` …) is a secret's, its `value`
  (`oldValue`, `newValue`, `from`, `to` …);
- strings that hold JSON (twice over at most) or a form, of which the rest is kept, and
  the end of a text that quotes such a member;
- credentials in the manner of HTTP: ``Bearer …``, ``Basic …``, a line
  ``Authorization: …``, and a JWT among headers.

In a record that is no JSON everything from the first secret on is cut. A record that is
a signed token in compact form is looked into as well: of one whose claims hold a secret
the claims are kept, without it, and the token is not.
"""

import base64
import json
import re
from dataclasses import dataclass
from typing import Final
from urllib import parse

from provlog.merkle.event_tokens import is_token_shaped
from provlog.merkle.redaction_scan import (
    MARK,
    MAX_POINTER_LENGTH,
    Place,
    Scan,
    unquote,
)
from provlog.merkle.secret_names import (
    MAX_NAME,
    is_secret_name,
    may_hold_secrets,
    normalise,
)

__all__ = ["MARK", "MAX_POINTERS", "MAX_POINTER_LENGTH", "Cut", "cut_secrets"]

MAX_POINTERS: Final = 100
MAX_STRINGS: Final = 2
"""How many strings deep JSON in strings is cut in part; deeper it is cut whole."""

_WORD: Final = "[redacted]"
_LENIENT = json.JSONDecoder(strict=False, parse_int=len, parse_float=len)
# A scheme and what may be a credential; and what is no word of a sentence.
_SCHEME = re.compile(
    r"\s*(bearer|basic|ssws|dpop|token)\s+([\w+/=.~-]{8,})\s*", re.IGNORECASE | re.ASCII
)
_NO_WORD = re.compile(r"[0-9=._]")
_LINE = re.compile(r"^[ \t]*([A-Za-z-]{2,40}+)[ \t]*+:[ \t]*+\S", re.MULTILINE)
_HEADERS = frozenset(
    {"authorization", "cookie", "proxyauthorization", "setcookie", "xapikey"}
)
_JWT = re.compile(r"\s*eyJ[\w-]{5,}\.[\w-]+\.[\w-]*(?:\.[\w-]*){0,2}\s*", re.ASCII)
_QUOTED = re.compile(r"[\"']([\w.% -]{1,64}+)[\"']\s*+[:=]", re.ASCII)
# Not the value: of one that is no secret, the rest may be the next parameter.
_PARAMETER = re.compile(r"(?<![\w.%[\]-])([\w.%[\]-]++)=(?=[^&#\s\"'])", re.ASCII)
_PARAMETER_END = re.compile(r"[&#\s\"']|\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cut:
    """A record without its secrets, and the JSON pointers of what was replaced.

    The one pointer ``""`` stands for more places than `MAX_POINTERS`, and for such as
    no pointer leads to.
    """

    record: bytes
    pointers: tuple[str, ...] = ()


def cut_secrets(record: bytes) -> Cut:
    """Return a record without its secrets; see the module.

    `record` may be anything. The time taken is in proportion to its length. What is
    returned is returned unchanged when it is cut again, unless there was too much in it
    to be looked at one by one.
    """
    if is_token_shaped(record):
        header, claims = map(_decoded, record.split(b".")[:2])
        if _cut_text(header).pointers:
            return Cut(MARK, ("",))
        cut = _cut_text(claims)
        return cut if cut.pointers else Cut(record)
    return _cut_text(record)


def _cut_text(record: bytes) -> Cut:
    return _cut(record, MAX_STRINGS) if may_hold_secrets(record) else Cut(record)


def _decoded(part: bytes) -> bytes:
    """Return what a part of a token says, however carelessly it is encoded."""
    whole = part[: len(part) - (len(part) % 4 == 1)]
    return base64.urlsafe_b64decode(whole + b"=" * (-len(whole) % 4))


def _cut(record: bytes, strings: int) -> Cut:
    broken = not _is_json(record)
    if broken and b"\0" in record:
        # Text of another encoding, in which nothing can be told from anything.
        return Cut(MARK, ("",))

    def look(raw: bytes, headers: bool) -> bytes | None:
        return _look_into(raw, headers, strings)

    places = Scan(record, look, broken=broken).places()
    if not places:
        return Cut(record)
    if broken:
        return Cut(record[: places[0].start] + MARK, ("",))
    return Cut(_spliced(record, places), _pointers(places))


def _spliced(record: bytes, places: list[Place]) -> bytes:
    parts: list[bytes] = []
    end = 0
    for place in places:
        parts += (record[end : place.start], place.stead)
        end = place.end
    return b"".join((*parts, record[end:]))


def _pointers(places: list[Place]) -> tuple[str, ...]:
    found = dict.fromkeys(place.pointer for place in places)
    pointers = [each for each in found if each is not None and _is_unicode(each)]
    if len(pointers) < len(found) or len(pointers) > MAX_POINTERS:
        return ("",)
    return tuple(pointers)


def _look_into(raw: bytes, headers: bool, strings: int) -> bytes | None:
    """Return what stands in a string's stead, None if the string can stay."""
    text = unquote(raw)
    if _is_credential(text, headers):
        return MARK
    if _may_be_json(text):
        inner = text.encode("utf-8", "surrogatepass")
        if strings == 0:
            return MARK
        kept = _cut(inner, strings - 1).record
        return None if kept == inner else _quote(kept, raw)
    cut = _without_parameters(_without_tail(text))
    return None if cut == text else _quote(cut.encode("utf-8", "surrogatepass"), raw)


def _without_tail(text: str) -> str:
    """Return a text, cut where it begins to quote the member that is a secret."""
    for match in _QUOTED.finditer(text):
        if is_secret_name(match[1]):
            return text[: match.end()] + _WORD
    return text


def _is_credential(text: str, headers: bool) -> bool:
    scheme = _SCHEME.fullmatch(text)
    return (
        (scheme is not None and _is_no_word(*scheme.groups()))
        or any(normalise(line[1]) in _HEADERS for line in _LINE.finditer(text))
        or (headers and _JWT.fullmatch(text) is not None)
    )


def _is_no_word(scheme: str, rest: str) -> bool:
    if _NO_WORD.search(rest):
        return True
    try:
        return scheme.lower() == "basic" and b":" in base64.b64decode(rest)
    except ValueError:
        return False


def _may_be_json(text: str) -> bool:
    """Tell whether a string holds JSON; of an object the beginning is enough."""
    begun = text.lstrip(" \t\r\n")
    if begun.startswith(('{"', '[{"', '["')):
        return True
    return begun[:1] in ("{", "[", '"') and _is_json(
        begun.encode("utf-8", "surrogatepass")
    )


def _is_json(data: bytes) -> bool:
    """Tell whether a text is one JSON value, read leniently."""
    # Latin-1 maps each byte to one character; all that structures JSON is ASCII.
    try:
        _LENIENT.decode(data.decode("latin-1"))
    except (ValueError, RecursionError):
        return False
    return True


def _without_parameters(text: str) -> str:
    """Return a form, a query or a list of settings without its secrets."""
    parts, end = list[str](), 0
    for match in _PARAMETER.finditer(text):
        if match.start() >= end and is_secret_name(parse.unquote(match[1][-MAX_NAME:])):
            parts += (text[end : match.end()], _WORD)
            found = _PARAMETER_END.search(text, match.end())
            end = len(text) if found is None else found.start()
    return "".join((*parts, text[end:]))


def _quote(kept: bytes, raw: bytes) -> bytes:
    """Return the JSON string of a text, in ASCII if the string before it was."""
    text = kept.decode("utf-8", "surrogatepass")
    plain = raw.isascii() or not _is_unicode(text)
    return json.dumps(text, ensure_ascii=plain).encode()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
