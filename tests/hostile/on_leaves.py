"""Lies that the log signed: leaves that stand in its tree and must not be there.

Only somebody who reads all entries sees most of them. Each is in a log of its own: the
leaves are written into the storage of a real server, which serves and signs them.
"""

import json
from collections.abc import Callable, Sequence

from hostile.liar import Answer, Telling, Telltale
from hostile.lie import AUDITS, SUBMITTERS, UNREAD, Lie
from hostile.worlds import FalseLog, Leaves, false_origin
from provlog.merkle.encoding import encode_base64url, format_time
from provlog.merkle.entries import build_entry, event_template
from support.tiled_logs import params_leaf

_DIGEST = encode_base64url(bytes(32))
_KEY = "log.example.com/next+00000000+AQ"
_COUNT = 12
"""Events in a log; the false leaf is in their middle."""
_MIDDLE = 6


def _event(
    now: int,
    n: int,
    *,
    at: int = 0,
    epoch: int = 1,
    seq: int | None = None,
    number: int | None = None,
) -> bytes:
    """Return an event's leaf, `at` milliseconds from when it should be recorded."""
    template = event_template(
        entry_id=encode_base64url((n if number is None else number).to_bytes(32)),
        members={},
        source="urn:hr:false",
        tags=[],
        time=format_time(now),
        type="role.assign",
        seq=seq,
    )
    return template.finish(epoch, n, format_time(now + n + at))


def _other(now: int, kind: str, n: int, **body: object) -> bytes:
    recorded = format_time(now + n)
    return build_entry(kind, epoch=1, n=n, recorded=recorded, body=body)  # type: ignore[arg-type]


def _events(now: int, count: int = _COUNT) -> list[bytes]:
    return [_event(now, n) for n in range(count)]


def _with(leaf: Callable[[int], bytes]) -> Leaves:
    """Return events, of which the one in the middle is another leaf."""

    def make(now: int) -> Sequence[bytes]:
        leaves = _events(now)
        leaves[_MIDDLE] = leaf(now)
        return leaves

    return make


def _among(leaf: Callable[[int], bytes]) -> Leaves:
    """Return events with a further entry among them that is none."""

    def make(now: int) -> Sequence[bytes]:
        leaves = _events(now)
        return [*leaves[:_MIDDLE], leaf(now), *leaves[_MIDDLE:]]

    return make


def _params(now: int, origin: str) -> bytes:
    leaf = json.loads(params_leaf(origin, n=_MIDDLE))
    leaf["recorded"] = format_time(now + _MIDDLE)
    return json.dumps(leaf, sort_keys=True, separators=(",", ":")).encode()


def _numbered(now: int) -> Sequence[bytes]:
    """Return events whose source sent number 4, and it never got in."""
    numbers = [n for n in range(1, _COUNT + 2) if n != 4]
    return [_event(now, n, seq=seq) for n, seq in enumerate(numbers)]


def _spaced(now: int) -> bytes:
    return _event(now, _MIDDLE).replace(b":", b": ", 1)


def _of_version(now: int) -> bytes:
    return _event(now, _MIDDLE).replace(b'"v":1', b'"v":2')


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


FALSE_LOGS = (
    FalseLog("wrong-n", _with(lambda now: _event(now, _MIDDLE - 3, at=3))),
    FalseLog("huge-n", _with(lambda now: _event(now, 9_000, at=-9_000))),
    FalseLog("recorded-back", _with(lambda now: _event(now, _MIDDLE, at=-5_000))),
    FalseLog(
        "second-params",
        _among(lambda now: _params(now, false_origin("second-params"))),
    ),
    FalseLog(
        "foreign-params",
        _among(lambda now: _params(now, "log.example.com/other")),
    ),
    FalseLog("after-freeze", _among(lambda now: _other(now, "freeze", 6))),
    FalseLog("wrong-epoch", _with(lambda now: _event(now, _MIDDLE, epoch=3))),
    FalseLog(
        "skipped-epoch",
        _among(
            lambda now: build_entry(
                "epoch",
                epoch=5,
                n=_MIDDLE,
                recorded=format_time(now + _MIDDLE),
                body={"commit_e": _DIGEST, "suites": {"1": 1, "2": 1, "7": 1}},
            ),
        ),
    ),
    FalseLog(
        "foreign-key",
        _among(lambda now: _other(now, "key", 6, log_key=_KEY, replaces=_KEY)),
    ),
    FalseLog("not-canonical", _with(_spaced)),
    FalseLog("no-entry", _with(lambda now: b"alice was here")),
    FalseLog("to-come", _with(_of_version)),
    FalseLog("twice", _with(lambda now: _event(now, _MIDDLE, number=2))),
    FalseLog("missing-number", _numbered),
    FalseLog(
        "rewritten",
        lambda now: _events(now, 300),
        rewritten=(_MIDDLE, lambda now: _event(now, _MIDDLE - 1, number=999)),
    ),
)


def _stands_in(log: str, index: int = _MIDDLE + 1) -> Telltale:
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
        blind=f"{UNREAD} audit gaps",
    ),
    Lie(
        "twice",
        "logs one event twice",
        _stands_in("twice"),
        "nobody",
        blind=f"{UNREAD} audit gaps",
    ),
    Lie(
        "rewritten",
        "rewrites an entry in the database that was signed long ago",
        _stands_in("rewritten", _MIDDLE),
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
        blind=f"{UNREAD} audit",
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
