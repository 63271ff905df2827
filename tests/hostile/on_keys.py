"""Lies about the log's keys and its end, told to those who know its first key alone.

The logs are real: one put another key in the place of its first one, which it retired,
and one was frozen. Who is *taught* has followed that before the lie.
"""

import json

from hostile.liar import Answer, Tell, Telling, Telltale
from hostile.lie import HEADS, REPLACED, SUBMITTERS, UNREAD, Lie
from hostile.telling import checkpoint, notes
from hostile.worlds import FalseLog, false_origin
from provlog.merkle.announcements import format_announcements
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.keys import SigningKey
from provlog.merkle.notes import sign_note
from provlog.server.key_changes import freeze, retire_keys
from provlog.server.log import Log
from provlog.server.service import Service
from support.rotations import rotate

_THIEF = SigningKey.from_seed(false_origin("rotated"), bytes(range(32)))
_EMPTY = {"Content-Type": "application/json"}


async def _rotate(service: Service, log: Log) -> None:
    await rotate(service, log)
    await retire_keys(log, destroy=False)


async def _freeze(service: Service, log: Log) -> None:
    await freeze(service, log, None, "test")


KEY_LOGS = (
    FalseLog("rotated", changed=_rotate),
    FalseLog("ended", changed=_freeze),
)


def _text(note: bytes) -> str:
    return note.partition(b"\n\n")[0].decode() + "\n"


def _by(number: int | None) -> Tell:
    """Sign every checkpoint with one of the log's keys alone, or with a thief's."""

    def signed(telling: Telling, note: bytes) -> bytes:
        keys = telling.world.signers["rotated"]
        return sign_note(_text(note), [_THIEF if number is None else keys[number]])

    return notes(signed)


def _and(tell: Tell, document: "Tell") -> Tell:
    """Tell one lie in the announcements, and another one in everything else."""

    async def both(telling: Telling) -> Answer | None:
        chosen = document if telling.asked.what == "announcements" else tell
        return await chosen(telling)

    return both


async def _forged(telling: Telling) -> Answer | None:
    """Announce the thief's key, with a proof that the thief alone signed."""
    true = await telling.truth()
    body = true.json()
    first = body["announcements"][0]
    proof = first["proof"].partition("\n\n")
    note = sign_note(_text(proof[2].encode()), [_THIEF]).decode()
    first["proof"] = f"{proof[0]}\n\n{note}"
    return true.saying(body)


async def _none(telling: Telling) -> Answer | None:
    return Answer(404, json.dumps({"detail": "no such path"}).encode(), _EMPTY)


async def _taken_back(telling: Telling) -> Answer | None:
    document = format_announcements(telling.world.origin_of("rotated"), ())
    return Answer(200, document, _EMPTY)


def _beyond_the_end(telling: Telling) -> bytes:
    """Sign a tree that is larger than the one that ended the log."""
    world = telling.world
    size = world.sizes["ended"] + 1
    text = Checkpoint(world.origin_of("ended"), size, bytes(range(32))).text()
    return sign_note(text, world.signers["ended"])


async def _unfrozen(telling: Telling) -> Answer | None:
    if telling.asked.what == "checkpoint":
        return (await telling.truth()).saying(_beyond_the_end(telling))
    return None


KEYS = (
    Lie(
        "hidden-announcement",
        "signs with a new key, and announces nothing",
        Telltale(_and(_by(1), _none), log="rotated"),
        "who answered",
        caught={
            f"{UNREAD} full audit gaps": "note: no signature by a trusted key",
        },
    ),
    Lie(
        "stolen-name",
        "signs with a key that it never announced",
        Telltale(_by(None), log="rotated"),
        "who answered",
        caught={
            f"{UNREAD} full audit gaps": "note: no signature by a trusted key",
        },
    ),
    Lie(
        "forged-announcement",
        "announces a key, and the key it replaces did not sign that",
        Telltale(_and(_by(1), _forged), log="rotated"),
        "who answered",
        caught={
            f"{UNREAD} full audit gaps": "note: no signature by a trusted key",
        },
    ),
    Lie(
        "replaced-key",
        "signs with the key that it replaced alone, to somebody who knows the new one",
        Telltale(_by(0), log="rotated", taught=True),
        "the log",
        caught={
            f"{UNREAD} full audit gaps": REPLACED,
        },
    ),
    Lie(
        "announcement-taken-back",
        "takes an announcement back, and signs with a key of nobody's",
        Telltale(_and(_by(None), _taken_back), log="rotated", taught=True),
        "who answered",
        caught={
            f"{UNREAD} full audit gaps": "note: no signature by a trusted key",
        },
    ),
    Lie(
        "beyond-the-end",
        "signs a larger tree than the one that ended the log",
        Telltale(checkpoint(_beyond_the_end), log="ended", taught=True),
        "the log, convicted",
        caught={
            HEADS: "and signed; but the log ended with its entry …",
        },
        said={
            SUBMITTERS: "the log has ended and takes no entries",
        },
    ),
    Lie(
        "beyond-the-end-alone",
        "signs a larger tree than the one that ended the log, to a newcomer",
        Telltale(_unfrozen, log="ended"),
        "the log, convicted",
        caught={
            "monitor full audit gaps": "and signed; but the log ended with its entry …",
        },
        said={
            SUBMITTERS: "the log has ended and takes no entries",
        },
        blind="checkpoint",
    ),
)
