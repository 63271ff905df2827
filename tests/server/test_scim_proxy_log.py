"""The SCIM proxy and a real log: what stands in it, and what happens without it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
from aiohttp import web
from yarl import URL

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.encoding import JsonValue
from provlog.server.cli.proxying import _deliver
from provlog.server.log import Log
from provlog.server.scim_proxy.settings import ProxySettings
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord
from support.fake_scim import FakeScim, Proxied, fake_scim, proxied
from support.services import make_instance, running

SOURCE = SourceRecord("urn:scim:acme", "urn:scim:acme", "scim")


@dataclass
class Logging:
    """A proxy, and the log that it writes to."""

    proxy: Proxied
    service: Service
    log: Log
    database: Path

    async def members(self) -> list[dict[str, JsonValue]]:
        """Return the disclosed members of every event, in order."""
        found = []
        head = await self.service.storage.head(self.log.id)
        rows = await self.service.storage.private_rows(self.log.id, 0, head.size)
        for index in sorted(rows):
            read = map(parse_disclosure, rows[index].disclosures)
            members = {each.name: each.value for each in read}
            if "event" in members:
                found.append(members)
        return found

    async def results(self) -> list[str]:
        """Return what the outcomes say, in order."""
        members: list[Any] = await self.members()
        return [each["outcome"]["result"] for each in members]

    async def until(self, wanted: Callable[[list[str]], bool]) -> list[str]:
        """Return the results once they are as wanted, which has to be soon."""
        async with asyncio.timeout(20):
            while not wanted(found := await self.results()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return found


@pytest.fixture
async def scim() -> AsyncIterator[FakeScim]:
    async with fake_scim() as scim:
        yield scim


@asynccontextmanager
async def logging(
    folder: Path, scim: FakeScim, seconds: float
) -> AsyncIterator[Logging]:
    instance = await make_instance(folder)
    async with running(instance) as (service, log):
        await service.register_source(log, SOURCE, "test")
        write = partial(_deliver, service, log, SOURCE)
        settings = ProxySettings(URL(), log_seconds=seconds)
        async with proxied(scim, settings, write=write) as proxy:
            yield Logging(proxy, service, log, instance.database)


async def test_attempt_and_outcome_stand_in_the_log_under_one_request_id(
    scim: FakeScim, tmp_path: Path
) -> None:
    async with logging(tmp_path, scim, 10) as made:
        assert await made.proxy.change() == 201
        attempt, outcome = await made.members()
    assert attempt["context"] == outcome["context"]
    assert outcome["target"] == {"id": "u1", "ns": "urn:scim:acme", "type": "user"}
    assert outcome["outcome"] == {"result": "success", "status": "201"}
    ingest = outcome["ingest"]
    assert isinstance(ingest, dict)
    assert (ingest["connector"], ingest["proxy"]) == ("scim", "scim")
    original = outcome["original"]
    assert isinstance(original, dict)
    assert json.loads(str(original["body"]))["phase"] == "outcome"


async def test_many_changes_at_a_time_have_their_entries_in_pairs(
    scim: FakeScim, tmp_path: Path
) -> None:
    async with logging(tmp_path, scim, 10) as made:
        answers = await asyncio.gather(*(made.proxy.change() for _ in range(60)))
        assert answers == [201] * 60
        members: list[Any] = await made.members()
    seen: set[str] = set()
    for each in members:
        number = each["context"]["request_id"]
        if each["outcome"]["result"] == "success":
            assert number in seen
        seen.add(number)
    assert len(members) == 120
    assert len(seen) == 60


async def test_while_the_database_is_locked_nothing_is_passed_on(
    scim: FakeScim, tmp_path: Path
) -> None:
    async with logging(tmp_path, scim, 1.5) as made:
        other = apsw.Connection(str(made.database))
        other.execute("BEGIN IMMEDIATE")
        assert await made.proxy.change() == 503
        assert scim.seen == []
        assert (await made.proxy.ask("GET", "/Users"))[0] == 200
        other.execute("ROLLBACK")
        other.close()
        # The attempt was taken, and became durable: what follows says that nothing
        # came of it.
        await made.until(lambda found: sorted(found) == ["pending", "skipped"])
        assert await made.proxy.change() == 201
        results = await made.results()
    assert results[2:] == ["pending", "success"]
    assert scim.changes == ["POST /Users"]


async def test_an_outcome_that_is_late_is_in_the_log_once(
    scim: FakeScim, tmp_path: Path
) -> None:
    async with logging(tmp_path, scim, 1.5) as made:
        other = apsw.Connection(str(made.database))

        async def answer(_: web.Request) -> web.Response:
            other.execute("BEGIN IMMEDIATE")
            return web.json_response({"id": "u1"}, status=201)

        scim.handler = answer
        assert await made.proxy.change() == 201
        assert made.proxy.recorder.trouble() is not None
        other.execute("ROLLBACK")
        other.close()
        await made.until(lambda found: found == ["pending", "success"])
        async with asyncio.timeout(20):
            while made.proxy.recorder.trouble() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await made.results() == ["pending", "success"]
