"""Where the secrets of a JSON text stand, found in one pass over its tokens.

The text need not be strict JSON, nor JSON at all: whatever has the form of a member
``"name": value`` is one. Nothing is decoded but names, and strings that may hold a
secret themselves, so that all other bytes can stay as they are.

The pass takes time in proportion to the text. After `MAX_TOKENS` it ends, and what
follows counts as secret.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from provlog.merkle.secret_names import (
    LABELS,
    VALUES,
    WITHIN,
    is_secret_name,
    is_secret_within,
    may_hold_secrets,
    normalise,
)

MARK: Final = b'"[redacted]"'
MAX_TOKENS: Final = 100_000
MAX_DEPTH: Final = 64
"""How deep a value may stand whose place is told; deeper ones are not read anyway."""
MAX_POINTER_LENGTH: Final = 512

_TOKEN = re.compile(rb'("(?:[^"\\]++|\\.)*+"?)(?:[ \t\r\n]*+(:))?|[][{},:]', re.DOTALL)
_LITERAL = re.compile(rb"[^ \t\r\n]++(?:[ \t\r\n]++[^ \t\r\n]++)*+")
_WORD = re.compile(rb"[A-Za-z0-9_.-]++")
_SAYS_NOTHING = frozenset({b"true", b"false", b"null"})
_EMPTY = frozenset({b'""', MARK})
# Strings without any of this are no JSON, no form and no header.
_WORTH_A_LOOK = re.compile(
    rb"[={\\]|'[ \t]*+:|\A\"[ \t]*+(?:\[|eyJ|[A-Za-z-]{2,40}+[ \t]*+:"
    rb"|(?:bearer|basic|ssws|dpop|token)[ \t])",
    re.IGNORECASE,
)

Look = Callable[[bytes, bool], bytes | None]
"""What becomes of a string that may hold secrets (its bytes with the quotation marks,
and whether it stands among headers); None if it stays."""


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes that hold a secret, what stands in their stead, and their JSON pointer.

    The pointer is None where there is no telling.
    """

    start: int
    end: int
    stead: bytes
    pointer: str | None


class _Name(NamedTuple):
    """A member's name, and what it says of the value."""

    text: str
    secret: bool
    within: bool
    label: bool
    value: bool
    headers: bool


_NO_NAME = _Name(
    "", secret=False, within=False, label=False, value=False, headers=False
)


class _Frame:
    """An array or object that is open, and the member of it that is being read."""

    __slots__ = ("headers", "index", "leaves", "name", "paired", "start", "values")

    def __init__(self, start: int, leaves: int, *, headers: bool) -> None:
        self.start = start
        self.leaves = leaves
        self.headers = headers
        self.name = _NO_NAME
        self.index = 0
        self.paired = False
        self.values: list[tuple[int, int, _Name]] = []


class Scan:
    """One pass over a text; see the module.

    `broken` says that the text is no JSON: words outside strings are then looked at.
    """

    def __init__(self, data: bytes, look: Look, *, broken: bool) -> None:
        self._data = data
        self._look = look
        self._broken = broken
        self._stack = [_Frame(0, 0, headers=False)]
        self._leaves = 0
        self._found: list[Place] = []

    def places(self) -> list[Place]:
        """Return where secrets stand, in order; none overlaps another."""
        end = 0
        for count, token in enumerate(_TOKEN.finditer(self._data)):
            start = token.start()
            if start > end and self._passes_gap(end, start):
                break
            if count == MAX_TOKENS:
                # What is left of it is none either, and no pointer leads into it.
                self._broken = True
                self._add(end, len(self._data), MARK)
                break
            self._take(token)
            end = token.end()
        else:
            self._passes_gap(end, len(self._data))
        while len(self._stack) > 1:
            self._close(len(self._data))
        self._pair()
        return list(_outermost(self._found))

    def _take(self, token: re.Match[bytes]) -> None:
        frame = self._stack[-1]
        string, colon = token.groups()
        if string is None:
            self._structure(frame, token[0], token.start())
        elif colon is None:
            self._string(frame, string, token.start())
        else:
            if frame.name is not _NO_NAME:
                # No JSON: a value with a colon behind it.
                self._string(frame, string, token.start())
            frame.name = self._named(string)

    def _structure(self, frame: _Frame, mark: bytes, start: int) -> None:
        if mark == b",":
            frame.name = _NO_NAME
            frame.index += 1
        elif mark in b"[{":
            headers = frame.headers or frame.name.headers
            self._stack.append(_Frame(start, self._leaves, headers=headers))
        elif mark in b"]}" and len(self._stack) > 1:
            self._close(start + 1)

    def _named(self, raw: bytes) -> _Name:
        name = _name_of(raw) if len(raw) <= _MAX_CACHED else _read_name(raw)
        if name.within and not name.secret:
            # Of what is open, an array has no name: its holder's counts.
            names = (frame.name.text for frame in self._stack[-2:-4:-1])
            outer = next((each for each in names if each), "")
            return name._replace(secret=is_secret_within(name.text, outer))
        return name

    def _string(self, frame: _Frame, raw: bytes, start: int) -> None:
        if raw in _EMPTY:
            return
        name = frame.name
        self._leaf(frame, start, start + len(raw))
        if name.secret:
            return
        if frame.headers and name is _NO_NAME and _ends_header(frame, raw):
            self._add(start, start + len(raw), MARK)
            return
        if name.label:
            frame.paired = frame.paired or is_secret_name(unquote(raw))
        if _WORTH_A_LOOK.search(raw) and may_hold_secrets(raw):
            stead = self._look(raw, frame.headers or name.headers)
            if stead is not None:
                self._add(start, start + len(raw), stead)

    def _leaf(self, frame: _Frame, start: int, end: int) -> None:
        self._leaves += 1
        if frame.name.secret:
            self._add(start, end, MARK)
        elif frame.name.value:
            frame.values.append((start, end, frame.name))

    def _passes_gap(self, start: int, end: int) -> bool:
        """Read what stands between two tokens; true if nothing after it can be kept."""
        literal = _LITERAL.search(self._data, start, end)
        if literal is None or literal[0] in _SAYS_NOTHING:
            return False
        if self._broken and any(
            is_secret_name(word[0].decode()) for word in _WORD.finditer(literal[0])
        ):
            self._add(start, len(self._data), MARK)
            return True
        self._leaf(self._stack[-1], literal.start(), literal.end())
        return False

    def _close(self, end: int) -> None:
        self._pair()
        frame = self._stack.pop()
        if self._leaves > frame.leaves:
            outer = self._stack[-1]
            if outer.name.secret:
                self._add(frame.start, end, MARK)
            elif outer.name.value:
                outer.values.append((frame.start, end, outer.name))

    def _pair(self) -> None:
        """Cut the values of an object whose label is the name of a secret."""
        frame = self._stack[-1]
        if frame.paired:
            for start, end, name in frame.values:
                frame.name = name
                self._add(start, end, MARK)

    def _add(self, start: int, end: int, stead: bytes) -> None:
        self._found.append(Place(start, end, stead, self._pointer()))

    def _pointer(self) -> str | None:
        if self._broken or len(self._stack) > MAX_DEPTH:
            return None
        pointer = ""
        for frame in self._stack[1:]:
            part = str(frame.index) if frame.name is _NO_NAME else frame.name.text
            # Names may be as long as the text, and stand around as many secrets.
            if len(pointer) + len(part) >= MAX_POINTER_LENGTH:
                return None
            pointer += "/" + part.replace("~", "~0").replace("/", "~1")
        return pointer if len(pointer) <= MAX_POINTER_LENGTH else None


_MAX_CACHED = 64


def _read_name(raw: bytes) -> _Name:
    text = unquote(raw)
    plain = normalise(text)
    return _Name(
        text,
        secret=is_secret_name(text),
        within=plain in WITHIN,
        label=plain in LABELS,
        value=plain in VALUES,
        headers=plain.endswith(("header", "headers", "jwt")),
    )


# Records of one provider have the same names again and again.
_name_of = lru_cache(maxsize=4096)(_read_name)


def _ends_header(frame: _Frame, raw: bytes) -> bool:
    """Tell whether a string is a secret in a list of headers: names, each with a value.

    `frame` notes whether the name that was read last is that of one.
    """
    if frame.index % 2:
        return frame.paired
    frame.paired = is_secret_name(unquote(raw))
    return False


def _outermost(places: list[Place]) -> Iterator[Place]:
    # Of two that begin together, which are then the same bytes, the later found goes
    # further: the whole value, after what a look into it had found.
    by_start = {place.start: place for place in places}
    end = 0
    for start in sorted(by_start):
        if start >= end:
            yield by_start[start]
            end = by_start[start].end


def unquote(raw: bytes) -> str:
    """Return what a JSON string says, with its marks, read as leniently as can be.

    It may end without the second mark and hold bytes that are not UTF-8 and escapes
    that are none.
    """
    closed = _CLOSED.fullmatch(raw) is not None
    text = raw[1 : -1 if closed else None].decode("utf-8", "surrogateescape")
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return _ESCAPE.sub(_unescape, text)


_CLOSED = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def _unescape(match: re.Match[str]) -> str:
    code, letter = match.groups()
    return chr(int(code, 16)) if code else _LETTERS.get(letter, letter)
