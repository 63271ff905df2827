"""Logs whose trees hold leaves that must not be there; `on_leaves` says why."""

import json
from collections.abc import Callable, Sequence

from hostile.worlds import FalseLog, Leaves, false_origin
from provlog.merkle.encoding import encode_base64url, format_time
from provlog.merkle.entries import build_entry, event_template
from support.tiled_logs import params_leaf

_DIGEST = encode_base64url(bytes(32))
_KEY = "log.example.com/next+00000000+AQ"
_COUNT = 12
"""Events in a log; the false leaf is in their middle."""
MIDDLE = 6


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
        leaves[MIDDLE] = leaf(now)
        return leaves

    return make


def _among(leaf: Callable[[int], bytes]) -> Leaves:
    """Return events with a further entry among them that is none."""

    def make(now: int) -> Sequence[bytes]:
        leaves = _events(now)
        return [*leaves[:MIDDLE], leaf(now), *leaves[MIDDLE:]]

    return make


def _params(now: int, origin: str) -> bytes:
    leaf = json.loads(params_leaf(origin, n=MIDDLE))
    leaf["recorded"] = format_time(now + MIDDLE)
    return json.dumps(leaf, sort_keys=True, separators=(",", ":")).encode()


def _numbered(now: int) -> Sequence[bytes]:
    """Return events whose source sent number 4, and it never got in."""
    numbers = [n for n in range(1, _COUNT + 2) if n != 4]
    return [_event(now, n, seq=seq) for n, seq in enumerate(numbers)]


def _spaced(now: int) -> bytes:
    return _event(now, MIDDLE).replace(b":", b": ", 1)


def _of_version(now: int) -> bytes:
    return _event(now, MIDDLE).replace(b'"v":1', b'"v":2')


FALSE_LOGS = (
    FalseLog("wrong-n", _with(lambda now: _event(now, MIDDLE - 3, at=3))),
    FalseLog("huge-n", _with(lambda now: _event(now, 9_000, at=-9_000))),
    FalseLog("recorded-back", _with(lambda now: _event(now, MIDDLE, at=-5_000))),
    FalseLog(
        "second-params",
        _among(lambda now: _params(now, false_origin("second-params"))),
    ),
    FalseLog(
        "foreign-params",
        _among(lambda now: _params(now, "log.example.com/other")),
    ),
    FalseLog("after-freeze", _among(lambda now: _other(now, "freeze", 6))),
    FalseLog("wrong-epoch", _with(lambda now: _event(now, MIDDLE, epoch=3))),
    FalseLog(
        "skipped-epoch",
        _among(
            lambda now: build_entry(
                "epoch",
                epoch=5,
                n=MIDDLE,
                recorded=format_time(now + MIDDLE),
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
    FalseLog("twice", _with(lambda now: _event(now, MIDDLE, number=2))),
    FalseLog("missing-number", _numbered),
    FalseLog(
        "rewritten",
        lambda now: _events(now, 300),
        rewritten=(MIDDLE, lambda now: _event(now, MIDDLE - 1, number=999)),
    ),
)
