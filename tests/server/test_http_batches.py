"""Many events in one request: each has its answer, and none costs another."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from provlog.merkle.encoding import decode_base64
from provlog.merkle.proof_file import format_proof_lines
from provlog.merkle.receipts import VerifiedReceipt, receipt_json, verify_receipt
from provlog.server.http.submit import CHUNK
from provlog.server.intake.cloudevents import BATCH, NDJSON
from provlog.server.intake.event import Event
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
    assert max(map(seen.count, set(seen))) <= CHUNK


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
