"""Entra's two logs polled into a log: every record once, whatever goes wrong."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from provlog.merkle.encoding import parse_time
from provlog.server.delivery import deliver
from provlog.server.errors import ConfigurationError, UnavailableError
from provlog.server.instance import Instance
from provlog.server.intake.times import normalise_time
from provlog.server.polling.feed import FetchError
from provlog.server.polling.poller import ATTEMPTS
from provlog.server.polling.stopping import Stop
from support.fake_graph import (
    AUDITS,
    DAY,
    PROVISIONING,
    SECRET,
    FakeGraph,
    audit_bytes,
    fake_graph,
    provisioning_bytes,
)
from support.graph_polling import RECORD, Polled
from support.polling import MINUTE
from support.services import FaultyStorage, make_instance, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def template(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    folder = tmp_path_factory.mktemp("template")
    async with running(await make_instance(folder)) as (service, log):
        await service.register_source(log, RECORD, "test")
    yield folder


@pytest.fixture
async def polled(template: Path, tmp_path: Path) -> AsyncIterator[Polled]:
    shutil.copytree(template, tmp_path / "copy")
    instance = Instance(tmp_path / "copy" / "data", tmp_path / "copy" / "guard")
    storage = FaultyStorage(instance.database)
    opened = running(instance, storage=storage)
    async with opened as (service, log), fake_graph() as graph:
        yield Polled(service, log, graph)


def backlog(polled: Polled, count: int, days: float = 5) -> list[int]:
    """Store as many records of some days in each log, evenly; return their times."""
    now = polled.graph.now()
    step = int(days * DAY) // count
    times = [now - step * (count - number) for number in range(count)]
    polled.graph.logs[PROVISIONING] += map(provisioning_bytes, times)
    polled.graph.logs[AUDITS] += map(audit_bytes, times)
    return times


def paths(graph: FakeGraph) -> list[str]:
    return [each.path.rpartition("/")[2] for each in graph.asked]


async def test_every_record_of_both_logs_has_one_entry(polled: Polled) -> None:
    polled.graph.page = 10
    times = backlog(polled, 25)
    taken = await polled.poll()
    await polled.require_all()
    assert [each.records for each in taken] == [10, 10, 5, 10, 10, 5, 0]
    assert await polled.cursor() == times[-1] == taken[-1].cursor
    assert paths(polled.graph) == ["provisioning"] * 3 + ["directoryAudits"] * 3
    asked = polled.graph.asked
    assert asked[0].query.keys() == {"$filter", "$orderby", "$top"}
    assert asked[1].query.keys() == {*asked[0].query, "$skiptoken"}
    assert {each.authorization for each in asked} == {
        f"Bearer {polled.graph.granted[0]}"
    }
    assert len(polled.graph.granted) == 1


async def test_the_cursor_stays_until_both_logs_are_read(polled: Polled) -> None:
    polled.graph.page = 4
    times = backlog(polled, 10)
    polled.graph.faults.extend([None] * 3 + ["500"] * ATTEMPTS)
    with pytest.raises(FetchError):
        await polled.poll()
    assert await polled.cursor() is None
    assert sorted(await polled.originals()) == sorted(polled.graph.logs[PROVISIONING])
    polled.graph.faults.extend([None] * 4 + ["500"] * ATTEMPTS)
    with pytest.raises(FetchError):
        await polled.poll()
    assert await polled.cursor() == times[0]
    await polled.poll()
    await polled.require_all()
    assert await polled.cursor() == times[-1]


async def test_the_next_run_goes_on_some_time_before_the_cursor(polled: Polled) -> None:
    times = backlog(polled, 5)
    await polled.poll()
    await polled.poll(overlap=7 * MINUTE)
    since = times[-1] - 7 * MINUTE
    asked = [each.query["$filter"].split() for each in polled.graph.asked[2:]]
    assert [each[1] for each in asked] == ["gt", "ge"]
    assert [parse_time(each[2]) for each in asked] == [since - 1, since]
    await polled.require_all()


async def test_records_stored_late_are_not_missed(polled: Polled) -> None:
    backlog(polled, 4)
    newest = polled.graph.now() - 1000

    def between(rounds: int) -> None:
        # Dated before what was read, and stored only now.
        late = newest - rounds * 100_000
        polled.graph.logs[AUDITS].append(audit_bytes(late))
        polled.graph.logs[PROVISIONING].append(provisioning_bytes(late))

    polled.graph.logs[AUDITS].append(audit_bytes(newest))
    await polled.poll(rounds=4, between=between)
    await polled.require_all()
    assert await polled.cursor() == newest


async def test_what_comes_while_the_second_log_is_read_is_not_passed_by(
    polled: Polled,
) -> None:
    backlog(polled, 2)
    graph = polled.graph

    async def on_page(count: int) -> None:
        if paths(graph) == ["provisioning"]:
            # Both logs go on, and the first of them was read.
            graph.on_page = None
            graph.skew = 60_000
            graph.logs[PROVISIONING].append(provisioning_bytes(graph.now() - 30_000))
            graph.logs[AUDITS].append(audit_bytes(graph.now()))

    graph.on_page = on_page
    await polled.poll(overlap=0)
    await polled.poll(overlap=0)
    await polled.require_all()


@pytest.mark.parametrize("log", [PROVISIONING, AUDITS])
async def test_records_that_share_a_time_are_all_logged(
    polled: Polled, log: str
) -> None:
    polled.graph.page = 7
    time = polled.graph.now() - MINUTE
    make = audit_bytes if log == AUDITS else provisioning_bytes
    polled.graph.logs[log] += [make(time) for _ in range(30)]
    await polled.poll()
    await polled.poll(overlap=0)
    await polled.require_all()


async def test_an_empty_page_that_has_a_link_is_not_the_end(polled: Polled) -> None:
    polled.graph.page = 3
    backlog(polled, 5)
    polled.graph.faults.extend(["empty", None, "empty", "empty", None, "empty"])
    await polled.poll()
    await polled.require_all()


async def test_records_sent_twice_have_one_entry(polled: Polled) -> None:
    polled.graph.page = 4
    backlog(polled, 10)
    polled.graph.faults.extend(["twice", None, "twice"])
    await polled.poll()
    await polled.require_all()


async def test_pages_out_of_order_move_the_cursor_at_the_end_alone(
    polled: Polled,
) -> None:
    polled.graph.page = 4
    times = backlog(polled, 10)
    polled.graph.faults.extend([None] * 3 + ["backwards", *["500"] * ATTEMPTS])
    with pytest.raises(FetchError):
        await polled.poll()
    assert await polled.cursor() is None
    polled.graph.faults.extend(["backwards"] * 6)
    await polled.poll()
    await polled.require_all()
    assert await polled.cursor() == times[-1]


FAULTS = (
    *("429", "500", "503", "504", "400", "drop", "cut", "odata_error", "array"),
    *("scalars", "value_twice", "gzip", "redirect", "two_links"),
    *("link_elsewhere", "link_with_user", "link_up", "link_nowhere", "link_long"),
    *("link_no_url", "link_no_text"),
)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_page_that_goes_wrong_is_not_taken_and_asked_for_again(
    polled: Polled, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    polled.graph.page = 4
    backlog(polled, 6)
    polled.graph.faults.extend([fault, None, fault, fault, None, fault])
    await polled.poll()
    await polled.require_all()
    assert polled.graph.foreign == []
    assert "trying again in" in caplog.text
    for secret in (SECRET, *polled.graph.granted, "Ann", "ann@", "skiptoken"):
        assert secret not in caplog.text


@pytest.mark.parametrize(("fault", "pause"), [("429", 17), ("503", 9), ("504", 8)])
async def test_as_long_as_graph_asks_for_is_waited(
    polled: Polled, fault: str, pause: int
) -> None:
    backlog(polled, 3)
    polled.graph.faults.append(fault)
    await polled.poll()
    assert polled.waits == [pause]
    await polled.require_all()


async def test_a_slow_answer_is_given_up(polled: Polled) -> None:
    polled.seconds = 0.2
    backlog(polled, 3)
    polled.graph.faults.append("slow")
    await polled.poll()
    await polled.require_all()


async def test_a_token_that_ended_is_replaced(polled: Polled) -> None:
    polled.graph.page = 2
    backlog(polled, 5)

    async def on_page(count: int) -> None:
        if len(polled.graph.asked) == 1:
            polled.graph.end_tokens()

    polled.graph.on_page = on_page
    await polled.poll()
    await polled.require_all()
    assert len(polled.graph.granted) == 2
    assert [each.status for each in polled.graph.asked].count(401) == 1


async def test_a_secret_that_is_refused_ends_it(polled: Polled) -> None:
    polled.secret = "q8Q~another"
    backlog(polled, 3)
    with pytest.raises(ConfigurationError, match=r"refuses the token.*401") as got:
        await polled.poll(rounds=3)
    assert polled.secret not in str(got.value)
    assert (polled.graph.refused, polled.graph.asked) == ([401], [])


async def test_an_application_without_permission_ends_it(polled: Polled) -> None:
    backlog(polled, 3)
    polled.graph.faults.append("403")
    with pytest.raises(ConfigurationError, match="may read the log"):
        await polled.poll(rounds=3)
    assert len(polled.graph.asked) == 1


async def test_links_in_circles_are_noticed(polled: Polled) -> None:
    polled.graph.page = 2
    backlog(polled, 5)
    polled.graph.faults.extend(["circle"] * 8)
    with pytest.raises(FetchError, match="circles"):
        await polled.poll()


async def test_pages_too_large_are_read_anew_by_smaller_ones(polled: Polled) -> None:
    now = polled.graph.now()
    # Twenty small ones, and behind them some of 500 KB: sixteen of these fit a page.
    polled.graph.page = 20
    small = [audit_bytes(now - 100_000 + number) for number in range(20)]
    noise = "x" * 500_000
    large = [audit_bytes(now - 50_000 + n, resultReason=noise) for n in range(20)]
    polled.graph.logs[AUDITS] += [*small, *large]
    await polled.poll()
    asked = [each for each in polled.graph.asked if each.path == AUDITS]
    assert [int(each.query["$top"]) for each in asked[:8]] == [
        *(500, 500, 250, 125, 62, 31, 15, 15)
    ]
    assert sum(each.delivered.logged for each in polled.taken) == 40
    anew = asked[6].query["$filter"].split()[2]
    assert parse_time(anew) == now - 100_000 + 19, "it begins where it had come"
    assert sorted(await polled.originals()) == sorted(small), "large ones are cut"


async def test_reading_anew_ends_where_dates_tell_nothing(polled: Polled) -> None:
    polled.graph.page = 2
    time = polled.graph.now() - 5000
    noise = "x" * 5_000_000
    small, large = audit_bytes(time), [audit_bytes(time, x=noise) for _ in range(3)]
    polled.graph.logs[AUDITS] += [small, small, *large]
    await polled.poll()
    assert sum(each.delivered.logged for each in polled.taken) == 4
    tops = [int(each.query["$top"]) for each in polled.graph.asked[1:]]
    assert min(tops) == 1
    polled.graph.asked.clear()
    await polled.poll()
    again = [int(each.query["$top"]) for each in polled.graph.asked[1:]]
    assert again[0] == 500, "another run begins anew"


@pytest.mark.parametrize("keeps", [7, 30])
async def test_nothing_is_asked_for_that_is_not_kept(
    polled: Polled, keeps: int
) -> None:
    polled.graph.keeps = polled.keeps_days = keeps
    backlog(polled, 4, days=2)
    await polled.poll(first=polled.now() - 400 * DAY)
    await polled.require_all()
    oldest = normalise_time(polled.graph.asked[1].query["$filter"].split()[2])
    assert 0 <= polled.now() - keeps * DAY - parse_time(oldest) <= MINUTE


async def test_hook_and_poller_together_log_each_record_once(polled: Polled) -> None:
    polled.graph.page = 5
    backlog(polled, 12)
    for record in polled.graph.records[::2]:
        ingest = {"authentication": "hook"}
        await deliver(polled.service, polled.log, RECORD, [record], {**ingest})
    await polled.poll()
    await polled.require_all()


@pytest.mark.parametrize("commit", [0, 1, 2, 3])
async def test_a_commit_that_fails_loses_and_doubles_nothing(
    polled: Polled, commit: int
) -> None:
    polled.graph.page = 4
    times = backlog(polled, 6)
    storage = polled.service.storage
    assert isinstance(storage, FaultyStorage)
    storage.told.faults = [*[None] * commit, "fails but is persisted"]
    await polled.poll()
    await polled.require_all()
    assert await polled.cursor() == times[-1]


async def test_after_a_death_the_pages_are_fetched_again(polled: Polled) -> None:
    polled.graph.page = 4
    backlog(polled, 6)
    storage = polled.service.storage
    assert isinstance(storage, FaultyStorage)
    storage.told.faults = [None, *["dies"] * 3 * ATTEMPTS]
    with pytest.raises(UnavailableError):
        await polled.poll()
    assert len(await polled.originals()) == 4
    storage.told.faults = []
    await polled.poll()
    await polled.require_all()


@pytest.mark.parametrize("skew", [-2 * 3600_000, 2 * 3600_000])
async def test_no_clock_that_is_wrong_loses_a_record(polled: Polled, skew: int) -> None:
    graph = polled.graph
    graph.skew, graph.page = skew, 3
    dates = [graph.now() - 5000, graph.now() + DAY]
    graph.logs[AUDITS] += map(audit_bytes, dates)

    def between(_: int) -> None:
        graph.logs[AUDITS].append(audit_bytes(graph.now()))
        graph.logs[PROVISIONING].append(provisioning_bytes(graph.now()))

    await polled.poll(rounds=3, between=between)
    cursor = await polled.cursor()
    assert cursor is None or cursor <= min(graph.now(), polled.now())
    between(0)
    await polled.poll()
    await polled.require_all()


async def test_a_stop_ends_a_slow_answer_at_once(polled: Polled) -> None:
    backlog(polled, 3)
    stop = Stop()

    async def on_page(count: int) -> None:
        stop.request()

    polled.graph.on_page = on_page
    polled.graph.faults.append("slow")
    await polled.poll(stop=stop)
    assert await polled.originals() == []
