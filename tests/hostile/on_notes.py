"""Lies in the form of a checkpoint and in its signatures, wherever one stands."""

import base64
from collections.abc import Callable

from hostile.liar import Telling, Telltale
from hostile.lie import ALL, HEADS, MISSED, STALE, UNREAD, Lie
from hostile.telling import checkpoint, notes
from hostile.worlds import COSIGNED_AT, LONG_AGO, OLD, STRANGER, WITNESS
from provlog.merkle.notes import sign_note


def _false_signature(_: Telling, note: bytes) -> bytes:
    return _with_value(note, lambda value: value[:-1] + bytes([value[-1] ^ 1]))


def _with_value(
    note: bytes, change: Callable[[bytes], bytes], name: bytes = b""
) -> bytes:
    """Change the decoded signature of the first line, or of that of a name."""
    text, _, block = note.partition(b"\n\n")
    lines = block.splitlines()
    at = next(i for i, line in enumerate(lines) if name in line)
    start, _, value = lines[at].rpartition(b" ")
    lines[at] = start + b" " + base64.b64encode(change(base64.b64decode(value)))
    return text + b"\n\n" + b"\n".join(lines) + b"\n"


def _other_text(_: Telling, note: bytes) -> bytes:
    size = note.split(b"\n")[1]
    return note.replace(b"\n" + size + b"\n", b"\n" + size + b"0\n", 1)


def _twice(_: Telling, note: bytes) -> bytes:
    return note + note.partition(b"\n\n")[2]


def _unsigned(_: Telling, note: bytes) -> bytes:
    return note.partition(b"\n\n")[0] + b"\n"


def _signed(telling: Telling, text: bytes) -> bytes:
    return sign_note(text.decode(), [telling.world.key])


def _leading_zero(telling: Telling, note: bytes) -> bytes:
    text = note.partition(b"\n\n")[0] + b"\n"
    return _signed(telling, text.replace(b"\n", b"\n0", 1))


def _not_canonical(telling: Telling, note: bytes) -> bytes:
    """Set bits of the root's base64 that stand for nothing, and sign that."""
    lines = note.partition(b"\n\n")[0].split(b"\n")
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = lines[2][42]
    lines[2] = lines[2][:42] + bytes([alphabet[alphabet.index(last) | 1]]) + b"="
    return _signed(telling, b"\n".join(lines) + b"\n")


def _crowded(_: Telling, note: bytes) -> bytes:
    line = note.partition(b"\n\n")[2].splitlines()[0]
    extra = [
        line.replace(b"log.", f"l{number}.".encode(), 1) + b"\n"
        for number in range(100)
    ]
    return note + b"".join(extra)


def _forged(_: Telling, note: bytes) -> bytes:
    name = WITNESS.key.name.encode()
    return _with_value(note, lambda v: v[:-1] + bytes([v[-1] ^ 1]), name)


def _redated(_: Telling, note: bytes) -> bytes:
    """Claim that the witness cosigned a day later than it did."""
    name = WITNESS.key.name.encode()
    later = (COSIGNED_AT + 86_400).to_bytes(8, "big")
    return _with_value(note, lambda v: v[:4] + later + v[12:], name)


def _without_witness(_: Telling, note: bytes) -> bytes:
    name = WITNESS.key.name.encode()
    return b"".join(line for line in note.splitlines(True) if name not in line)


def _by_a_stranger(telling: Telling, note: bytes) -> bytes:
    return STRANGER.cosign(_without_witness(telling, note), COSIGNED_AT)


def _of_another_tree(telling: Telling, note: bytes) -> bytes:
    """Put the witness's true cosignature of an older tree under this one."""
    old = WITNESS.cosign(telling.world.notes[OLD], COSIGNED_AT)
    return _without_witness(telling, note) + old.splitlines(True)[-1]


def _old_cosigned(telling: Telling) -> bytes:
    return WITNESS.cosign(telling.world.notes[OLD], LONG_AGO)


def _cosigned_before(telling: Telling, note: bytes) -> bytes:
    """Have the witness say that it saw the tree before its newest entry was there."""
    return WITNESS.cosign(_without_witness(telling, note), LONG_AGO)


NOTES = (
    Lie(
        "false-signature",
        "puts a false signature under a checkpoint",
        Telltale(notes(_false_signature)),
        "who answered",
        caught={
            ALL: "false signature by 'log.example.com/main'",
        },
    ),
    Lie(
        "other-text",
        "changes the size above a true signature",
        Telltale(notes(_other_text)),
        "who answered",
        caught={
            ALL: "false signature by 'log.example.com/main'",
        },
    ),
    Lie(
        "unsigned",
        "serves a checkpoint that nobody signed",
        Telltale(notes(_unsigned)),
        "who answered",
        caught={
            ALL: "note: no empty line between text and signatures",
        },
    ),
    Lie(
        "two-signatures",
        "signs twice: two lines with the same key id",
        Telltale(notes(_twice)),
        "who answered",
        caught={
            ALL: "note: two signatures with the same key name and ID",
        },
    ),
    Lie(
        "crlf",
        "ends lines with CR LF",
        Telltale(notes(lambda _, note: note.replace(b"\n", b"\r\n"))),
        "who answered",
        caught={
            ALL: "note: a control character other than newline",
        },
    ),
    Lie(
        "base64-root",
        "writes the root in base64 that is not canonical",
        Telltale(notes(_not_canonical)),
        "the log",
        caught={
            ALL: "checkpoint: root: not canonical base64",
        },
    ),
    Lie(
        "leading-zero",
        "writes the size with a leading zero",
        Telltale(notes(_leading_zero)),
        "the log",
        caught={
            ALL: "checkpoint: size: not a canonical decimal",
        },
    ),
    Lie(
        "crowd-of-signatures",
        "hides its signature among a hundred others",
        Telltale(notes(_crowded)),
        "who answered",
        caught={
            ALL: "note: more than 100 signatures",
        },
    ),
    Lie(
        "huge-note",
        "serves a checkpoint of two megabytes",
        Telltale(checkpoint(lambda t: t.world.notes[OLD] * 8192)),
        "who answered",
        caught={
            f"{HEADS} compare": "answer: larger than … bytes",
        },
    ),
    Lie(
        "forged-cosignature",
        "forges the cosignature of a witness",
        Telltale(notes(_forged), cosigned=True),
        "who answered",
        caught={
            f"{UNREAD} full audit gaps": "false signature by 'witness.example/w1'",
        },
        blind="compare",
    ),
    Lie(
        "redated-cosignature",
        "gives a true cosignature another time",
        Telltale(notes(_redated), cosigned=True),
        "who answered",
        caught={
            f"{UNREAD} full audit gaps": "false signature by 'witness.example/w1'",
        },
        blind="compare",
    ),
    Lie(
        "cosignature-of-another-tree",
        "puts a witness's cosignature of one tree under another one",
        Telltale(notes(_of_another_tree), cosigned=True),
        "who answered",
        caught={
            f"{UNREAD} full audit gaps": "false signature by 'witness.example/w1'",
        },
        blind="compare",
    ),
    Lie(
        "no-cosignature",
        "leaves out the witness that the policy asks for",
        Telltale(notes(_without_witness), cosigned=True),
        "who answered",
        caught={
            f"{UNREAD} full audit gaps": "its cosignatures fall short of the quorum",
        },
        blind="compare",
    ),
    Lie(
        "unknown-witness",
        "has a witness cosign whom the policy does not know",
        Telltale(notes(_by_a_stranger), cosigned=True),
        "who answered",
        caught={
            f"{UNREAD} full audit gaps": "its cosignatures fall short of the quorum",
        },
        blind="compare",
    ),
    Lie(
        "old-cosigned-head",
        "replays an old head with its true cosignature",
        Telltale(checkpoint(_old_cosigned), cosigned=True),
        "nobody",
        said={
            "monitor full": STALE,
            "audit gaps": MISSED,
        },
        blind="checkpoint compare",
    ),
    Lie(
        "old-cosigned-head-alone",
        "replays it to somebody who knows no other",
        Telltale(checkpoint(_old_cosigned), cosigned=True, fresh=True),
        "nobody",
        caught={
            "full": "stale-witnesses: … was cosigned by a quorum at … and not since",
        },
        blind="checkpoint monitor audit gaps compare",
    ),
    Lie(
        "backdated-cosignature",
        "has a witness cosign with a time from before the newest entry",
        Telltale(notes(_cosigned_before), cosigned=True),
        "the log or the witness",
        caught={
            "full": "recorded-ahead: … witnesses had cosigned the tree that holds it",
        },
        blind=f"{UNREAD} audit gaps compare",
    ),
)
