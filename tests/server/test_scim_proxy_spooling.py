"""The SCIM proxy's records on their way to a spool: nobody waits, nothing is lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from yarl import URL

from provlog.server.scim_proxy import spooling
from provlog.server.scim_proxy.figures import Figures
from provlog.server.scim_proxy.spooling import SpoolRecorder, SpoolSettings
from support.fake_scim import served_on_loopback

TOKEN = "spool-t0ken"


@dataclass
class Spool:
    """What a spool was sent; `statuses` are the next answers, then 202."""

    url: str = ""
    batches: list[list[str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    refused: Callable[[str], bool] = lambda _: False

    async def take(self, request: web.Request) -> web.Response:
        """Take records, each of them or none."""
        self.paths.append(request.path_qs)
        self.headers.append(dict(request.headers))
        lines = (await request.text()).splitlines()
        if any(map(self.refused, lines)):
            return web.Response(status=400)
        status = self.statuses.pop(0) if self.statuses else 202
        if status == 202:
            self.batches.append(lines)
        return web.Response(status=status)

    @property
    def records(self) -> list[str]:
        """All that was taken, in order."""
        return [line for batch in self.batches for line in batch]


@pytest.fixture
async def spool() -> AsyncIterator[Spool]:
    spool = Spool()
    app = web.Application()
    app.router.add_post("/records", spool.take)
    async with served_on_loopback(app) as url:
        spool.url = url
        yield spool


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(spooling, "LONGEST_PAUSE", 0.02)


@dataclass
class Made:
    """A recorder and its figures."""

    recorder: SpoolRecorder
    registry: CollectorRegistry

    def lost(self, reason: str) -> float:
        """Return how many records were lost for a reason."""
        name = "provlog_scim_proxy_unrecorded_total"
        return self.registry.get_sample_value(name, {"reason": reason}) or 0.0

    async def take(self, *records: str) -> None:
        """Hand over records."""
        for record in records:
            await self.recorder.outcome(record.encode())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once something holds, which has to be soon."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  it is about what others do
                await asyncio.sleep(0.005)


@asynccontextmanager
async def recording(url: str, **bounds: int) -> AsyncIterator[Made]:
    registry = CollectorRegistry()
    settings = SpoolSettings(URL(url), "urn:scim:acme", lambda: TOKEN, **bounds)
    recorder = SpoolRecorder(settings, Figures(registry))
    try:
        yield Made(recorder, registry)
    finally:
        await recorder.close()


async def test_records_arrive_in_order_with_format_source_and_token(
    spool: Spool,
) -> None:
    records = [json.dumps({"n": number}) for number in range(500)]
    async with recording(spool.url) as made:
        await made.recorder.attempt(b"{}")
        await made.take(*records)
    assert spool.records == records
    assert len(spool.batches) < 10
    assert set(spool.paths) == {"/records?format=scim&source=urn:scim:acme"}
    assert spool.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert spool.headers[0]["Content-Type"] == "application/x-ndjson"


async def test_secrets_are_cut_before_a_spool_has_them(spool: Spool) -> None:
    async with recording(spool.url) as made:
        await made.take('{"request":{"urn:x:User":{"apiKey":"s3cret-key"}}}')
    assert spool.records == ['{"request":{"urn:x:User":{"apiKey":"[redacted]"}}}']


async def test_while_the_spool_fails_records_wait_and_readiness_says_so(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    spool.statuses = [503] * 3 + [401] * 3
    async with recording(spool.url) as made:
        await made.take("1", "2")
        await made.until(lambda: made.recorder.trouble() is not None)
        assert made.recorder.trouble() == "the spool answers 503"
        await made.until(lambda: spool.records == ["1", "2"])
        await made.until(lambda: made.recorder.trouble() is None)
    assert made.lost("no_room") == 0
    assert caplog.text.count("the spool answers 503") == 1
    assert TOKEN not in caplog.text


async def test_a_spool_that_is_not_there_is_tried_until_it_is(spool: Spool) -> None:
    port = URL(spool.url).port
    async with recording("http://127.0.0.1:1") as made:
        await made.take("1")
        await made.until(lambda: made.recorder.trouble() is not None)
        assert "cannot be reached" in str(made.recorder.trouble())
        made.recorder._settings = SpoolSettings(
            URL(f"http://127.0.0.1:{port}"), "urn:scim:acme", lambda: None
        )
        await made.until(lambda: spool.records == ["1"])
    assert "Authorization" not in spool.headers[0]


@pytest.mark.parametrize("bounds", [{"most_records": 3}, {"most_bytes": 3}])
async def test_what_finds_no_room_is_counted_and_said(
    spool: Spool, bounds: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    spool.statuses = [503] * 5
    async with recording(spool.url, **bounds) as made:
        await made.take(*"12345")
        assert made.lost("no_room") == 2
    assert spool.records == ["1", "2", "3"]
    assert "without a record" in caplog.text


async def test_a_record_the_spool_never_takes_costs_only_itself(spool: Spool) -> None:
    spool.refused = lambda line: line == "bad"
    async with recording(spool.url) as made:
        await made.take("1", "bad", "2")
    assert spool.records == ["1", "2"]
    assert made.lost("refused_400") == 1


async def test_what_waits_at_the_end_is_counted_as_lost(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spooling, "CLOSING_SECONDS", 0.05)
    spool.statuses = [503] * 10_000
    async with recording(spool.url) as made:
        await made.take("1", "2")
    assert made.lost("stopped") == 2
    assert "2 changes passed without a record" in caplog.text


async def test_a_spool_that_refuses_and_then_fails_is_left_alone_for_a_while(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "FIRST_PAUSE", 3600.0)
    monkeypatch.setattr(spooling, "CLOSING_SECONDS", 0.2)
    spool.statuses = [400, 503]
    async with recording(spool.url) as made:
        await made.take("1")
        await made.until(lambda: len(spool.paths) == 2)
    assert len(spool.paths) == 2
    assert made.lost("stopped") == 1
