"""Requests made by the CloudEvents SDK for Python are taken as they come."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import (
    HTTPMessage,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent

from provlog.merkle.receipts import VerifiedReceipt, verify_receipt
from support.events import event_json
from support.instances import SOURCE, Served, served


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


def _event(event_id: str, **attributes: Any) -> CloudEvent:  # noqa: ANN401
    return CloudEvent(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": SOURCE,
            "type": "role.assign",
            "time": datetime(2026, 11, 21, 17, 53, 55, 516000, tzinfo=UTC),
            "subject": "Zoë 50%",
            **attributes,
        },
        event_json()["data"],
    )


async def _send(log: Served, message: HTTPMessage) -> tuple[int, bytes]:
    async with log.client.post(
        "/logs/main/events",
        data=message.body,
        headers={**message.headers, **log.bearer("submitter")},
        skip_auto_headers=["Content-Type"],
    ) as answer:
        return answer.status, await answer.read()


def _require_whole(receipt: VerifiedReceipt, event_id: str) -> None:
    assert receipt.disclosures["event"].value == {
        "id": event_id,
        "time": "2026-11-21T17:53:55.516000Z",
        "subject": "Zoë 50%",
    }
    assert receipt.entry.body["time"] == "2026-11-21T17:53:55.516Z"


@pytest.mark.parametrize("to_message", [to_structured_event, to_binary_event])
async def test_an_event_in_either_mode_gets_its_receipt(
    log: Served,
    to_message: Any,  # noqa: ANN401
) -> None:
    status, body = await _send(log, to_message(_event("one")))
    assert status == 201
    _require_whole(verify_receipt(body, log.made.trust), "one")


async def test_both_modes_of_one_event_are_one_entry(log: Served) -> None:
    structured = await _send(log, to_structured_event(_event("one")))
    binary = await _send(log, to_binary_event(_event("one")))
    assert (structured[0], binary[0]) == (201, 200)
    indexes = [json.loads(body)["index"] for _, body in (structured, binary)]
    assert indexes == [1, 1]


async def test_structured_events_of_the_sdk_make_a_batch(log: Served) -> None:
    # The SDK has no batch mode of its own: a batch is an array of its structured ones.
    bodies = [to_structured_event(_event(str(number))).body for number in range(3)]
    reply = await log.batch([json.loads(body) for body in bodies])
    assert [each["status"] for each in reply.json()["results"]] == [201] * 3
    status, body = await _send(log, to_structured_event(_event("2")))
    assert status == 200
    _require_whole(verify_receipt(body, log.made.trust), "2")
