"""Probes, metrics, and the API's own description."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from openapi_spec_validator import validate

from provlog.server.clock import Clock
from provlog.server.errors import ClockError
from provlog.server.guard import FileGuard
from provlog.server.http.app import create_metrics_app
from provlog.server.http.context import READINESS
from provlog.server.http.problems import PROBLEMS
from provlog.server.http.routes import routes
from provlog.server.storage.base import Head, StorageError
from support.events import event_json
from support.instances import Client, RunnerServer, Served, served

ELSEWHERE = {"method-not-allowed"}
"""Problems of paths and methods that the description does not have."""


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


async def test_the_description_is_valid_and_served_to_anybody(log: Served) -> None:
    reply = await log.get("/openapi.json", role=None)
    assert reply.json()["openapi"].startswith("3.1.")
    validate(reply.json())
    headers = {"If-None-Match": reply.headers["ETag"]}
    async with log.client.get("/openapi.json", headers=headers) as answer:
        assert answer.status == 304


async def test_the_description_has_every_route_and_no_other(log: Served) -> None:
    described = {
        (method.upper(), path)
        for path, item in (await log.get("/openapi.json")).json()["paths"].items()
        for method in item
        if method != "parameters"
    }
    served_routes = {
        (route.method, re.sub(r":[^}]*", "", route.path)) for route in routes()
    }
    assert described == served_routes


async def test_the_description_has_every_problem(log: Served) -> None:
    text = (await log.get("/openapi.json")).body.decode()
    assert set(re.findall(r"`([a-z-]+)`", text)) >= set(PROBLEMS) - ELSEWHERE
    responses: dict[str, Any] = (await log.get("/openapi.json")).json()["components"]
    statuses = {
        status for slug, (status, _) in PROBLEMS.items() if slug not in ELSEWHERE
    }
    # One more for 400: a hook speaks of tokens in the words of RFC 8935.
    assert len(responses["responses"]) == len(statuses) + 1


UNWRITABLE = "entries cannot be written; the server's log says where"
CHECKS = ("clock", "logs", "sequencer", "storage", "background", "selfcheck")


async def test_a_healthy_server_is_ready(log: Served) -> None:
    assert (await log.get("/healthz", role=None)).json() == {"status": "ok"}
    reply = await log.get("/readyz", role=None)
    checks = dict.fromkeys(CHECKS, "ok")
    assert (reply.status, reply.json()) == (200, {"ready": True, "checks": checks})


async def test_each_reason_not_to_be_ready_is_told(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "drift", lambda _: -6000)
    assert await _not_ready(log) == {"clock": "moved by -6.0 s"}
    monkeypatch.undo()
    monkeypatch.setattr(Clock, "date", _refuse_to_date)
    assert await _not_ready(log) == {"logs": "60.0 s ahead"}
    monkeypatch.undo()
    guard = FileGuard(log.made.instance.guard).path(log.log.origin)
    kept = guard.read_bytes()
    guard.write_bytes(b"damaged")
    assert await _not_ready(log) == {"logs": UNWRITABLE}
    guard.write_bytes(kept)
    log.service.tended = time.monotonic() - 60
    assert await _not_ready(log) == {"background": "the background work has stopped"}
    log.service.tended = None
    log.log.halt("/var/lib/provlog is older than what was released")
    assert await _not_ready(log) == {"logs": UNWRITABLE}
    log.log.halted = None

    async def fail(_: object) -> None:
        raise StorageError("disk I/O error in /var/lib/provlog")

    monkeypatch.setattr(type(log.service.storage), "logs", fail)
    assert await _not_ready(log) == {"storage": "the database does not answer"}
    monkeypatch.undo()
    await log.service.sequencer.close()
    assert await _not_ready(log) == {"sequencer": "stopping"}
    assert (await log.get("/healthz", role=None)).status == 200


async def test_a_crowd_that_asks_for_readiness_is_one_look(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, plain = list[None](), log.service.storage.heads

    async def heads() -> dict[int, Head]:
        looked.append(None)
        return await plain()

    monkeypatch.setattr(log.service.storage, "heads", heads)
    readiness = log.app[READINESS]
    answers = await asyncio.gather(*(readiness.result() for _ in range(10)))
    assert answers == [dict.fromkeys(CHECKS, "ok")] * 10
    assert len(looked) == 1
    await readiness.result()
    assert len(looked) == 2, "whoever asks later is told what is so then"


def _refuse_to_date(*_: object) -> int:
    raise ClockError("60.0 s ahead")


async def _not_ready(log: Served) -> dict[str, str]:
    reply = await log.get("/readyz", role=None)
    assert (reply.status, reply.json()["ready"]) == (503, False)
    checks: dict[str, str] = reply.json()["checks"]
    return {name: found for name, found in checks.items() if found != "ok"}


async def test_metrics_count_outcomes_refusals_and_routes(log: Served) -> None:
    await log.post(event_json())
    await log.post(event_json())
    await log.post(event_json(type="a.b"))
    await log.batch([{}, event_json(type="a.b")])
    await log.get("checkpoint", role=None)
    await log.get("/nowhere/alice@example.com")
    client: Client
    async with TestClient(RunnerServer(create_metrics_app(log.service))) as client:
        async with client.get("/metrics") as answer:
            text = await answer.text()
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
        async with client.get("/logs") as answer:
            assert answer.status == 404
    for line in (
        'provlog_outcomes_total{outcome="appended"} 1.0',
        'provlog_outcomes_total{outcome="repeated"} 1.0',
        'provlog_refusals_total{problem="conflict",source="urn:okta:acme"} 2.0',
        'provlog_refusals_total{problem="invalid-event",source=""} 1.0',
        'provlog_refusals_total{problem="unauthenticated",source=""} 1.0',
        'provlog_refusals_total{problem="not-found",source=""} 1.0',
        'request_seconds_count{route="POST /logs/{log}/events",status="201"} 1.0',
        'provlog_request_seconds_count{route="unmatched",status="404"} 1.0',
    ):
        assert line in text
    for stage in ("parse", "draft", "wait", "commit", "answer", "encode"):
        assert f'provlog_stage_seconds_count{{stage="{stage}"}}' in text
    assert "alice" not in text
    assert (await log.get("/metrics", role="admin")).status == 404


async def test_an_unknown_path_or_method_is_a_problem_too(log: Served) -> None:
    for path in ("/", "/logs/", "/logs/main/", "/logs/main/events/1", "/index.html"):
        reply = await log.get(path)
        assert (path, reply.status, reply.slug) == (path, 404, "not-found")
    async with log.client.put("/logs/main/events") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        body = await answer.json(content_type="application/problem+json")
    assert body["type"] == "urn:provlog:problem:method-not-allowed"


async def test_a_head_request_is_answered_like_a_get(log: Served) -> None:
    async with log.client.head(
        "/logs/main/checkpoint", headers=log.bearer("monitor")
    ) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 100
