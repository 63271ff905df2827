"""Submitting: one entry for one event, however often it has to be sent."""

import asyncio
import json
from collections.abc import Sequence
from typing import cast

import pytest
from aiohttp import web

from provlog.client import (
    AsyncClient,
    Receipt,
    RefusedError,
    UnavailableError,
    UsageError,
    VolatileMemory,
)
from provlog.client.aio import Result
from provlog.merkle.receipts import verify_receipt
from support.lying_log import Json, LyingLog, Served, event

DATA = cast(Json, event()["data"])


def busy(request: web.Request) -> web.Response:
    return web.Response(status=503, headers={"Retry-After": "0"})


def limited(request: web.Request) -> web.Response:
    return web.Response(status=429)


def broken(request: web.Request) -> web.Response:
    return web.Response(status=503)


def disconnect(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


def redirect(request: web.Request) -> web.Response:
    return web.Response(status=307, headers={"Location": "/elsewhere"})


async def test_the_receipt_is_of_the_event_and_can_be_kept(
    client: AsyncClient, log: LyingLog
) -> None:
    receipt = await client.submit(event())
    assert receipt.created
    kept = verify_receipt(json.dumps(receipt.json).encode(), log.trust)
    assert kept.entry.data == log.leaves[receipt.index]
    assert kept.withheld == []


async def test_the_same_event_again_has_the_same_entry(client: AsyncClient) -> None:
    first = await client.submit(event())
    data: Json = {**DATA, "original": {"media_type": "text/plain", "body": "other"}}
    again = await client.submit(event(extension="new", sequence="18", data=data))
    assert (again.index, again.created) == (first.index, False)


async def test_an_event_without_id_gets_one(client: AsyncClient, log: LyingLog) -> None:
    receipt = await client.submit({"source": "urn:a", "type": "account.create"})
    member = receipt.verified.disclosures["event"].value
    assert isinstance(member, dict)
    assert len(str(member["id"])) == 36


@pytest.mark.parametrize("fault", [busy, limited, disconnect])
async def test_a_retry_sends_the_same_id_and_makes_no_second_entry(
    fault: object, client: AsyncClient, log: LyingLog
) -> None:
    log.faults.append(fault)  # type: ignore[arg-type]
    await client.submit({"source": "urn:a", "type": "account.create"})
    assert len(log.bodies) == 2
    assert log.bodies[0] == log.bodies[1]
    assert len(log.leaves) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": "missing: \'w1\'"}', "(HTTP 503): missing: 'w1'"),
        (b'{"detail": 7}', "(HTTP 503)"),
        (b"<html>", "(HTTP 503)"),
        (b"x" * 70_000, "(HTTP 503)"),
    ],
)
async def test_why_to_come_back_later_is_said_if_the_server_says_it(
    body: bytes, said: str, served: Served, log: LyingLog
) -> None:
    def later(request: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "9"}, body=body)

    log.faults.append(later)
    async with AsyncClient(served.url, log.trust, patience=1) as client:
        with pytest.raises(UnavailableError) as raised:
            await client.submit(event())
    assert str(raised.value) == f"the server asks to come back later {said}"
    assert raised.value.retry_after == 9


async def test_an_answer_lost_on_the_way_is_asked_for_again(
    client: AsyncClient, log: LyingLog
) -> None:
    def log_and_disconnect(request: web.Request) -> None:
        log.append(json.loads(log.bodies[-1]))
        disconnect(request)

    log.faults.append(log_and_disconnect)
    receipt = await client.submit({"source": "urn:a", "type": "account.create"})
    assert len(log.leaves) == 2
    assert not receipt.created


@pytest.mark.parametrize("status", [202, 408, 500, 502, 503, 504])
async def test_what_may_have_failed_for_good_is_not_sent_again(
    status: int, client: AsyncClient, log: LyingLog
) -> None:
    log.faults.append(lambda request: web.Response(status=status))
    with pytest.raises(UnavailableError):
        await client.submit(event())
    assert len(log.bodies) == 1


async def test_unavailable_tells_which_events_are_unsettled_and_under_which_id(
    client: AsyncClient, log: LyingLog
) -> None:
    log.faults.append(broken)
    with pytest.raises(UnavailableError) as caught:
        await client.submit({"source": "urn:a", "type": "account.create"})
    (unsettled,) = caught.value.unsettled
    assert unsettled == json.loads(log.bodies[0])
    assert unsettled["id"]


async def test_patience_has_an_end(served: Served, log: LyingLog) -> None:
    client = AsyncClient(served.url, log.trust, memory=VolatileMemory(), patience=0.3)
    log.faults.extend([limited] * 20)
    async with client:
        with pytest.raises(UnavailableError, match="come back later"):
            await client.submit(event())
    assert 1 < len(log.bodies) < 20


async def test_nobody_listening_is_unavailable(log: LyingLog) -> None:
    client = AsyncClient(
        "http://127.0.0.1:9", log.trust, memory=VolatileMemory(), patience=0.1
    )
    async with client:
        with pytest.raises(UnavailableError, match="no connection"):
            await client.submit(event())


async def test_a_server_that_does_not_answer_is_unavailable(
    served: Served, log: LyingLog
) -> None:
    async def sleep(request: web.Request) -> None:
        await asyncio.sleep(0.5)

    log.faults.append(sleep)
    client = AsyncClient(
        served.url, log.trust, memory=VolatileMemory(), timeout=0.1, patience=0
    )
    async with client:
        with pytest.raises(UnavailableError, match="no answer in time"):
            await client.submit(event())


async def test_a_redirect_is_not_followed(client: AsyncClient, log: LyingLog) -> None:
    log.faults.append(redirect)
    with pytest.raises(UsageError, match="redirects"):
        await client.submit(event())
    assert len(log.requests) == 1


async def test_a_refusal_names_status_and_member(client: AsyncClient) -> None:
    with pytest.raises(RefusedError) as caught:
        await client.submit(event(type="Not A Type"))
    assert (caught.value.status, caught.value.pointer) == (422, "/type")
    assert caught.value.kind == "invalid-event"


async def test_a_refusal_cannot_drive_a_terminal(
    client: AsyncClient, log: LyingLog
) -> None:
    detail = "\x1b[2J" + "x" * 5000
    log.faults.append(lambda request: web.json_response({"detail": detail}, status=400))
    with pytest.raises(RefusedError) as caught:
        await client.submit(event())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


async def test_what_is_not_json_is_refused_before_anything_is_sent(
    client: AsyncClient, log: LyingLog
) -> None:
    for value in (float("nan"), "\ud800", object()):
        with pytest.raises(UsageError):
            await client.submit({"source": value})  # type: ignore[dict-item]
    assert log.requests == []


async def test_one_bad_event_in_a_batch_does_not_cost_the_good_ones(
    client: AsyncClient, log: LyingLog
) -> None:
    events = [event(id="a"), event(id="b", type="?"), event(id="c"), event(id="a")]
    results = await client.submit_batch(events)
    assert [type(each) for each in results] == [Receipt, RefusedError, Receipt, Receipt]
    for result in results:
        if isinstance(result, Receipt):
            verify_receipt(json.dumps(result.json).encode(), log.trust)
    assert log.paths() == ["POST events"]


async def test_many_events_travel_in_batches_of_a_thousand(
    client: AsyncClient, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.client.events.MAX_BATCH_EVENTS", 3)
    seen: list[int] = []

    def on_results(results: Sequence[Result]) -> None:
        seen.append(len(results))

    events = [event(id=f"e{place}") for place in range(7)]
    results = await client.submit_batch(events, on_results=on_results)
    assert len(results) == 7
    assert seen == [3, 3, 1]


async def test_an_interrupted_batch_leaves_what_was_done_and_says_what_was_not(
    client: AsyncClient, log: LyingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.client.events.MAX_BATCH_EVENTS", 2)
    done: list[Result] = []
    log.faults.extend([lambda request: None, broken])
    with pytest.raises(UnavailableError) as caught:
        await client.submit_batch(
            [event(id=f"e{place}") for place in range(5)], on_results=done.extend
        )
    assert [each["id"] for each in caught.value.unsettled] == ["e2", "e3", "e4"]
    assert len(done) == 2


async def test_records_keep_their_bytes(client: AsyncClient, log: LyingLog) -> None:
    raw = b'[ {"uuid":"u1",  "a":1.50}, {"uuid":"u2"}\n]'
    results = await client.submit_records("okta", "urn:okta:acme", raw)
    assert b'{"uuid":"u1",  "a":1.50}' in log.bodies[0]
    assert len(results) == 2
    again = await client.submit_records("okta", "urn:okta:acme", raw)
    assert [each.created for each in again if isinstance(each, Receipt)] == [False] * 2


async def test_records_that_become_too_many_events_are_halved(
    client: AsyncClient, log: LyingLog
) -> None:
    def only_small(request: web.Request) -> web.Response | None:
        small = len(json.loads(log.bodies[-1])) <= 2
        return None if small else web.Response(status=413)

    log.faults.extend([only_small] * 9)
    raw = b"[%b]" % b",".join(b'{"uuid":"u%d"}' % place for place in range(7))
    results = await client.submit_records("okta", "urn:okta:acme", raw)
    assert [each.index for each in results if isinstance(each, Receipt)] == list(
        range(1, 8)
    )
    log.faults.clear()
    log.faults.append(lambda request: web.Response(status=413))
    with pytest.raises(RefusedError):
        await client.submit_records("okta", "urn:okta:acme", b'{"uuid":"u9"}')


async def test_a_busy_submitter_needs_no_consistency_proofs(
    client: AsyncClient, log: LyingLog
) -> None:
    for place in range(10):
        await client.submit(event(id=f"e{place}"))
    await client.submit_batch([event(id=f"b{place}") for place in range(5)])
    assert set(log.paths()) == {"POST events"}


async def test_one_client_serves_many_tasks(client: AsyncClient, log: LyingLog) -> None:
    receipts = await asyncio.gather(
        *(client.submit(event(id=f"e{place}")) for place in range(40))
    )
    assert sorted(each.index for each in receipts) == list(range(1, 41))
