"""Hundreds of logs in one server: made, listed and looked after."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from provlog.server import open_logs
from provlog.server.guard import FileGuard, ReleasedHead
from provlog.server.log import Log
from provlog.server.service import Service
from provlog.server.storage.base import Head
from provlog.server.tokens import mint_token
from support.instances import Reply, Served, served
from support.loopback import Loopback, serving
from support.servers import provlog_server
from support.services import (
    FaultyStorage,
    append,
    draft,
    make_instance,
    running,
    statements,
)

LOGS = 300
NAMES = sorted(["main", *(f"log-{number:03}" for number in range(1, LOGS))])


class Steady(NamedTuple):
    """What stands for the module `time`."""

    monotonic: Callable[[], float]


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with serving(tmp_path_factory.mktemp("many")) as running_server:
        running_server.run(_create(running_server.served))
        yield running_server


async def _create(log: Served) -> None:
    for name in NAMES:
        if name != "main":
            assert (await _post(log, "/logs", {"name": name})).status == 201


async def _post(log: Served, path: str, body: object, role: str = "admin") -> Reply:
    return await log.post(body, role=role, media_type="application/json", path=path)


def test_logs_made_through_the_api_are_listed_with_keys_of_their_own(
    loopback: Loopback,
) -> None:
    reply = loopback.run(loopback.served.get("/logs", role="admin"))
    logs = reply.json()["logs"]
    assert [log["name"] for log in logs] == NAMES
    assert [log["origin"] for log in logs] == [
        f"log.example.com/{name}" for name in NAMES
    ]
    assert len({log["log_key"] for log in logs}) == LOGS


def test_the_command_lists_what_the_api_made_and_the_server_serves_what_it_makes(
    loopback: Loopback,
) -> None:
    instance = loopback.served.made.instance
    where = ("--dir", instance.folder, "--guard", instance.guard, "--json")
    origin = "log.example.com/by-command"
    made = json.loads(
        provlog_server("log", "create", *where, "--public", "zz", "--origin", origin)
    )
    listed = json.loads(provlog_server("log", "list", *where))
    assert [log["name"] for log in listed] == [*NAMES, "zz"]
    shown = loopback.run(loopback.served.get("/logs/zz", role="admin"))
    assert shown.json() == made == listed[-1]


def test_what_a_token_reaches_is_all_that_it_lists(loopback: Loopback) -> None:
    async def list_with_bound_token() -> list[str]:
        log = loopback.served
        bound = await _token(log, "log-007", "log-123", roles=["admin"])
        reply = await _get(log, "/logs", bound)
        return [each["name"] for each in reply.json()["logs"]]

    assert loopback.run(list_with_bound_token()) == ["log-007", "log-123"]


def test_all_logs_are_opened_behind_one_commit(loopback: Loopback) -> None:
    instance = loopback.served.made.instance

    async def commits() -> tuple[int, int]:
        storage = FaultyStorage(instance.database)
        async with running(instance, storage=storage) as (service, _):
            return storage.told.commits, len(service.open_logs())

    count, opened = asyncio.run(commits())
    assert (count, opened >= LOGS) == (1, True)


def test_looking_after_many_logs_and_probes_read_as_much_as_for_one(
    loopback: Loopback,
) -> None:
    async def read() -> tuple[list[str], list[str]]:
        log = loopback.served
        # The first round looks when each source was heard of last.
        await log.service._tend_logs()
        said = statements(log.service.storage)
        await log.service._tend_logs()
        tended = said.copy()
        said.clear()
        assert (await log.get("/readyz", role=None)).status == 200
        return tended, said

    tended, probed = loopback.run(read())
    assert len(tended) == 1
    assert len(probed) == 2


def test_a_crowd_that_asks_whether_all_is_well_costs_what_one_does(
    loopback: Loopback,
) -> None:
    async def read() -> list[str]:
        log = loopback.served
        said = statements(log.service.storage)
        replies = await asyncio.gather(
            *(log.get("/readyz", role=None) for _ in range(50))
        )
        assert [reply.status for reply in replies] == [200] * 50
        return said

    # They come in a few waves at most.
    assert len(loopback.run(read())) <= 10 * 2


def test_a_log_that_cannot_be_looked_after_costs_the_others_nothing(
    loopback: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    async def tend() -> int:
        log = loopback.served
        first, *_, last = log.service.open_logs()
        async with running(log.made.instance) as (other, _):
            twin = await other.log(last.record.name)
            assert twin is not None
            await append(other, twin, draft(twin, "a"))
        assert isinstance(log.service.guard, FileGuard)
        guard = log.service.guard.path(first.origin)
        kept = guard.read_bytes()
        guard.write_bytes(b"damaged")
        before = last.released.size
        await log.service._tend_logs()
        guard.write_bytes(kept)
        return last.released.size - before

    assert loopback.run(tend()) == 1
    assert "cannot be read" in caplog.text


async def test_a_log_that_lost_its_head_row_costs_the_others_nothing(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(await make_instance(tmp_path)) as (service, main):
        other = await service.create_log("z", "log.example.com/z", public=False)
        heads = await service.storage.heads()

        async def without() -> dict[int, Head]:
            return {number: head for number, head in heads.items() if number != main.id}

        monkeypatch.setattr(service.storage, "heads", without)
        seen = list[str]()

        async def look(log: Log, head: Head) -> None:
            seen.append(log.record.name)

        monkeypatch.setattr(service, "_catch_up", look)
        await service._tend_logs()
    assert seen == [other.record.name]
    assert "no head row" in caplog.text


async def test_a_guard_that_cannot_be_flushed_leaves_no_database_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = list[None]()

    async def fail() -> None:
        raise OSError("full")

    opened = running(await make_instance(tmp_path))
    service, _ = await opened.__aenter__()
    plain = service.storage.close

    async def close() -> None:
        closed.append(None)
        await plain()

    monkeypatch.setattr(service.storage, "close", close)
    monkeypatch.setattr(service.guard, "flush", fail)
    with pytest.raises(OSError, match="full"):
        await opened.__aexit__(None, None, None)
    assert closed == [None]


async def test_a_log_that_another_process_made_is_opened_within_a_round(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as log:
        async with Service.of(log.made.instance) as other:
            await other.create_log("new", "log.example.com/new", public=True)
        assert (await log.get("/logs/new/checkpoint", role=None)).status == 401
        await log.service._tend_logs()
        assert (await log.get("/logs/new/checkpoint", role=None)).status == 200


async def test_a_token_for_a_log_of_another_process_opens_it_at_once(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as log:
        async with Service.of(log.made.instance) as other:
            new = await other.create_log("new", "log.example.com/new", public=False)
            minted = mint_token(logs=[new.id], roles=["monitor"], now=0)
            await other.store_token(new, minted.record, "test")
        assert (await _get(log, "/logs/new/checkpoint", minted.text)).status == 200


@pytest.mark.parametrize(
    ("same", "status"), [(True, 201), (False, 409)], ids=["this log", "another log"]
)
async def test_a_log_that_another_process_releases_first_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool, status: int
) -> None:
    replace = FileGuard.replace

    async def come_second(
        guard: FileGuard, origin: str, known: ReleasedHead | None, head: ReleasedHead
    ) -> bool:
        if known is None:
            first = head if same else ReleasedHead(1, bytes(32))
            assert await replace(guard, origin, None, first)
        return await replace(guard, origin, known, head)

    async with served(tmp_path) as log:
        monkeypatch.setattr(FileGuard, "replace", come_second)
        assert (await _post(log, "/logs", {"name": "new"})).status == status


async def test_an_instance_takes_no_more_logs_than_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_logs, "MAX_LOGS", 2)
    async with served(tmp_path) as log:
        assert (await _post(log, "/logs", {"name": "second"})).status == 201
        reply = await _post(log, "/logs", {"name": "third"})
        assert (reply.status, reply.slug) == (409, "conflict")
        assert reply.json()["detail"] == "an instance holds 2 logs at most"


async def test_the_guard_is_flushed_however_long_the_logs_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, flushed = [0.0], list[float]()

    async def take_long(*_: object) -> None:
        now[0] += 20

    async def flush() -> None:
        flushed.append(now[0])

    async with served(tmp_path) as log:
        for name in "ab":
            await _post(log, "/logs", {"name": name})
        monkeypatch.setattr("provlog.server.service.time", Steady(lambda: now[0]))
        monkeypatch.setattr(Service, "_look_after", take_long)
        monkeypatch.setattr(log.service.guard, "flush", flush)
        await log.service._tend_logs()
        assert flushed == [0, 20, 40, 60]
        assert log.service.tended == 60, "it is at work, and counts as that"


async def test_readiness_does_not_tell_how_many_logs_there_are(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        other = await log.service.create_log("b", "log.example.com/b", public=False)
        answers = []
        for halted in (other, log.log):
            halted.halt("for a test")
            reply = await log.get("/readyz", role=None)
            answers.append((reply.status, reply.json()["checks"]["logs"]))
        assert answers[0] == answers[1]
        assert not any(character.isdigit() for character in answers[0][1])


async def _token(log: Served, *names: str, **options: Any) -> str:  # noqa: ANN401
    """Store a token that reaches the logs of these names; return its text."""
    logs = [await log.service.log(name) for name in names]
    reached = [each for each in logs if each is not None]
    minted = mint_token(
        logs=[each.id for each in reached], now=log.service.clock.now(), **options
    )
    await log.service.store_token(reached[0], minted.record, "test", reached[1:])
    return minted.text


async def _get(log: Served, path: str, token: str) -> Reply:
    headers = {"Authorization": f"Bearer {token}"}
    async with log.client.get(path, headers=headers) as answer:
        return Reply(answer.status, answer.headers, await answer.read())
