"""The quick way to read leaves takes nothing that the parser refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.encoding import encode_base64url
from provlog.merkle.entries import event_template, parse_entry
from provlog.merkle.errors import MalformedError
from provlog.server.moving.leaves import _read_event, read_leaf

LEAF = event_template(
    entry_id=encode_base64url(bytes(32)),
    members={name: encode_base64url(name.encode() * 8) for name in ("aaaa", "bbbb")},
    source="urn:okta:acme",
    tags=[encode_base64url(bytes([each]) * 32) for each in (1, 2)],
    time="2026-11-21T17:53:55.516Z",
    type="role.assign",
    seq=17,
).finish(1, 1234, "2026-02-28T23:59:59.999Z")
PARTS = (b"", b"0", b"9", b"A", b"B", b"-", b'"', b",", b" ", b"\\", b"z", b"\xff")


@given(
    place=st.integers(0, len(LEAF) - 1),
    cut=st.integers(0, 3),
    text=st.sampled_from(PARTS),
)
def test_it_takes_what_the_parser_takes_and_says_the_same(
    place: int, cut: int, text: bytes
) -> None:
    altered = LEAF[:place] + text + LEAF[place + cut :]
    quick = _read_event(altered)
    try:
        entry = parse_entry(altered)
    except MalformedError:
        entry = None
    if entry is None or not entry.understood:
        assert quick is None
        return
    assert quick is not None
    assert (quick.kind, quick.epoch, quick.n) == (entry.kind, entry.epoch, entry.n)
    assert quick.recorded == entry.body["recorded"]
    assert quick.digests == sorted(each.encode() for each in entry.members.values())
    assert quick.tags == [each.encode() for each in entry.tags]
    assert encode_base64url(quick.key or b"") == entry.body["id"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"2026-02-28T", b"2026-02-29T"),
        (b'"seq":17', b'"seq":9007199254740992'),
        (b'"n":1234', b'"n":9007199254740992'),
        (b'"epoch":1', b'"epoch":4294967296'),
        (b"role.assign", b"r." + b"a" * 127),
        (b'"bbbb"', b'"aaaa"'),
        (b'"bbbb"', b'"aaa"'),
        (b"bbbb" * 8, b"aaaa" * 8),
    ],
)
def test_what_a_pattern_cannot_say_is_looked_at(old: bytes, new: bytes) -> None:
    old = encode_base64url(old).encode() if len(old) == 32 else old
    new = encode_base64url(new).encode() if len(new) == 32 else new
    altered = LEAF.replace(old, new)
    assert altered != LEAF
    assert _read_event(altered) is None
    with pytest.raises(MalformedError):
        read_leaf(altered)


def test_an_entry_of_a_kind_to_come_is_refused() -> None:
    later = LEAF.replace(b'"kind":"event"', b'"kind":"later"')
    with pytest.raises(MalformedError, match="does not know"):
        read_leaf(later)
