"""Cutting input into events, and telling one event from another, for any input."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.client.errors import UsageError
from provlog.client.events import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    cut_values,
    join_batch,
    prepare,
    read_events,
    split,
    split_batches,
)
from provlog.client.matching import require_event, split_event
from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import ContentError, MalformedError
from provlog.merkle.receipts import verify_receipt
from provlog.server.intake.event import EventError, parse_event
from provlog.server.intake.members import split_members
from provlog.server.intake.times import normalise_time
from support.events import json_values
from support.lying_log import LyingLog, event

SPACE = st.text(" \t\r\n", max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    max_leaves=6,
)


@given(st.lists(JSON), SPACE, st.sampled_from([None, 0, 2]))
def test_values_of_an_array_keep_their_bytes(
    values: list[Any], space: str, indent: int | None
) -> None:
    texts = [json.dumps(each, indent=indent, ensure_ascii=False) for each in values]
    inner = f"{space},{space}".join(texts)
    raw = f"{space}[{space}{inner}{space}]{space}".encode()
    assert cut_values(raw) == [text.encode() for text in texts]


@given(st.lists(st.dictionaries(st.text("ab"), JSON)), SPACE)
def test_values_on_lines_keep_their_bytes(values: list[Any], space: str) -> None:
    texts = [json.dumps(each) for each in values]
    raw = (space + f"\n{space}".join(texts)).encode()
    assert cut_values(raw) == [text.encode() for text in texts]


@given(st.binary() | st.text('[]{},: \n"a1').map(str.encode))
def test_any_input_is_cut_or_refused(raw: bytes) -> None:
    try:
        cut = cut_values(raw)
    except UsageError:
        return
    for each in cut:
        assert each in raw
        json.loads(each)


@pytest.mark.parametrize(
    "raw", [b"[1", b"[1 2]", b"[1,]", b"[,1]", b"[1] 2", b"{} x", b"\xff", b"[" * 99999]
)
def test_broken_input_is_refused(raw: bytes) -> None:
    with pytest.raises(UsageError):
        cut_values(raw)


@pytest.mark.parametrize("raw", [b"[1]", b'{"a":1,"a":2}', b'"x"'])
def test_what_is_not_an_event_is_refused_by_its_number(raw: bytes) -> None:
    with pytest.raises(UsageError, match="event 1"):
        read_events(raw)


def test_a_batch_fits_what_a_server_takes() -> None:
    many = [prepare({"id": str(place)}) for place in range(2 * MAX_BATCH_EVENTS + 1)]
    assert [len(each) for each in split_batches(many)] == [1000, 1000, 1]
    large = [prepare({"id": "a" * (1 << 20)}) for _ in range(20)]
    for batch in split_batches(large):
        body = join_batch(each.body for each in batch)
        assert len(body) <= MAX_BATCH_BYTES
        assert len(json.loads(body)) == len(batch)
    exact = [b"x" * (MAX_BATCH_BYTES // 2 - 2), b"x" * (MAX_BATCH_BYTES // 2 - 1)]
    (whole,) = split(exact, len, 2)
    assert len(join_batch(whole)) == MAX_BATCH_BYTES
    exact[0] += b"x"
    assert len(list(split(exact, len, 2))) == 2


def test_an_id_is_made_only_where_there_is_none() -> None:
    assert not prepare({"id": "a"}).minted
    first, second = prepare({}), prepare({"id": None})
    assert first.minted
    assert second.minted
    assert first.event["id"] != second.event["id"]


@pytest.mark.parametrize("sequence", [True, 1.0, "1.0", "01", "+1", " 1", "1_0"])
def test_a_sequence_is_a_canonical_whole_number(sequence: JsonValue) -> None:
    log = LyingLog()
    _, index = log.append(event(sequence="10" if sequence == "1_0" else "1"))
    verified = verify_receipt(json.dumps(log.receipt(index)).encode(), log.trust)
    with pytest.raises(ContentError, match="seq"):
        require_event(verified, event(sequence=sequence), fresh=True)


DATA = st.fixed_dictionaries(
    {},
    optional={
        "actor": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "id": st.none() | st.just("00u1"),
                "ns": st.none() | st.just("urn:x"),
                "type": st.none() | st.just("user"),
                "name": st.none() | st.text("ab"),
                "more": json_values(),
            },
        ),
        "context": st.fixed_dictionaries(
            {},
            optional={
                "ticket": st.none() | st.text("ab"),
                "reason": st.none() | st.text("ab"),
                "more": json_values(),
            },
        ),
        "resource": st.none() | st.dictionaries(st.text("ab"), json_values()),
        "changes": st.lists(st.dictionaries(st.text("ab"), json_values())),
        "outcome": st.just({"result": "success", "reason": None}),
    },
)


@given(DATA, st.dictionaries(st.text("xyz", min_size=1), st.none() | st.just("v")))
def test_the_split_is_the_servers(
    data: dict[str, JsonValue], more: dict[str, JsonValue]
) -> None:
    sent = event(data=data, **more)
    try:
        loads_json(json.dumps(sent))
        members = split_members(parse_event(sent, now_ms=0), "urn:ns", {})
    except (EventError, MalformedError):
        return
    del members["ingest"]
    assert split_event(sent, "urn:ns") == members


@given(
    st.datetimes(),
    st.integers(-14 * 60, 14 * 60),
    st.text("0123456789", max_size=9),
    st.sampled_from("Tt "),
)
def test_times_are_compared_in_the_form_of_leaves(
    moment: Any,  # noqa: ANN401
    offset: int,
    digits: str,
    separator: str,
) -> None:
    sign = "-" if offset < 0 else "+"
    hours, minutes = divmod(abs(offset), 60)
    text = moment.replace(microsecond=0).isoformat().replace("T", separator)
    fraction = f".{digits}" if digits else ""
    _compare_time(f"{text}{fraction}{sign}{hours:02}:{minutes:02}")


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-31T23:59:60Z",
        "2026-12-31T23:59:60.5Z",
        "2026-12-31t23:59:60.25+01:00",
        "2026-11-21T17:53:55.5169z",
        "0999-01-01T00:00:00Z",
    ],
)
def test_odd_times_are_compared_too(text: str) -> None:
    _compare_time(text)


def _compare_time(text: str) -> None:
    try:
        normalise_time(text)
    except ValueError:
        return
    log = LyingLog()
    sent = event(time=text)
    _, index = log.append(sent)
    verified = verify_receipt(json.dumps(log.receipt(index)).encode(), log.trust)
    require_event(verified, sent, fresh=True)
    # One that the log could not have read cannot be confirmed either.
    with pytest.raises(ContentError):
        require_event(verified, {**sent, "time": "yesterday"}, fresh=True)
    with pytest.raises(ContentError):
        require_event(verified, {**sent, "time": "2026-11-21T17:53:55"}, fresh=True)
