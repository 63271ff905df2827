"""C2SP signed notes: text, an empty line, and lines that sign it.

Opening a note is verifying it: `open_note` returns a text only with a true signature by
a key that the caller trusts. The stricter rules of the newer tlog-checkpoint text hold
for all notes here: base64 is canonical, and no two lines have the same key name and ID.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from provlog.merkle.cosignatures import verify_cosignature
from provlog.merkle.encoding import decode_base64, encode_base64
from provlog.merkle.errors import MalformedError, SignatureError
from provlog.merkle.keys import (
    KEY_ID_SIZE,
    SigningKey,
    VerifierKey,
    require_key_name,
)

MAX_NOTE_SIZE = 1 << 20
MAX_SIGNATURES = 100

_SIGNATURE_START = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class SignatureLine(NamedTuple):
    """One line of a note as it stands there; nothing in it is verified."""

    name: str
    key_id: bytes
    value: bytes
    """What follows the key ID: a signature, in cosignatures with a time before it."""


class VerifiedSignature(NamedTuple):
    """A true signature: whose, its value, and its time in POSIX seconds, if any."""

    key: VerifierKey
    value: bytes
    timestamp: int | None


class OpenNote(NamedTuple):
    """A note with at least one true signature by a trusted key."""

    text: str
    signatures: tuple[VerifiedSignature, ...]
    others: tuple[SignatureLine, ...]
    """Lines by keys unknown to the caller: they say nothing."""


class UnverifiedNote(NamedTuple):
    """The parts of a well-formed note whose signatures nobody has checked."""

    text: str
    signatures: tuple[SignatureLine, ...]


def sign_note(text: str, keys: Sequence[SigningKey]) -> bytes:
    """Return `text` as a note with one signature by each key, in their order.

    Raises `ValueError` for a text that no note can hold and for no or double keys.
    """
    if not text.endswith("\n") or _CONTROL.search(text):
        raise ValueError("note: the text has control characters, or no last newline")
    if not 0 < len({(key.name, key.key_id) for key in keys}) == len(keys):
        raise ValueError("note: no key, or the same one twice")
    signed = text.encode()
    lines = [format_signature(key.name, key.key_id, key.sign(signed)) for key in keys]
    note = signed + "\n".join(["", *lines, ""]).encode()
    if len(note) > MAX_NOTE_SIZE or len(lines) > MAX_SIGNATURES:
        raise ValueError("note: too long to be read again")
    return note


def open_note(data: bytes, keys: Iterable[VerifierKey]) -> OpenNote:
    """Return the note in `data` if at least one of `keys` signed it.

    Raises `MalformedError` for anything that is not a note, and `SignatureError` if no
    line is by one of `keys`, or one that names such a key is false. Lines by other keys
    are kept aside. Raises `ValueError` if two of `keys` share name and ID.
    """
    known = _by_line(keys)
    text, lines = parse_note_unverified(data)
    signatures: list[VerifiedSignature] = []
    others: list[SignatureLine] = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            others.append(line)
        else:
            timestamp = _verify(key, text, line.value)
            signatures.append(VerifiedSignature(key, line.value, timestamp))
    if not signatures:
        error = SignatureError("note: no signature by a trusted key")
        error.strangers = tuple((line.name, line.key_id) for line in others)
        raise error
    return OpenNote(text, tuple(signatures), tuple(others))


def _by_line(keys: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise ValueError("two keys with the same name and key ID")
    return known


def _verify(key: VerifierKey, text: str, value: bytes) -> int | None:
    if key.key_type.is_timestamped:
        return verify_cosignature(key, text, value)
    key.verify(text.encode(), value)
    return None


def parse_note_unverified(data: bytes) -> UnverifiedNote:
    """Return the parts of a well-formed note, unverified, or raise `MalformedError`."""
    text, block = _split(data)
    return UnverifiedNote(text, parse_signatures_unverified(block))


def parse_text_unverified(data: bytes) -> str:
    """Return the text of what may be a note; its signature lines are not even read.

    It says whose signature has to be looked for. Raises `MalformedError` where there is
    no text.
    """
    return _split(data)[0]


def _split(data: bytes) -> tuple[str, str]:
    """Return a note's text, and what follows the empty line behind it."""
    if len(data) > MAX_NOTE_SIZE:
        raise MalformedError(f"note: longer than {MAX_NOTE_SIZE} bytes")
    content = _decode(data)
    # The text may hold empty lines itself: the last one divides.
    end = content.rfind("\n\n")
    if end < 0:
        raise MalformedError("note: no empty line between text and signatures")
    return content[: end + 1], content[end + 2 :]


def parse_signatures_unverified(block: str) -> tuple[SignatureLine, ...]:
    """Return 1 to 100 signature lines, each with its newline, unverified.

    It reads the end of a note, and what a witness answers. Raises `MalformedError`.
    """
    lines = block.split("\n")
    if lines.pop() != "" or not lines:
        raise MalformedError("note: no signature line, or one without its end")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"note: more than {MAX_SIGNATURES} signatures")
    signatures = tuple(_parse_line(line) for line in lines)
    if len({(name, key_id) for name, key_id, _ in signatures}) != len(signatures):
        raise MalformedError("note: two signatures with the same key name and ID")
    return signatures


def _parse_line(line: str) -> SignatureLine:
    if not line.startswith(_SIGNATURE_START):
        raise MalformedError("note: a line among the signatures that is none")
    name, separator, encoded = line.removeprefix(_SIGNATURE_START).partition(" ")
    if not separator:
        raise MalformedError("note: a signature line without a value")
    require_key_name(name)
    value = decode_base64(encoded, "note: signature")
    if len(value) <= KEY_ID_SIZE:
        raise MalformedError("note: a signature without a value behind its key ID")
    return SignatureLine(name, value[:KEY_ID_SIZE], value[KEY_ID_SIZE:])


def _decode(data: bytes) -> str:
    try:
        content = data.decode()
    except UnicodeError:
        raise MalformedError("note: not UTF-8") from None
    if _CONTROL.search(content):
        raise MalformedError("note: a control character other than newline")
    return content


def format_signature(name: str, key_id: bytes, value: bytes) -> str:
    """Return a signature line without its newline."""
    return f"{_SIGNATURE_START}{name} {encode_base64(key_id + value)}"


def add_signatures(note: bytes, lines: Iterable[SignatureLine]) -> bytes:
    """Return `note` with more signature lines behind those it has.

    The text and the lines that are there stay byte for byte. Nothing is verified.
    Raises `MalformedError` if `note` or the result is not a note, as it is when a line
    for the same key is there already.
    """
    parse_note_unverified(note)
    added = "".join(format_signature(*line) + "\n" for line in lines)
    longer = note + added.encode()
    parse_note_unverified(longer)
    return longer
