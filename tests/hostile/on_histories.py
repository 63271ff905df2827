"""Lies about what the log was and is: other histories, older ones, and none."""

from hostile.liar import Answer, Telling, Telltale
from hostile.lie import (
    ALL,
    HEADS,
    MISSED,
    NO_PATH,
    NO_PROOF,
    NOT_ONE,
    NOT_PROVED,
    ONLINE,
    RECEIPTS,
    SPLIT,
    STALE,
    SUBMITTERS,
    UNREAD,
    Lie,
)
from hostile.telling import answers, checkpoint, instead, notes
from hostile.worlds import KNOWN, OLD, PAST
from provlog.merkle.checkpoints import MAX_SIZE
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import SigningKey
from provlog.merkle.notes import sign_note

_FALSE_ROOT = bytes(range(32))


def _without_rest(telling: Telling) -> bytes:
    return telling.world.notes[OLD]


async def _unproved(telling: Telling) -> Answer | None:
    """Serve the true head, and prove nothing of it."""
    if not telling.asked.path.startswith(("proofs", "tile")):
        return None
    return Answer(404, b"{}", {"Content-Type": "application/problem+json"})


def _inconsistent(_: Telling, body: object) -> None:
    assert isinstance(body, dict)
    body["hashes"] = body["hashes"][::-1]


def _of_other_sizes(_: Telling, body: object) -> None:
    assert isinstance(body, dict)
    body["to"] += 1


def _by_another_key(telling: Telling, note: bytes) -> bytes:
    key = SigningKey.from_seed(telling.world.origin, bytes(32))
    text = note.partition(b"\n\n")[0].decode() + "\n"
    return sign_note(text, [key])


def _of_another_origin(telling: Telling, note: bytes) -> bytes:
    _, _, rest = note.partition(b"\n")
    text = "log.example.com/other\n" + rest.partition(b"\n\n")[0].decode() + "\n"
    return sign_note(text, [telling.world.key])


HISTORIES = (
    Lie(
        "fork",
        "forks: shows this client another history than it knows, signed and complete",
        Telltale(instead("fork")),
        "the log, convicted",
        caught={
            ONLINE: NOT_ONE,
            "compare": SPLIT,
        },
        blind="verify",
    ),
    Lie(
        "fork-alone",
        "forks, and shows this client nothing but the fork from the first day on",
        Telltale(instead("fork"), fresh=True),
        "the log, convicted",
        caught={
            "compare": SPLIT,
        },
        blind=f"{UNREAD} full audit gaps",
    ),
    Lie(
        "equivocation",
        "equivocates: signs a second root of a size that it has signed",
        Telltale(checkpoint(lambda t: t.world.sign(KNOWN, _FALSE_ROOT))),
        "the log, convicted",
        caught={
            HEADS: NOT_ONE,
            "compare": SPLIT,
        },
    ),
    Lie(
        "false-root",
        "signs a larger tree that does not begin with the one before",
        Telltale(checkpoint(lambda t: t.world.sign(KNOWN + 1, _FALSE_ROOT))),
        "the log",
        caught={
            HEADS: NOT_ONE,
            "compare": NOT_PROVED,
        },
    ),
    Lie(
        "roots-everywhere",
        "signs false roots of true sizes, in checkpoints and under proofs",
        Telltale(notes(lambda t, note: _with_false_root(t, note))),
        "the log",
        caught={
            RECEIPTS: NO_PATH,
            HEADS: NOT_ONE,
            "proof": "answer: the proof is not of the checkpoint beside it",
            "compare": NOT_PROVED,
        },
    ),
    Lie(
        "old-fork",
        "signs another root of a size below the newest one",
        Telltale(checkpoint(lambda t: t.world.sign(OLD, _FALSE_ROOT))),
        "the log, convicted",
        caught={
            HEADS: NOT_ONE,
            "compare": SPLIT,
        },
    ),
    Lie(
        "rollback",
        "rolls back: restored from a backup, it goes on from there",
        Telltale(instead("past")),
        "the log",
        caught={
            ONLINE: NO_PROOF,
            "compare": NOT_PROVED,
        },
        blind="verify",
    ),
    Lie(
        "unproved",
        "grows, and proves nothing of it",
        Telltale(_unproved),
        "the log",
        caught={
            f"{SUBMITTERS} checkpoint entry monitor full audit gaps": NO_PROOF,
            "compare": NOT_PROVED,
        },
        said={
            "proof": "refused with HTTP status 404",
        },
    ),
    Lie(
        "false-consistency",
        "proves its growth with hashes that prove nothing",
        Telltale(answers("proofs/consistency", _inconsistent)),
        "who answered",
        caught={
            ONLINE: NOT_ONE,
            "compare": NOT_PROVED,
        },
    ),
    Lie(
        "other-consistency",
        "proves the growth between other sizes than those asked for",
        Telltale(answers("proofs/consistency", _of_other_sizes)),
        "who answered",
        caught={
            ONLINE: "answer: a consistency proof of other sizes",
            "compare": NOT_PROVED,
        },
    ),
    Lie(
        "stale",
        "serves a stale head to somebody who knows a newer one",
        Telltale(checkpoint(_without_rest)),
        "nobody",
        said={
            "monitor full": STALE,
            "audit gaps": MISSED,
        },
        blind="checkpoint compare",
    ),
    Lie(
        "stale-alone",
        "serves a stale head to somebody who knows no other",
        Telltale(checkpoint(_without_rest), fresh=True),
        "nobody",
        blind=f"{HEADS} compare",
    ),
    Lie(
        "emptied",
        "serves the head of the log when it was empty",
        Telltale(checkpoint(lambda t: t.world.sign(0, EMPTY_ROOT))),
        "nobody",
        said={
            "monitor full": STALE,
            "audit gaps": MISSED,
        },
        blind="checkpoint compare",
    ),
    Lie(
        "empty-root",
        "signs a tree without leaves that has a root",
        Telltale(checkpoint(lambda t: t.world.sign(0, _FALSE_ROOT))),
        "the log",
        caught={
            f"{HEADS} compare": "checkpoint: no leaves, and not the root of no leaves",
        },
    ),
    Lie(
        "endless-size",
        "signs a size that no log can have reached, 2^63-1",
        Telltale(checkpoint(lambda t: t.world.sign(MAX_SIZE, _FALSE_ROOT))),
        "the log",
        caught={
            HEADS: NO_PROOF,
            "compare": NOT_PROVED,
        },
    ),
    Lie(
        "size-overflow",
        "signs a size of 2^63, which is beyond what a size can be",
        Telltale(checkpoint(lambda t: _signed(t, MAX_SIZE + 1))),
        "the log",
        caught={
            f"{HEADS} compare": "checkpoint: size: above 9223372036854775807",
        },
    ),
    Lie(
        "another-key",
        "signs with another key of the same name",
        Telltale(notes(_by_another_key)),
        "who answered",
        caught={
            ALL: "note: no signature by a trusted key",
        },
    ),
    Lie(
        "another-origin",
        "signs, with its key, a checkpoint of another origin",
        Telltale(notes(_of_another_origin)),
        "the log",
        caught={
            ALL: "checkpoint: of another origin",
        },
    ),
)


def _with_false_root(telling: Telling, note: bytes) -> bytes:
    size = int(note.split(b"\n")[1])
    return telling.world.sign(size, _FALSE_ROOT)


def _signed(telling: Telling, size: int) -> bytes:
    world = telling.world
    good = world.notes[PAST].partition(b"\n\n")[0].decode() + "\n"
    return sign_note(good.replace(f"\n{PAST}\n", f"\n{size}\n"), [world.key])
