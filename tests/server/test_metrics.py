"""What `/metrics` counts and shows: stages, commits, refusals, state."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from provlog.server.clock import Clock
from provlog.server.errors import OverloadedError, UnavailableError
from provlog.server.guard import FileGuard, ReleasedHead
from provlog.server.metrics import MAX_SOURCES, Metrics
from provlog.server.stages import BOUNDS
from support.events import event_json
from support.instances import Served, served
from support.okta import okta_record
from support.services import (
    FaultyStorage,
    append,
    draft,
    make_instance,
    running,
)

ACME, OTHER = "urn:okta:acme", "urn:okta:other"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, sources=("*",)) as running_log:
        yield running_log


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"provlog_{name}", labels)


def refused(log: Served) -> dict[tuple[str, str], float]:
    """Return the counts of refusals by problem and source."""
    return {
        (sample.labels["problem"], sample.labels["source"]): sample.value
        for family in log.service.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "provlog_refusals_total"
    }


def test_a_stage_s_times_fall_into_buckets_that_add_up() -> None:
    metrics = Metrics()
    for seconds in (0.0, BOUNDS[0], 0.0011, 0.0024, 60.0):
        metrics.spent("leaf", seconds)
    buckets = {
        sample.labels["le"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "provlog_stage_seconds_bucket"
    }
    assert list(buckets) == [*map(str, BOUNDS), "+Inf"]
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets[str(BOUNDS[0])] == 2  # a bound is inside its bucket
    assert buckets["0.0025"] - buckets["0.001"] == 2
    assert (buckets["5.0"], buckets["+Inf"]) == (4, 5)
    with metrics.stage("leaf"):
        pass
    assert value(metrics.registry, "stage_seconds_count", stage="leaf") == 6
    total = value(metrics.registry, "stage_seconds_sum", stage="leaf")
    assert total is not None
    assert 60.0 < total < 61


async def test_the_wait_in_the_queue_is_counted_by_request(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        await asyncio.gather(
            append(service, log, draft(log, "a"), draft(log, "b")),
            append(service, log, draft(log, "c")),
        )
        registry = service.metrics.registry
        assert value(registry, "stage_seconds_count", stage="wait") == 2
        assert value(registry, "stage_seconds_count", stage="commit") == 1


async def test_what_waits_is_shown_while_it_waits(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        registry = service.metrics.registry
        events = [draft(log, "a"), draft(log, "b")]
        submitted = asyncio.create_task(append(service, log, *events))
        await asyncio.sleep(0)
        assert value(registry, "queued_requests") == 1
        assert value(registry, "queued_events") == 2
        assert value(registry, "queued_bytes") == sum(each.cost for each in events)
        await submitted
        assert value(registry, "queued_bytes") == 0


async def test_commits_are_counted_by_their_result(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    storage = FaultyStorage(instance.database)
    async with running(instance, storage=storage) as (service, log):
        registry = service.metrics.registry
        await append(service, log, draft(log, "a"))
        await append(service, log, draft(log, "a"))  # writes nothing
        storage.told.faults = ["fails and is not persisted"]
        with pytest.raises(UnavailableError):
            await append(service, log, draft(log, "b"))
        assert value(registry, "commits_total", result="durable") == 1
        assert value(registry, "commits_total", result="unknown") == 1
        assert value(registry, "commits_total", result="failed") == 0
        storage._writer.execute("ALTER TABLE heads RENAME TO lost")
        with pytest.raises(UnavailableError):
            await append(service, log, draft(log, "b"))
        storage._writer.execute("ALTER TABLE lost RENAME TO heads")
        assert value(registry, "commits_total", result="failed") == 1


async def test_a_refusal_names_the_registered_source_it_is_about(log: Served) -> None:
    await log.post(event_json())
    await log.post(event_json(type="a.b"))
    await log.post(event_json(id="n", type=7))
    await log.post(event_json(id="n", type=7, source=OTHER))
    await log.post(event_json(id="n", source=OTHER), role="monitor")
    assert refused(log) == {
        ("conflict", ACME): 1,
        ("invalid-event", ACME): 1,
        ("invalid-event", ""): 1,
        ("forbidden", ""): 1,
    }


async def test_each_refused_event_of_a_batch_counts_for_its_source(log: Served) -> None:
    await log.batch([event_json(), event_json(source=OTHER)])
    reply = await log.batch(
        [
            event_json(type="a.b"),
            event_json(source=OTHER, type=7),
            event_json(source="urn:made:up", type=7),
            event_json(source=OTHER, type="a.b"),
            event_json(source=OTHER),
            {},
        ]
    )
    statuses = [result["status"] for result in reply.json()["results"]]
    assert statuses == [409, 422, 422, 409, 200, 422]
    assert refused(log) == {
        ("conflict", ACME): 1,
        ("conflict", OTHER): 1,
        ("invalid-event", OTHER): 1,
        ("invalid-event", ""): 2,
    }


async def test_a_provider_s_request_that_is_refused_counts_for_its_source(
    log: Served,
) -> None:
    query = f"?format=okta&source={ACME}"
    assert (await log.post(b"nonsense", query=query)).status == 400
    assert (await log.post([okta_record()], query=query)).status == 200
    assert (await log.post(b"nonsense", query=query)).status == 400
    assert refused(log) == {("malformed", ""): 1, ("malformed", ACME): 1}
    slow = {"roles": ["submitter"], "sources": ["*"], "rate": 0.001}
    made = await log.post(
        slow, role="admin", path="/logs/main/tokens", media_type="application/json"
    )
    headers = {
        "Authorization": f"Bearer {made.json()['token']}",
        "Content-Type": "application/json",
    }
    for status in (200, 429):
        async with log.client.post(
            f"/logs/main/events{query}", json=[okta_record()], headers=headers
        ) as answer:
            assert answer.status == status
    assert refused(log)["rate-limited", ACME] == 1


async def test_a_full_queue_counts_for_the_source_that_met_it(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise OverloadedError("the queue is full")

    await log.post(event_json())
    monkeypatch.setattr(log.service.sequencer, "submit", refuse)
    assert (await log.post(event_json(id="late"))).slug == "overloaded"
    assert refused(log) == {("overloaded", ACME): 1}


def test_the_sources_of_refusals_are_bounded() -> None:
    metrics = Metrics()
    for number in range(MAX_SOURCES + 5):
        metrics.refused("conflict", f"urn:{number}")
    metrics.refused("conflict", "urn:0")
    metrics.refused("conflict")

    def count(source: str) -> float | None:
        return value(
            metrics.registry, "refusals_total", problem="conflict", source=source
        )

    assert (count("urn:0"), count("other"), count("")) == (2, 5, 1)
    assert count(f"urn:{MAX_SOURCES}") is None


async def test_requests_that_are_not_answered_are_shown(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = log.service.metrics.registry
    shown: list[float | None] = []
    plain = log.log.refresh

    async def refresh() -> ReleasedHead:
        shown.append(value(registry, "requests_in_progress"))
        return await plain()

    monkeypatch.setattr(log.log, "refresh", refresh)
    assert (await log.get("checkpoint")).status == 200
    assert (await log.get("nowhere")).status == 404
    assert (shown, value(registry, "requests_in_progress")) == ([1], 0)


async def test_the_guard_and_the_logs_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(await make_instance(tmp_path)) as (service, log):
        registry = service.metrics.registry
        await append(service, log, draft(log, "a"))
        size = log.released.size
        assert value(registry, "log_size", log="main") == size
        assert value(registry, "guard_size", log="main") == size
        assert value(registry, "guard_failures_total") == 0
        assert value(registry, "log_halted", log="main") == 0

        assert isinstance(service.guard, FileGuard)
        moment = service.guard._flushed
        monkeypatch.setattr("provlog.server.guard.file.flush_path", _fail)
        with pytest.raises(OSError, match="no space"):
            await service.guard.flush()
        assert service.guard._flushed == moment
        monkeypatch.undo()
        await service.guard.flush()
        assert service.guard._flushed > moment
        path = service.guard.path(log.origin)
        kept = path.read_bytes()
        path.unlink()
        path.mkdir()
        with pytest.raises(UnavailableError):
            await service.guard.read(log.origin)
        path.rmdir()
        path.write_bytes(kept)
        assert value(registry, "guard_failures_total") == 2

        log.halt("a test")
        assert value(registry, "log_halted", log="main") == 1


def _fail(_: Path) -> None:
    raise OSError(28, "no space left on device")


async def test_a_clock_that_cannot_date_is_shown(tmp_path: Path) -> None:
    wall, steady = [Clock().now()], [0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    async with running(await make_instance(tmp_path), clock=clock) as (service, log):
        registry = service.metrics.registry
        await append(service, log, draft(log, "a"))
        assert value(registry, "clock_usable") == 1
        wall[0] += 6_000
        assert value(registry, "clock_drift_seconds") == 6
        assert value(registry, "clock_usable") == 0
        wall[0] -= 20_000
        clock.accept()
        # Trusted again, and behind the newest entry.
        assert value(registry, "clock_drift_seconds") == 0
        assert value(registry, "clock_usable") == 0
