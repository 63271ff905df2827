"""Texts and numbers changed at random, each change with a name."""

import random
from collections.abc import Callable, Sequence
from typing import Final

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_INSERTED: Final = (
    b" ", b"+", b"=", b"0", b"\n", b"\r", b"\t", b"\0", b"x", b"\xff", b"\xc2\xa0",
    "\N{EM DASH} ".encode(), b"-1", b"#",
)  # fmt: skip


def _flip(source: random.Random, data: bytes) -> bytes:
    at = source.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << source.randrange(8)]) + data[at + 1 :]


def _cut(source: random.Random, data: bytes) -> bytes:
    at = source.randrange(len(data))
    return data[:at] + data[at + source.randrange(1, 4) :]


def _insert(source: random.Random, data: bytes) -> bytes:
    at = source.randrange(len(data) + 1)
    return data[:at] + source.choice(_INSERTED) + data[at:]


def _other_letter(source: random.Random, data: bytes) -> bytes:
    at = source.randrange(len(data))
    return data[:at] + bytes([source.choice(_BASE64)]) + data[at + 1 :]


def _lines(change: Callable[[random.Random, list[bytes]], None]) -> "_Change":
    def changed(source: random.Random, data: bytes) -> bytes:
        lines = data.split(b"\n")
        change(source, lines)
        return b"\n".join(lines)

    return changed


def _double(source: random.Random, lines: list[bytes]) -> None:
    lines.insert(source.randrange(len(lines)), source.choice(lines))


def _swap(source: random.Random, lines: list[bytes]) -> None:
    one, other = source.randrange(len(lines)), source.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _drop(source: random.Random, lines: list[bytes]) -> None:
    del lines[source.randrange(len(lines))]


def _carriage_return(source: random.Random, lines: list[bytes]) -> None:
    lines[source.randrange(len(lines))] += b"\r"


def _loosen(source: random.Random, lines: list[bytes]) -> None:
    """Change the bits that padding leaves over: base64 that is not canonical."""
    padded = [at for at, line in enumerate(lines) if line.endswith(b"=")]
    if padded:
        at = source.choice(padded)
        bare = lines[at].rstrip(b"=")
        place = _BASE64.find(bare[-1:])
        lines[at] = bare[:-1] + _BASE64[place ^ 1 :][:1] + lines[at][len(bare) :]


def _zero(source: random.Random, lines: list[bytes]) -> None:
    """Put a nought before a number at the end of a line."""
    numbers = [at for at, line in enumerate(lines) if line[-1:].isdigit()]
    if numbers:
        at = source.choice(numbers)
        head, space, number = lines[at].rpartition(b" ")
        lines[at] = head + space + b"0" + number


_Change = Callable[[random.Random, bytes], bytes]
CHANGES: Final[dict[str, _Change]] = {
    "flip": _flip,
    "cut": _cut,
    "insert": _insert,
    "letter": _other_letter,
    "double": _lines(_double),
    "swap": _lines(_swap),
    "drop": _lines(_drop),
    "carriage return": _lines(_carriage_return),
    "loose base64": _lines(_loosen),
    "nought": _lines(_zero),
}


def mutated(source: random.Random, data: bytes) -> tuple[str, bytes]:
    """Return the name of a change, and `data` with it; now and then unchanged."""
    if source.random() < 0.1:
        return "unchanged", data
    name = source.choice(list(CHANGES))
    return name, CHANGES[name](source, data)


def mutated_hashes(
    source: random.Random, hashes: Sequence[bytes]
) -> tuple[str, list[bytes]]:
    """Return the name of a change, and a proof's hashes with it."""
    changed = list(hashes)
    kind = source.choice(("unchanged", "flip", "drop", "add", "swap", "short", "none"))
    at = source.randrange(len(changed)) if changed else 0
    if kind == "none":
        changed.clear()
    elif kind == "add":
        changed.insert(at, source.choice([*changed, source.randbytes(32)]))
    elif not changed:
        kind = "unchanged"
    elif kind == "flip":
        changed[at] = _flip(source, changed[at])
    elif kind == "drop":
        del changed[at]
    elif kind == "short":
        changed[at] = changed[at][: source.randrange(32)]
    elif kind == "swap":
        other = source.randrange(len(changed))
        changed[at], changed[other] = changed[other], changed[at]
    return kind, changed


def mutated_number(source: random.Random, number: int) -> int:
    """Return a number near this one, or far from it; never below 0."""
    near = number + source.choice((-2, -1, 1, 2))
    far = source.choice((0, 1, number * 2, number ^ 1 << source.randrange(62)))
    return max(0, source.choice((number, number, near, far)))
