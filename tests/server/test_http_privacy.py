"""Neither the server's log nor a refusal repeats what was sent."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provlog.server.intake.draft import Drafter
from support.events import event_json
from support.instances import Served, served

SECRET = "alice@example.com"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


async def test_refusals_repeat_nothing_that_was_sent(
    log: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    data = event_json()["data"]
    events = [
        event_json(id=f'"{SECRET}'),
        event_json(type=SECRET),
        event_json(time=SECRET),
        event_json(sequence=SECRET),
        event_json(source=SECRET),
        event_json(specversion=SECRET),
        event_json({**data, SECRET: 1}),
        event_json({**data, "outcome": {"result": SECRET}}),
        event_json({**data, "original": {SECRET: SECRET}}),
        {**event_json(), SECRET: SECRET},
        [SECRET],
        SECRET,
    ]
    bodies = [json.dumps(event).encode() for event in events]
    bodies += [
        b'{"a":"%b' % SECRET.encode(),
        b'{"%b":1,"%b":2}' % ((SECRET.encode(),) * 2),
    ]
    replies = [await log.post(body) for body in bodies]
    replies.append(await log.batch(events))
    replies += [
        await log.post(event_json(), query=f"?{SECRET}={SECRET}"),
        await log.post(event_json(), query=f"?receipts={SECRET}"),
        await log.post(event_json(), media_type=f"text/{SECRET}"),
        await log.post(event_json(), path=f"/logs/{SECRET}/events"),
        await log.get(f"entries/{SECRET}"),
        await log.get(f"tile/{SECRET}"),
        await log.get(f"proofs/inclusion?index={SECRET}"),
        await log.get(f"entries?source=urn:okta:acme&id={SECRET}", role="auditor"),
        await log.get(f"/{SECRET}"),
    ]
    assert all(reply.status >= 400 for reply in replies if b"results" not in reply.body)
    for reply in replies:
        assert SECRET.encode() not in reply.body
        assert SECRET not in str(reply.headers)
    _require_silent(log, caplog)


def _require_silent(log: Served, caplog: pytest.LogCaptureFixture) -> None:
    text = caplog.text + str([record.__dict__ for record in caplog.records])
    for secret in (SECRET, *log.made.tokens.values()):
        assert secret not in text
        assert secret.split("_", 2)[-1] not in text


async def test_what_is_taken_leaves_no_trace_in_the_servers_log(
    log: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await log.post(event_json(id=SECRET))
    await log.batch([event_json(id=f"{SECRET}-{number}") for number in range(3)])
    await log.get(f"entries?source=urn:okta:acme&id={SECRET}", role="submitter")
    reply = await log.post(
        {"roles": ["monitor"], "note": SECRET},
        role="admin",
        media_type="application/json",
        path="/logs/main/tokens",
    )
    assert reply.status == 201
    _require_silent(log, caplog)
    assert reply.json()["token"] not in caplog.text


async def test_a_bug_is_logged_by_place_and_not_by_value(
    log: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"no {SECRET}") from error

    monkeypatch.setattr(Drafter, "event", fail)
    reply = await log.post(event_json())
    assert (reply.status, reply.slug) == (500, "internal")
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    message = record.getMessage()
    assert reply.json()["request_id"] in message
    assert "ValueError" in message
    assert "caused by KeyError" in message
    assert Path(__file__).name in message
    _require_silent(log, caplog)
    assert SECRET.encode() not in reply.body


async def test_a_request_that_is_no_http_is_logged_by_kind(
    log: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = log.made.tokens["submitter"]
    for line in (f"Authorization: Bearer {token}\0", f"Auth {SECRET} orization: x"):
        reader, writer = await asyncio.open_connection("127.0.0.1", log.client.port)
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.split()[1] == b"400"
        assert b"urn:provlog:problem:malformed" in answer
        assert b"X-Request-Id: " in answer
        assert SECRET.encode() not in answer
        assert token.encode() not in answer
        writer.close()
    assert "is none: " in caplog.text
    _require_silent(log, caplog)
