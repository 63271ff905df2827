"""The document of announcements: its form, and what may be in it at most."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.announcements import (
    follow,
    format_announcements,
    parse_announcements_unverified,
)
from provlog.merkle.errors import MalformedError, MerkleError
from support.announced_logs import AnnouncedLog
from support.golden_entries import ORIGIN


def rotated(times: int = 2, *, frozen: bool = False) -> AnnouncedLog:
    log = AnnouncedLog()
    for _ in range(times):
        log.rotate()
        log.grow(2)
    if frozen:
        log.freeze()
    return log


def body(**changes: Any) -> bytes:  # noqa: ANN401
    whole = json.loads(rotated(1).document())
    return json.dumps({**whole, **changes}).encode()


def listed(**changes: Any) -> bytes:  # noqa: ANN401
    (announcement,) = json.loads(rotated(1).document())["announcements"]
    return body(announcements=[{**announcement, **changes}])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        body(v=2),
        body(v=True),
        body(origin=1),
        body(announcements={}),
        body(announcements=[1]),
        body(more=1),
        body(announcements=[{}] * 1001),
        listed(index=-1),
        listed(index=True),
        listed(index="3"),
        listed(leaf=None),
        listed(leaf="e30"),
        listed(leaf="A" * 90_000),
        listed(proof=1),
        listed(proof="A" * (1 << 20) + "A"),
        listed(more=1),
        b" " * ((16 << 20) + 1),
    ],
)
def test_what_is_not_in_the_format_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        follow(AnnouncedLog().trust, data)


def test_a_million_announcements_are_refused_unread() -> None:
    with pytest.raises(MalformedError, match="1000 at most"):
        parse_announcements_unverified(body(announcements=[0] * 1_000_000))


def test_what_is_out_of_order_or_twice_is_refused() -> None:
    log = rotated(2)
    first, second = log.announcements()
    for lie in ((second, first), (first, first)):
        with pytest.raises(MalformedError, match="order"):
            follow(log.trust, format_announcements(ORIGIN, lie))


def test_what_is_written_is_read() -> None:
    announcements = rotated(2, frozen=True).announcements()
    data = format_announcements(ORIGIN, announcements)
    assert parse_announcements_unverified(data) == (ORIGIN, tuple(announcements))


DOCUMENT = rotated(2, frozen=True).document()


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, len(DOCUMENT) - 1), other=st.integers(0, 255))
def test_a_changed_byte_leads_to_no_other_key(place: int, other: int) -> None:
    changed = DOCUMENT[:place] + bytes((other,)) + DOCUMENT[place + 1 :]
    log = rotated(2, frozen=True)
    true = follow(log.trust, DOCUMENT).trust
    try:
        found = follow(log.trust, changed).trust
    except MerkleError:
        return
    assert found == true


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["v", "origin", "announcements"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_nothing_else_is_raised_about_a_document(data: bytes) -> None:
    with contextlib.suppress(MerkleError):
        follow(AnnouncedLog().trust, data)
