"""One event over HTTP: its receipt, and every way in which it can be refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provlog.merkle.receipts import verify_receipt
from provlog.server.queueing import QueueLimits
from provlog.server.reader import LogReader, StoredEntry
from support.events import event_json
from support.instances import SOURCE, Reply, Served, served


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


async def test_the_answer_is_a_receipt_that_verifies_offline(log: Served) -> None:
    reply = await log.post(event_json())
    assert reply.status == 201
    receipt = verify_receipt(reply.body, log.made.trust)
    assert receipt.entry.kind == "event"
    assert receipt.withheld == []
    assert receipt.openings is None
    assert receipt.disclosures["actor"].value == {
        "id": "00u1",
        "ns": SOURCE,
        "type": "user",
    }
    assert receipt.disclosures["ingest"].value == {
        "authentication": "bearer",
        "ns": SOURCE,
        "token": log.made.tokens["submitter"].split("_")[1],
    }


async def test_the_same_event_again_gets_the_same_entry(log: Served) -> None:
    first = await log.post(event_json())
    await log.fill(300)
    again = await log.post(event_json())
    assert (first.status, again.status) == (201, 200)
    old = verify_receipt(first.body, log.made.trust)
    new = verify_receipt(again.body, log.made.trust)
    assert (new.index, new.entry) == (old.index, old.entry)
    assert new.disclosures == old.disclosures
    assert new.checkpoint.checkpoint.size == 300


async def test_other_content_under_a_taken_id_is_a_conflict(log: Served) -> None:
    first = await log.post(event_json())
    reply = await log.post(event_json(type="role.revoke"))
    assert (reply.status, reply.slug) == (409, "conflict")
    assert reply.json()["index"] == first.json()["index"]


async def test_an_erased_event_is_gone_and_says_where_it_stood(log: Served) -> None:
    index = (await log.post(event_json())).json()["index"]
    log.execute("DELETE FROM private WHERE idx = ?", index)
    reply = await log.post(event_json())
    assert (reply.status, reply.slug) == (410, "erased")
    assert reply.json()["index"] == index


async def test_an_event_erased_while_it_is_answered_is_gone(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.post(event_json())
    entry = StoredEntry(1, b"{}", None, None)

    async def erased(*_: object) -> dict[int, StoredEntry]:
        return {1: entry}

    monkeypatch.setattr(LogReader, "entries", erased)
    reply = await log.post(event_json())
    assert (reply.status, reply.slug, reply.json()["index"]) == (410, "erased", 1)


async def test_openings_go_to_auditors_only(log: Served) -> None:
    reply = await log.post(event_json(), role="submitter+auditor")
    receipt = verify_receipt(reply.body, log.made.trust)
    assert receipt.openings is not None
    assert len(receipt.openings.labels) == len(receipt.entry.tags) == 3
    again = await log.post(event_json(), role="submitter+auditor")
    assert "openings" in again.json()
    assert "openings" not in (await log.post(event_json())).json()


async def test_receipts_can_be_left_out(log: Served) -> None:
    reply = await log.post(event_json(), query="?receipts=none")
    assert (reply.status, reply.json()) == (201, {"status": 201, "index": 1})
    reply = await log.post(event_json(), query="?receipts=none")
    assert (reply.status, reply.json()) == (200, {"status": 200, "index": 1})
    reply = await log.post(event_json(type="a.b"), query="?receipts=none")
    assert (reply.status, reply.slug) == (409, "conflict")


async def test_the_plain_json_type_and_binary_mode_are_taken(log: Served) -> None:
    reply = await log.post(event_json(), media_type="application/json; charset=utf-8")
    assert reply.status == 201
    event = event_json(id="binary")
    data = event.pop("data")
    headers = {f"ce-{name}": value for name, value in event.items()}
    async with log.client.post(
        "/logs/main/events", json=data, headers={**log.bearer("submitter"), **headers}
    ) as answer:
        assert answer.status == 201
        receipt = verify_receipt(await answer.read(), log.made.trust)
    assert receipt.disclosures["resource"].value == data["resource"]


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b'{"specversion"', 400, "malformed"),
        (b'{"specversion":"1.0","id":"1","id":"2"}', 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b"", 400, "malformed"),
        (b"[]", 400, "malformed"),
        (b"7", 422, "invalid-event"),
    ],
)
async def test_a_body_that_is_no_event_is_refused(
    log: Served, body: bytes, status: int, slug: str
) -> None:
    reply = await log.post(body)
    assert (reply.status, reply.slug) == (status, slug)
    assert log.log.released.size == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"specversion": "0.3"}, "/specversion"),
        ({"type": "provlog.erasure"}, "/type"),
        ({"time": "yesterday"}, "/time"),
        ({"sequence": "007"}, "/sequence"),
        ({"data": {"target": {"id": ""}}}, "/data/target/id"),
        ({"data": {"outcome": {"result": "maybe"}}}, "/data/outcome/result"),
    ],
)
async def test_the_member_that_is_wrong_is_named(
    log: Served, change: dict[str, object], pointer: str
) -> None:
    reply = await log.post({**event_json(), **change})
    assert (reply.status, reply.slug) == (422, "invalid-event")
    assert reply.json()["pointer"] == pointer


async def test_another_content_type_is_refused(log: Served) -> None:
    reply = await log.post(event_json(), media_type="text/plain")
    assert (reply.status, reply.slug) == (415, "unsupported-media-type")


async def test_a_source_the_token_may_not_write_is_refused(log: Served) -> None:
    reply = await log.post(event_json(source="urn:okta:other"))
    assert (reply.status, reply.slug) == (403, "forbidden")
    assert reply.json()["pointer"] == "/source"
    assert log.log.released.size == 1


async def test_waiting_for_witnesses_is_refused_where_there_are_none(
    log: Served,
) -> None:
    reply = await log.post(event_json(), query="?wait=witnessed")
    assert (reply.status, reply.slug) == (422, "not-witnessed")
    assert log.log.released.size == 1


@pytest.mark.parametrize(
    "query",
    [
        "?receipt=none",
        "?receipts=some",
        "?receipts=none&receipts=none",
        "?wait=for-me",
        "?format=okta",
        "?source=urn:okta:acme",
        "?format=csv&source=urn:okta:acme",
        "?format=okta&source=%22",
    ],
)
async def test_an_unknown_or_wrong_query_is_refused(log: Served, query: str) -> None:
    reply = await log.post(event_json(), query=query)
    assert (reply.status, reply.slug) == (400, "malformed")
    assert log.log.released.size == 1


async def test_a_full_queue_answers_when_to_come_back(tmp_path: Path) -> None:
    limits = QueueLimits(queued_events=1)
    async with served(tmp_path, sources=(SOURCE, "*"), limits=limits) as log:
        async with log.service.storage.transaction():
            # One is being committed, one waits, and there is no room for another.
            waiting = []
            for number, queued in enumerate((0, 1)):
                event = event_json(id=str(number))
                waiting.append(asyncio.create_task(log.post(event)))
                await _until_queued(log, queued)
            reply = await log.post(event_json(id="one too many"))
            assert (reply.status, reply.slug) == (503, "overloaded")
            assert int(reply.headers["Retry-After"]) >= 1
            reply = await log.post(event_json(source="urn:new"))
            assert (reply.status, reply.slug) == (503, "overloaded")
        assert await log.service.storage.source(log.log.id, "urn:new") is None
        assert [(await task).status for task in waiting] == [201, 201]
        assert log.log.released.size == 3


async def _until_queued(log: Served, events: int) -> None:
    """Wait until a submission was taken and that many events are left in the queue."""
    lanes = log.service.sequencer._lanes
    while 0 not in lanes or lanes[0].queue.waiting.count != events:  # noqa: ASYNC110  others' state
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


async def test_a_stopping_server_and_a_halted_log_refuse(log: Served) -> None:
    log.log.halt("somebody changed /var/lib/provlog")
    reply = await log.post(event_json())
    _require_unavailable(reply)
    assert b"/var/lib" not in reply.body
    await log.service.sequencer.close()
    _require_unavailable(await log.post(event_json()))


def _require_unavailable(reply: Reply) -> None:
    assert (reply.status, reply.slug) == (503, "unavailable")
    assert int(reply.headers["Retry-After"]) >= 1


async def test_a_receipt_that_does_not_verify_never_leaves(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.fill(10)
    monkeypatch.setattr(
        "provlog.server.batch.Release.hashes", lambda *_: ["A" * 43 + "="] * 4
    )
    reply = await log.post(event_json())
    assert (reply.status, reply.slug) == (500, "internal")
    monkeypatch.undo()
    _require_unavailable(await log.post(event_json(id="next")))


async def test_a_source_is_registered_with_its_first_event(tmp_path: Path) -> None:
    async with served(tmp_path, sources=("*",)) as log:
        reply = await log.post(event_json(source="urn:new"))
        assert (reply.status, reply.json()["index"]) == (201, 2)
        known = await log.service.storage.source(log.log.id, "urn:new")
        assert known is not None
        assert known.ns == "urn:new"
        assert (await log.post(event_json(source="urn:new", id="2"))).status == 201
        assert log.log.released.size == 4
