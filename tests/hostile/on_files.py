"""Lies in files that are handed from hand to hand, and in answers to a look-up."""

import base64
import json
from typing import Any

from hostile.liar import Answer, Telling, Telltale, nothing
from hostile.lie import Lie
from hostile.telling import entry, records
from hostile.worlds import KNOWN, OLD, World
from provlog.merkle.encoding import encode_base64
from provlog.merkle.keys import SigningKey

_FALSE_ROOT = bytes(range(32))


def _accusation(world: World, older: bytes, newer: bytes) -> bytes:
    """Return a file that says that the log signed two histories."""
    value: dict[str, Any] = {
        "v": 1,
        "origin": world.origin,
        "older": older.decode(),
        "newer": newer.decode(),
        "consistency": None,
        "inclusion": None,
    }
    return json.dumps(value).encode()


def _nothing_shown(world: World) -> bytes:
    return _accusation(world, world.notes[OLD], world.notes[KNOWN])


def _made_up(world: World) -> bytes:
    """Accuse it with a path that somebody thought of."""
    body = json.loads(_nothing_shown(world))
    body["inclusion"] = {
        "index": OLD - 1,
        "leaf_hash": encode_base64(_FALSE_ROOT),
        "hashes": [encode_base64(_FALSE_ROOT)] * 9,
    }
    return json.dumps(body).encode()


def _by_another_key(world: World) -> bytes:
    thief = SigningKey.from_seed(world.origin, bytes(32))
    forged = world.sign(OLD, _FALSE_ROOT, thief)
    return _accusation(world, forged, world.notes[KNOWN])


def _one_tree(world: World) -> bytes:
    return _accusation(world, world.notes[OLD], world.notes[OLD])


async def _another_event(telling: Telling) -> Answer | None:
    """Answer the question for an event with the true entry of another one."""
    if telling.asked.path != "entries":
        return None
    return (await telling.truth()).saying(await entry(telling, telling.lie.index - 1))


async def _withheld_id(telling: Telling) -> Answer | None:
    """Answer it with another event's entry, and do not open which one that is."""
    if telling.asked.path != "entries":
        return None
    other = await entry(telling, telling.lie.index - 1)
    other["disclosures"] = [
        text for text in other["disclosures"] if '"event"' not in _name(text)
    ]
    return (await telling.truth()).saying(other)


def _name(text: str) -> str:
    return base64.urlsafe_b64decode(text + "==").decode("utf-8", "replace")[:60]


def _fewer(body: bytes) -> bytes:
    """Leave the last record out."""
    return b"".join(body.splitlines(keepends=True)[:-1])


def _altered(body: bytes) -> bytes:
    return body.replace(b"SUCCESS", b"FAILURE")


def _shortened(body: bytes) -> bytes:
    """Leave out of each record why it was done."""
    return body.replace(b', "debugContext": {"debugData": {"reason": "joiner"}}', b"")


def _renamed(body: bytes) -> bytes:
    """Give each record the id of another one."""
    return body.replace(b"-00000000000", b"-10000000000")


FILES = (
    Lie(
        "altered-record",
        "alters a provider's record before it logs it",
        Telltale(records(_altered), records=True),
        "the log",
        caught={
            "submit": "answer: result 1 is not of the record sent",
        },
    ),
    Lie(
        "shortened-record",
        "leaves out a part of a provider's record that is no secret",
        Telltale(records(_shortened), records=True),
        "the log",
        caught={
            "submit": "answer: result 1 is not of the record sent",
        },
    ),
    Lie(
        "renamed-record",
        "logs a provider's record under another id",
        Telltale(records(_renamed), records=True),
        "the log",
        caught={
            "submit": "answer: result 1 is not of the record sent",
        },
    ),
    Lie(
        "dropped-record",
        "drops a record of a provider's, and accounts for the others",
        Telltale(records(_fewer), records=True),
        "the log",
        caught={
            "submit": "answer: not a result for every record",
        },
    ),
    Lie(
        "accusation-unshown",
        "is accused with two signed checkpoints that do not contradict each other",
        Telltale(nothing, handed=_nothing_shown),
        "who answered",
        caught={
            "verify": "nothing in the file shows with which tree the newer one begins",
        },
    ),
    Lie(
        "accusation-made-up",
        "is accused with a path to a leaf that was made up",
        Telltale(nothing, handed=_made_up),
        "who answered",
        caught={
            "verify": "nothing in the file shows with which tree the newer one begins",
        },
    ),
    Lie(
        "accusation-forged",
        "is accused with a checkpoint that it did not sign",
        Telltale(nothing, handed=_by_another_key),
        "who answered",
        caught={
            "verify": "note: no signature by a trusted key",
        },
    ),
    Lie(
        "accusation-of-one-tree",
        "is accused with one checkpoint, twice",
        Telltale(nothing, handed=_one_tree),
        "who answered",
        caught={
            "verify": "evidence: both checkpoints are of one tree",
        },
    ),
    Lie(
        "another-event",
        "answers a look-up with the entry of another event",
        Telltale(_another_event, lookup=True),
        "who answered",
        caught={
            "entry": "receipt: of another event than the one asked for",
        },
    ),
    Lie(
        "unnamed-event",
        "answers a look-up with another entry, and withholds of which event it is",
        Telltale(_withheld_id, lookup=True),
        "who answered",
        said={"entry": "NOT PROVED: that entry … is of the event asked for"},
    ),
)
