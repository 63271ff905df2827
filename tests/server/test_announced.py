"""What a log may announce: keys in one line, and its end, which always has room."""

import pytest

from provlog.merkle.announcement_document import MAX_ANNOUNCEMENTS
from provlog.merkle.entries import build_entry
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import SigningKey
from provlog.server.announced import MAX_KEYS, Announced

ORIGIN = "log.example.com/main"


def _vkey(number: int) -> str:
    return SigningKey.from_seed(ORIGIN, number.to_bytes(32, "big")).verifier().vkey()


def _leaf(kind: str, **body: str) -> bytes:
    recorded = "2026-11-27T00:00:00.000Z"
    return build_entry(kind, epoch=1, n=0, recorded=recorded, body=body)


def _key(number: int) -> bytes:
    return _leaf("key", log_key=_vkey(number), replaces=_vkey(number - 1))


def test_a_log_that_announced_all_the_keys_it_may_can_still_end() -> None:
    announced = Announced(_vkey(0))
    for number in range(1, MAX_KEYS + 1):
        announced = announced.adding(number, _key(number))
    with pytest.raises(MalformedError, match="more than 999 keys"):
        announced.adding(MAX_KEYS + 1, _key(MAX_KEYS + 1))
    ended = announced.adding(MAX_KEYS + 1, _leaf("freeze"))
    assert ended.frozen is not None
    assert len(ended.entries) == MAX_ANNOUNCEMENTS
    with pytest.raises(MalformedError, match="after the end"):
        ended.adding(MAX_KEYS + 2, _leaf("freeze"))
