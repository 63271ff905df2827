"""Cutting a provider's records as the server does, and sending all of them."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provlog.client import AsyncClient, Receipt, RefusedError, UsageError
from provlog.client.records import (
    ENVELOPES,
    MAX_BATCH_RECORDS,
    Records,
    cut_records,
)
from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import EventError
from support.lying_log import LyingLog, cut_as_server

PIECES = st.sampled_from(
    [
        *(b'[]{},:"\\ \t\r\n1\xff\x0c'[place:][:1] for place in range(17)),
        b'{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":1,"a":2}',
        b'{"a":"\\ud800\n"}',
        b"{broken",
        b"NaN",
        b"\n[\n",
        b"\n",
        b" , ",
    ]
)
RAW = st.lists(PIECES, max_size=12).map(b"".join) | st.lists(
    st.sampled_from([b'{"a":1}', b"{broken", b'"\xff"', b" ", b"[1]"])
).map(b"\n".join)


def parsed_by_server(raw: bytes) -> list[bytes] | None:
    try:
        return cut_as_server(raw)
    except EventError:
        return None


def parsed_by_client(raw: bytes) -> Records | None:
    try:
        return cut_records(raw)
    except UsageError:
        return None


@given(RAW)
@example(b'{"a":1}\x0c')
@example(b'x\n{"a":1}')
@example(b'{"a":1}\x0c\nx\ny\n{}')
def test_records_are_cut_where_the_server_cuts_them(raw: bytes) -> None:
    records = parsed_by_client(raw)
    if not raw.strip(b" \t\r\n"):
        # The server refuses an empty body; nothing to send is nothing to refuse.
        assert records is not None
        assert list(records.batches()) == []
    else:
        found = None if records is None else list(records.items)
        assert found == parsed_by_server(raw)


@given(RAW)
@example(b'{"a":1}\x0c')
@example(b'x\n{"a":1}')
@example(b'{"a":1}\x0c\nx\ny\n{}')
def test_what_is_sent_is_cut_into_the_same_records(raw: bytes) -> None:
    records = parsed_by_client(raw)
    if records is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("provlog.client.records.MAX_BATCH_RECORDS", 2)
        batches = list(records.batches())
    place = 0
    for batch in batches:
        assert parsed_by_server(batch.body) == list(batch.items)
        new = list(records.items[place : place + 2])
        lead = list(batch.items[: len(batch.items) - len(new)])
        assert list(batch.items) == lead + new
        assert len(lead) <= records.lines
        assert all(each in records.items[:place] for each in lead)
        place += len(new)
        for half in batch.halves() or ():
            assert parsed_by_server(half.body) == list(half.items)
            assert len(half.items) < len(batch.items)
    assert place == len(records.items)


def test_lines_that_are_no_objects_go_behind_one_that_is() -> None:
    first, last = b'{"a":1}', b'{"a":2}'
    items = [first, *[b"x"] * (MAX_BATCH_RECORDS - 2), last, b"y", b"z"]
    one, two = cut_records(b"\n".join(items)).batches()
    assert one.items == items[:MAX_BATCH_RECORDS]
    assert two.items == [last, b"y", b"z"]
    halves = two.halves()
    assert halves is not None
    assert [each.items for each in halves] == [[last, b"y"], [last, b"z"]]
    assert halves[0].halves() is None


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 99999,
        b'{"a":' * 99999,
        b"[1,]",
        b"[,]",
        b"[1 2]",
        b"[1] 2",
        b"x\n{}",
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_the_server_would_refuse_whole_is_not_sent(raw: bytes) -> None:
    assert parsed_by_server(raw) is None
    with pytest.raises(UsageError):
        cut_records(raw)


async def test_every_line_becomes_an_entry_whatever_it_is(
    client: AsyncClient, log: LyingLog
) -> None:
    lines = [
        b'{"uuid":"u1"}',
        b"{broken",
        b'{"uuid":"u2","a":"\xff"}',
        b"7",
        b'{"a":1}',
    ]
    results = await client.submit_records("okta", "urn:a", b"\n".join(lines) + b"\r\n")
    assert log.bodies[0].split(b"\n") == lines
    assert log.requests[0].headers["Content-Type"] == "application/x-ndjson"
    assert [each.created for each in results if isinstance(each, Receipt)] == [True] * 5
    assert len(log.leaves) == 6


async def test_a_run_of_broken_lines_longer_than_a_batch_is_logged_too(
    client: AsyncClient, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.client.records.MAX_BATCH_RECORDS", 3)
    lines = [b'{"uuid":"u1"}', *(b"x%d" % number for number in range(7))]
    results = await client.submit_records("okta", "urn:a", b"\n".join(lines))
    assert len(log.leaves) == 1 + len(lines)
    known = [not each.created for each in results if isinstance(each, Receipt)]
    # The object that leads each further batch is answered again.
    assert known == [False] * 3 + [True, False, False, False] * 1 + [True, False, False]


async def test_elements_of_an_array_need_not_be_objects_nor_strict(
    client: AsyncClient, log: LyingLog
) -> None:
    raw = b' [1, "\xff", {"a":1,"a":2} ,NaN]\n'
    results = await client.submit_records("okta", "urn:a", raw)
    assert all(isinstance(each, Receipt) for each in results)
    assert len(log.leaves) == 5


async def test_one_object_over_several_lines_is_one_record(
    client: AsyncClient, log: LyingLog
) -> None:
    value: JsonValue = {"uuid": "u1", "target": []}
    raw = json.dumps(value, indent=2).encode()
    await client.submit_records("okta", "urn:a", raw)
    assert log.bodies == [raw]
    assert len(log.leaves) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b'{"kind": "k", "items": [{"a":1},\n {"a":"\xff"} ,7]}',
        b'{"items": [{"a":1},7]}',
        b'{\n "it\\u0065ms" : [ ] , "x": "]}" }',
        b'{"items": {"items": [1]}}',
        b'{"items": [1], "items": [2]}',
        b'{"items": "[1]"}',
        b'{"item": [1]}\n',
        b'{"items": [1]}\n{"items": [2]}',
        b'[{"items": [1]}]',
        b"{}",
    ],
)
def test_records_are_taken_out_of_what_an_api_wraps_them_in(raw: bytes) -> None:
    records = cut_records(raw, "google")
    assert list(records.items) == cut_as_server(raw, "google")
    assert cut_as_server(records.body, "google") == list(records.items)
    assert list(cut_records(raw, "okta").items) == cut_as_server(raw)


def test_the_envelopes_are_the_connectors() -> None:
    theirs = {
        name: envelopes
        for name, connector in CONNECTORS.items()
        if (envelopes := getattr(connector, "envelopes", ()))
    }
    assert {name: tuple(map(tuple, each)) for name, each in ENVELOPES.items()} == theirs


async def test_no_records_are_no_requests(client: AsyncClient, log: LyingLog) -> None:
    for raw in (b"", b" \r\n", b"[]"):
        assert await client.submit_records("okta", "urn:a", raw) == []
    assert log.requests == []


async def test_a_refusal_of_the_whole_is_raised(
    client: AsyncClient, log: LyingLog
) -> None:
    raw = json.dumps({"uuid": "a" * (9 << 20)}).encode()
    with pytest.raises(RefusedError) as caught:
        await client.submit_records("okta", "urn:a", raw)
    assert caught.value.status == 413
    assert len(log.requests) == 1
