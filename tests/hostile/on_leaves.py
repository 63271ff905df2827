"""Lies that the log signed: leaves that stand in its tree and must not be there.

Only somebody who reads all entries sees most of them. Each is in a log of its own: the
leaves are written into the storage of a real server, which serves and signs them.
"""

from hostile.false_logs import MIDDLE
from hostile.liar import Answer, Telling, Telltale
from hostile.lie import AUDITS, SUBMITTERS, UNREAD, Lie


async def _well(telling: Telling) -> Answer | None:
    """Say on the page of a source's health that nothing is missing."""
    if not telling.asked.path.endswith("/health"):
        return None
    body = (await telling.truth()).json()
    body["numbers"]["missing"] = 0
    return (await telling.truth()).saying(body)


async def _honest(telling: Telling) -> Answer | None:
    """Serve the log as it is; that counts as a lie, since one stands in it."""
    telling.met()
    return None


def _stands_in(log: str, index: int = MIDDLE + 1) -> Telltale:
    return Telltale(_honest, log=log, index=index)


LEAVES = (
    Lie(
        "wrong-n",
        "signs an entry with a wrong `n`, the number of events before it",
        _stands_in("wrong-n"),
        "the log",
        caught={
            AUDITS: "entry 7: n is 3, and 6 events stand before it",
        },
        blind=UNREAD,
    ),
    Lie(
        "huge-n",
        "signs an entry whose `n` is larger than its index",
        _stands_in("huge-n"),
        "the log",
        caught={
            "entry verify": "entry: counts more events before it than can be there",
            AUDITS: "entry 7: n is 9000, and 6 events stand before it",
        },
        blind=f"{SUBMITTERS} checkpoint proof monitor",
    ),
    Lie(
        "recorded-back",
        "signs an entry that is `recorded` before the one before it",
        _stands_in("recorded-back"),
        "the log",
        caught={
            AUDITS: "entry 7: recorded …, before its predecessor",
        },
        blind=UNREAD,
    ),
    Lie(
        "second-params",
        "signs a second `params`",
        _stands_in("second-params"),
        "the log",
        caught={
            "entry verify": "entry 0, and no other, states a log's parameters",
            AUDITS: "entry 7: params again, which stand at 0 only",
        },
        blind=f"{SUBMITTERS} checkpoint proof monitor",
    ),
    Lie(
        "foreign-params",
        "signs `params` of another origin",
        _stands_in("foreign-params"),
        "the log",
        caught={
            "entry verify": "entry 0, and no other, states a log's parameters",
            AUDITS: "entry 7: params again, which stand at 0 only",
        },
        blind=f"{SUBMITTERS} checkpoint proof monitor",
    ),
    Lie(
        "after-freeze",
        "signs entries after `freeze`",
        _stands_in("after-freeze"),
        "the log",
        caught={
            AUDITS: "entry 8: stands behind entry 7, which ended the log",
        },
        blind=UNREAD,
    ),
    Lie(
        "wrong-epoch",
        "signs an entry of an epoch that has not begun",
        _stands_in("wrong-epoch"),
        "the log",
        caught={
            AUDITS: "entry 7: of epoch 3, where 1 is due",
        },
        blind=UNREAD,
    ),
    Lie(
        "skipped-epoch",
        "begins an epoch that is not the next one",
        _stands_in("skipped-epoch"),
        "the log",
        caught={
            AUDITS: "entry 7: of epoch 5, where 2 is due",
        },
        blind=UNREAD,
    ),
    Lie(
        "foreign-key",
        "announces a key in the place of one that it never had",
        _stands_in("foreign-key"),
        "the log",
        caught={
            AUDITS: "entry 7: replaces a key that is not the log's",
        },
        blind=UNREAD,
    ),
    Lie(
        "not-canonical",
        "signs a leaf that is not in canonical form",
        _stands_in("not-canonical"),
        "the log",
        caught={
            "entry verify": "entry: not in canonical form",
            AUDITS: "entry 7: entry: not in canonical form",
        },
        blind=f"{SUBMITTERS} checkpoint proof monitor",
    ),
    Lie(
        "no-entry",
        "signs a leaf that is no entry",
        _stands_in("no-entry"),
        "the log",
        caught={
            "entry verify": "entry: Expecting value",
            AUDITS: "entry 7: entry: Expecting value",
        },
        blind=f"{SUBMITTERS} checkpoint proof monitor",
    ),
    Lie(
        "to-come",
        "signs a leaf of a version that nobody knows yet",
        _stands_in("to-come"),
        "nobody",
        blind=f"{UNREAD} full audit gaps",
    ),
    Lie(
        "twice",
        "logs one event twice",
        _stands_in("twice"),
        "nobody",
        blind=f"{UNREAD} full audit gaps",
    ),
    Lie(
        "rewritten",
        "rewrites an entry in the database that was signed long ago",
        _stands_in("rewritten", MIDDLE),
        "the log",
        caught={
            "proof": "answer: the proof is not of the checkpoint beside it",
            AUDITS: "entry 6: is not the leaf that the checkpoint commits to",
        },
        said={
            "entry": "the server failed to answer (HTTP 500)",
        },
        blind=f"{SUBMITTERS} checkpoint monitor",
    ),
    Lie(
        "never-logged",
        "never logs an event of a source that numbers its own",
        _stands_in("missing-number"),
        "nobody",
        said={
            "gaps": "MISSING … number 4",
        },
        blind=f"{UNREAD} full audit",
    ),
    Lie(
        "healthy",
        "says on its page of a source's health that no number is missing",
        Telltale(_well, log="missing-number"),
        "nobody",
        said={
            "gaps": "MISSING … number 4",
        },
    ),
)
