"""Many events in one request: each has its answer, and none costs another."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from provlog.merkle.encoding import decode_base64
from provlog.merkle.proof_file import format_proof_lines
from provlog.merkle.receipts import VerifiedReceipt, receipt_json, verify_receipt
from provlog.server.http.app import HttpSettings
from provlog.server.intake.cloudevents import BATCH, NDJSON
from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from provlog.server.intake.records import STEP_RECORDS
from provlog.server.queueing import QueueLimits
from provlog.server.storage.base import SourceRecord
from support.events import event_json
from support.instances import Served, served

OKTA = "?format=okta&source=urn:okta:acme"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


def _verify(log: Served, reply: dict[str, Any], result: Any) -> VerifiedReceipt:  # noqa: ANN401
    """Return what the receipt proves that a client makes of a result."""
    receipt = receipt_json(
        reply["origin"],
        result["index"],
        decode_base64(result["leaf"]),
        result["disclosures"],
        format_proof_lines(result["index"], result["hashes"], reply["checkpoint"]),
    )
    if "openings" in result:
        receipt["openings"] = result["openings"]
    return verify_receipt(json.dumps(receipt).encode(), log.made.trust)


def _statuses(reply: dict[str, Any]) -> list[int]:
    return [result["status"] for result in reply["results"]]


async def test_every_result_makes_a_receipt_with_the_one_checkpoint(
    log: Served,
) -> None:
    events = [event_json(id=str(number)) for number in range(300)]
    reply = (await log.batch(events)).json()
    assert _statuses(reply) == [201] * 300
    for number, result in enumerate(reply["results"]):
        receipt = _verify(log, reply, result)
        assert receipt.index == number + 1
        assert receipt.disclosures["event"].value == {
            "id": str(number),
            "time": events[number]["time"],
        }
        assert receipt.openings is None


async def test_bad_events_do_not_cost_the_good_ones(log: Served) -> None:
    await log.post(event_json(id="taken"))
    index = (await log.post(event_json(id="erased"))).json()["index"]
    log.execute("DELETE FROM private WHERE idx = ?", index)
    reply = await log.batch(
        [
            event_json(id="new"),
            event_json(id="taken", type="other.type"),
            event_json(id="taken"),
            event_json(id="erased"),
            event_json(id="x", source="urn:not:mine"),
            {"specversion": "1.0"},
            event_json(id="new"),
            event_json(id="new", type="other.type"),
            event_json(id="last"),
        ]
    )
    body = reply.json()
    assert reply.status == 200
    assert _statuses(body) == [201, 409, 200, 410, 403, 422, 200, 409, 201]
    places = [result.get("index") for result in body["results"]]
    assert places == [3, None, 1, None, None, None, 3, None, 4]
    problems = [result.get("problem", {}) for result in body["results"]]
    assert [problem.get("index") for problem in problems[1:4]] == [1, None, 2]
    assert problems[7]["index"] == 3
    assert [problem.get("pointer") for problem in problems[4:6]] == ["/source", "/id"]
    for result in body["results"]:
        if result["status"] < 300:
            _verify(log, body, result)
        else:
            assert result["problem"]["status"] == result["status"]


async def test_a_batch_that_is_sent_again_gets_the_same_entries(log: Served) -> None:
    events = [event_json(id=str(number)) for number in range(280)]
    first = (await log.batch(events, role="submitter+auditor")).json()
    await log.fill(600)
    again = (await log.batch(events[::-1], role="submitter+auditor")).json()
    assert _statuses(again) == [200] * 280
    for old, new in zip(first["results"][::-1], again["results"], strict=True):
        assert _verify(log, again, new).openings is not None
        for member in ("index", "leaf", "disclosures", "openings"):
            assert new[member] == old[member]


async def test_no_checkpoint_where_nothing_succeeded(log: Served) -> None:
    await log.post(event_json())
    reply = (await log.batch([{}, event_json(type="other.type")])).json()
    assert (_statuses(reply), reply["checkpoint"]) == ([422, 409], None)
    empty = (await log.batch([])).json()
    assert (empty["results"], empty["checkpoint"]) == ([], None)


async def test_receipts_can_be_left_out_of_a_batch(log: Served) -> None:
    reply = await log.batch([event_json(), {}, event_json()], query="?receipts=none")
    first, bad, again = reply.json()["results"]
    assert (first, again) == ({"status": 201, "index": 1}, {"status": 200, "index": 1})
    assert bad["problem"]["pointer"] == "/specversion"
    assert reply.json()["checkpoint"].startswith("log.example.com/main\n2\n")


async def test_lines_of_json_are_a_batch(log: Served) -> None:
    lines = [json.dumps(event_json(id=str(number))) for number in range(3)]
    body = "\n".join([lines[0], '{"id":', lines[1], "", lines[2], ""]).encode()
    reply = (await log.post(body, media_type=NDJSON)).json()
    assert _statuses(reply) == [201, 400, 201, 201]


async def test_a_batch_beyond_the_limits_is_refused_whole(log: Served) -> None:
    reply = await log.batch([event_json(id=str(number)) for number in range(1001)])
    assert (reply.status, reply.slug) == (413, "too-large")
    async with log.client.post(
        "/logs/main/events",
        data=io.BytesIO(b"[" + b" " * 8388607 + b"]"),
        headers={**log.bearer("submitter"), "Content-Type": BATCH},
    ) as answer:
        assert answer.status == 413
    reply = await log.batch([event_json(), {"x": "y" * 262144}])
    assert _statuses(reply.json()) == [201, 413]


async def test_an_unreadable_array_is_refused_whole(log: Served) -> None:
    body = b"[" + json.dumps(event_json()).encode() + b",{]"
    reply = await log.post(body, media_type=BATCH)
    assert (reply.status, reply.slug) == (400, "malformed")
    assert log.log.released.size == 1


async def test_a_providers_records_are_taken_as_they_are(log: Served) -> None:
    records = [
        {
            "uuid": f"u-{number}",
            "published": "2026-11-21T17:53:55.516Z",
            "eventType": "user.lifecycle.create",
            "actor": {"id": "00u1", "type": "User"},
            "target": [{"id": f"00u{number}", "type": "User"}],
            "outcome": {"result": "SUCCESS"},
        }
        for number in range(3)
    ]
    raw = "\n".join(json.dumps(record) for record in records).encode()
    reply = (await log.post(raw, query=OKTA, media_type="text/plain")).json()
    assert _statuses(reply) == [201, 201, 201]
    receipt = _verify(log, reply, reply["results"][2])
    assert receipt.entry.body["type"] == "account.create"
    assert receipt.disclosures["original"].value == {
        "media_type": "application/json",
        "body": json.dumps(records[2]),
    }
    # The same id with other content is another record, and logged.
    records[0]["outcome"] = {"result": "FAILURE"}
    raw = json.dumps(records[:2]).encode()
    again = (await log.post(raw, query=OKTA)).json()
    assert _statuses(again) == [201, 200]


async def test_a_providers_records_need_the_source(log: Served) -> None:
    query = "?format=okta&source=urn:okta:other"
    reply = await log.post(b"[{}]", query=query)
    assert (reply.status, reply.slug) == (403, "forbidden")
    reply = await log.post(b"not json", query=OKTA)
    assert (reply.status, reply.slug) == (400, "malformed")


async def test_a_large_batch_gives_others_their_turn(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    seen: list[int] = []
    draft = log.log.drafter.event

    def watched(event: Event, ns: str, ingest: Any) -> Any:  # noqa: ANN401
        seen.append(turns)
        return draft(event, ns, ingest)

    monkeypatch.setattr(log.log.drafter, "event", watched)
    counting = asyncio.create_task(count())
    await log.batch([event_json(id=str(number)) for number in range(1000)])
    counting.cancel()
    assert len(seen) == 1000
    assert max(map(seen.count, set(seen))) <= STEP_RECORDS


async def test_reading_a_large_batch_gives_others_their_turn(log: Served) -> None:
    # As many bytes and as much to read as a batch may have, and none of it an event.
    element = b'{"a":[' + b"{}," * 80_000 + b"{}]}"
    body = b"[" + b",".join([element] * 34) + b"]"
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - begun)

    watching = asyncio.create_task(watch())
    begun = time.perf_counter()
    reply = await log.post(body, media_type=BATCH)
    taken = time.perf_counter() - begun
    watching.cancel()
    assert _statuses(reply.json()) == [422] * 34
    assert longest < taken / 5


async def test_new_sources_of_a_batch_register_together(tmp_path: Path) -> None:
    async with served(tmp_path, sources=("*",)) as log:
        events = [
            event_json(source=f"urn:source:{n % 20}", id=str(n)) for n in range(40)
        ]
        reply = (await log.batch(events)).json()
        assert _statuses(reply) == [201] * 40
        sources = await log.service.storage.sources(log.log.id)
        assert len(sources) == 20
        assert log.log.released.size == 1 + 20 + 40


def _heavy(number: int) -> dict[str, Any]:
    reason = {"reason": "x" * 10_000}
    return event_json({"context": reason}, source=f"urn:new:{number}", id=str(number))


async def test_a_refused_batch_registers_no_source(tmp_path: Path) -> None:
    settings = HttpSettings(drafted_bytes=100_000)
    async with served(tmp_path, sources=("*",), settings=settings) as log:
        reply = await log.batch([_heavy(number) for number in range(20)])
        assert (reply.status, reply.slug) == (413, "too-large")
        assert "fewer" in reply.json()["detail"]
        drafted: dict[str, Any] = {"changes": [{"value": 1e15}] * 5}
        unfit = event_json(drafted, source="urn:unfit", type="no-dot")
        assert _statuses((await log.batch([unfit])).json()) == [422]
        assert await log.service.storage.sources(log.log.id) == []
        assert log.log.released.size == 1


async def test_more_than_the_queue_ever_takes_is_too_large(tmp_path: Path) -> None:
    async with served(tmp_path, limits=QueueLimits(queued_bytes=20_000)) as log:
        events = [event_json(id=str(number)) for number in range(20)]
        reply = await log.batch(events)
        assert (reply.status, reply.slug) == (413, "too-large")
        assert "fewer" in reply.json()["detail"]
        assert (await log.batch(events[:2])).status == 200


async def test_a_request_is_not_drafted_beyond_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = HttpSettings(drafted_bytes=50_000)
    async with served(tmp_path, sources=("*",), settings=settings) as log:
        count = 0
        draft = log.log.drafter.event

        def counted(event: Event, ns: str, ingest: Any) -> Any:  # noqa: ANN401
            nonlocal count
            count += 1
            return draft(event, ns, ingest)

        monkeypatch.setattr(log.log.drafter, "event", counted)
        reply = await log.batch([_heavy(number) for number in range(500)])
        assert reply.status == 413
        assert count < 6


async def test_a_name_that_somebody_gave_a_new_source_meanwhile_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, sources=("*",)) as log:
        source = log.service.source

        async def late(of: Any, uri: str, by: str) -> SourceRecord:  # noqa: ANN401
            given = SourceRecord(uri, "urn:given", None)
            await log.service.register_source(of, given, by)
            return await source(of, uri, by)

        monkeypatch.setattr(log.service, "source", late)
        reply = (await log.batch([event_json(source="urn:new")])).json()
        receipt = _verify(log, reply, reply["results"][0])
        actor = receipt.disclosures["actor"].value
        assert isinstance(actor, dict)
        assert actor["ns"] == "urn:given"


async def _register(log: Served, uri: str, connector: str) -> None:
    source = {"uri": uri, "connector": connector}
    reply = await log.post(
        source,
        role="admin",
        media_type="application/json",
        path="/logs/main/sources",
    )
    assert reply.status == 201


async def test_a_source_of_a_connector_takes_no_other_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, sources=("*",)) as log:
        await _register(log, "urn:okta:acme", "okta")
        monkeypatch.setitem(CONNECTORS, "csv", CONNECTORS["okta"])
        await _register(log, "urn:csv", "csv")
        size = log.log.released.size
        for query in (
            "?format=okta&source=urn:csv",
            "?format=csv&source=urn:okta:acme",
        ):
            reply = await log.post(b"[{}]", query=query)
            assert (reply.status, reply.slug) == (422, "invalid-event")
            assert reply.json()["pointer"] == "/source"
        reply = await log.post(event_json())
        assert (reply.status, reply.json()["pointer"]) == (422, "/source")
        other = event_json(source="urn:native")
        assert _statuses((await log.batch([event_json(), other])).json()) == [422, 201]
        assert log.log.released.size == size + 2
        assert (await log.post(b"[{}]", query=OKTA)).status == 200
        native = "?format=okta&source=urn:native"
        assert (await log.post(b"[{}]", query=native)).status == 200


async def test_a_valid_record_is_taken_whatever_it_expands_to(log: Served) -> None:
    users = [{"id": f"u{n}", "type": "User"} for n in range(64)]
    app = {
        "id": "0oa1",
        "type": "AppInstance",
        "displayName": "w" * 100_000,
        "detailEntry": {"x": "d" * 80_000},
    }
    record = {
        "uuid": "u-1",
        "displayMessage": "m" * 60_000,
        "target": [*users, app],
    }
    body = json.dumps([{**record, "uuid": f"u-{n}"} for n in range(15)]).encode()
    reply = (await log.post(body, query=OKTA)).json()
    assert _statuses(reply) == [201] * 960
    sizes = [len(str(result["disclosures"])) for result in reply["results"]]
    assert sum(sizes) < 3 * len(body)


async def test_a_value_that_no_reader_would_take_is_refused_and_named(
    log: Served,
) -> None:
    numbers = "[" + ",".join(["1e15"] * 50_000) + "]"
    data: dict[str, Any] = {"changes": [{"op": "add", "value": "NUMBERS"}]}
    body = json.dumps(event_json(data)).replace('"NUMBERS"', numbers).encode()
    reply = await log.post(body)
    assert (reply.status, reply.slug) == (422, "invalid-event")
    assert reply.json()["pointer"] == "/data/changes"
    assert "string" in reply.json()["detail"]
    batch = b"[" + body + b"," + json.dumps(event_json()).encode() + b"]"
    assert _statuses((await log.post(batch, media_type=BATCH)).json()) == [422, 201]
    assert log.log.released.size == 2


@pytest.mark.parametrize("unit", ["9,", '"\\u0001",', '"\\"",', '"é",', "[],", "0.1,"])
async def test_the_largest_events_have_receipts_that_verify(
    log: Served, unit: str
) -> None:
    room = 262_144 - 2000
    values = unit * (room // len(unit.encode()))
    data: dict[str, Any] = {"resource": {"id": "r", "x": "VALUES"}}
    text = json.dumps(event_json(data)).replace('"VALUES"', f"[{values}0]")
    reply = await log.post(text.encode())
    assert reply.status == 201
    receipt = verify_receipt(reply.body, log.made.trust)
    assert receipt.disclosures["resource"].value == json.loads(text)["data"]["resource"]
