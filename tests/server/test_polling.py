"""Okta's System Log polled into a log: every record once, whatever goes wrong."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.encoding import parse_time
from provlog.server.delivery import deliver
from provlog.server.errors import ConfigurationError, HaltedError
from provlog.server.instance import Instance
from provlog.server.polling.feed import FetchError
from provlog.server.polling.poller import ATTEMPTS
from provlog.server.polling.seen import Seen
from provlog.server.polling.stopping import Stop
from provlog.server.storage.base import Cursor, DamagedCursorError, StorageError
from provlog.server.storage.sqlite import SqliteStorage
from support.fake_okta import DAY, TOKEN, FakeOkta, fake_okta, okta_bytes, self_signed
from support.polling import MINUTE, SOURCE, Polled
from support.services import FaultyStorage, make_instance, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def template(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    folder = tmp_path_factory.mktemp("template")
    async with running(await make_instance(folder)) as (service, log):
        await service.register_source(log, SOURCE, "test")
    yield folder


@pytest.fixture
async def polled(template: Path, tmp_path: Path) -> AsyncIterator[Polled]:
    shutil.copytree(template, tmp_path / "copy")
    instance = Instance(tmp_path / "copy" / "data", tmp_path / "copy" / "guard")
    storage = FaultyStorage(instance.database)
    opened = running(instance, storage=storage)
    async with opened as (service, log), fake_okta() as okta:
        yield Polled(service, log, okta)


def backlog(polled: Polled, count: int, days: float = 5) -> list[int]:
    """Store records of some days, evenly; return their times."""
    now = polled.okta.now()
    step = int(days * DAY) // count
    times = [now - step * (count - number) for number in range(count)]
    for time in times:
        polled.okta.store(okta_bytes(time), at=time + 5)
    return times


async def test_every_record_has_one_entry_byte_for_byte(polled: Polled) -> None:
    polled.okta.page = 10
    times = backlog(polled, 35)
    polled.okta.store(b'{"uuid":"odd",  "published" : "?", "x":1e15, "x":2}')
    taken = await polled.poll()
    await polled.require_all()
    assert [each.records for each in taken] == [10, 10, 10, 6, 0]
    assert sum(each.delivered.logged for each in taken) == 36
    assert await polled.cursor() == times[-1] == taken[-1].cursor
    assert polled.okta.asked[0].query.keys() == {"since", "sortOrder", "limit"}
    assert len(polled.okta.asked) == 5


async def test_the_next_run_goes_on_some_time_before_the_cursor(polled: Polled) -> None:
    times = backlog(polled, 5)
    await polled.poll()
    await polled.poll(overlap=7 * MINUTE)
    since = parse_time(polled.okta.asked[2].query["since"])
    assert since == times[-1] - 7 * MINUTE
    assert [each.delivered.logged for each in polled.taken] == [5, 0, 0, 0]
    await polled.require_all()


async def test_records_stored_late_or_out_of_order_are_not_missed(
    polled: Polled,
) -> None:
    now = polled.okta.now()
    polled.okta.store(okta_bytes(now - 1000), okta_bytes(now - 9000), at=now - 500)

    def between(rounds: int) -> None:
        # Dated before everything that was read, and stored only now.
        polled.okta.store(okta_bytes(now - rounds * 100_000))

    await polled.poll(rounds=4, between=between)
    await polled.require_all()
    assert await polled.cursor() == now - 1000


async def test_what_was_committed_is_not_submitted_again_by_the_same_process(
    polled: Polled,
) -> None:
    backlog(polled, 20)
    storage = polled.service.storage
    assert isinstance(storage, FaultyStorage)
    commits: list[int] = []

    def between(_: int) -> None:
        commits.append(storage.told.commits)

    taken = await polled.poll(rounds=4, between=between)
    assert len(polled.okta.asked) == 8
    assert [each.records for each in taken] == [20, 0]
    # One for each round: its end, noted with the cursor.
    assert commits == [commits[0] + each for each in range(3)]


async def test_records_that_share_a_time_are_all_logged(polled: Polled) -> None:
    polled.okta.page = 7
    time = polled.okta.now() - MINUTE
    polled.okta.store(*(okta_bytes(time) for _ in range(30)), at=time)
    await polled.poll()
    await polled.poll()
    await polled.require_all()


async def test_records_sent_twice_have_one_entry(polled: Polled) -> None:
    polled.okta.page = 4
    backlog(polled, 10)
    polled.okta.faults.extend(["twice", None, "twice"])
    await polled.poll()
    await polled.require_all()


async def test_another_record_under_a_known_uuid_is_logged_as_well(
    polled: Polled,
) -> None:
    polled.okta.store(okta_bytes(uuid="same"), okta_bytes(uuid="same", eventType="x"))
    await polled.poll()
    await polled.require_all()


FAULTS = (
    *("429", "500", "503", "drop", "truncated", "cut", "object", "lines", "scalars"),
    *("gzip", "redirect", "no_link", "two_links", "link_elsewhere", "link_with_user"),
    *("link_up", "link_nowhere", "link_long", "link_no_url"),
)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_page_that_goes_wrong_is_not_taken_and_asked_for_again(
    polled: Polled, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    polled.okta.page = 4
    backlog(polled, 10)
    polled.okta.faults.extend([None, fault, fault, None, fault])
    await polled.poll()
    await polled.require_all()
    assert len(polled.okta.asked) == 4 + 3
    # What broke a connection that had been used before is asked for again, once, by
    # the HTTP library itself.
    assert len(polled.waits) == (1 if fault == "drop" else 3)
    assert "trying again in" in caplog.text
    assert polled.okta.foreign == []
    assert TOKEN not in caplog.text
    assert "Ann" not in caplog.text


async def test_a_provider_that_is_slow_is_asked_again(polled: Polled) -> None:
    polled.seconds = 0.2
    backlog(polled, 3)
    polled.okta.faults.append("slow")
    await polled.poll()
    await polled.require_all()


async def test_a_rate_limit_is_waited_for_by_the_provider_s_clock(
    polled: Polled,
) -> None:
    polled.okta.skew = 3 * DAY
    backlog(polled, 3)
    polled.okta.faults.append("429")
    await polled.poll()
    [wait] = polled.waits
    assert 29 <= wait <= 31
    polled.okta.remaining = 0
    await polled.poll()
    assert len(polled.waits) == 2, "the next request would be one too many"
    await polled.require_all()


async def test_once_gives_up_after_some_attempts_that_lie_further_and_further_apart(
    polled: Polled,
) -> None:
    backlog(polled, 3)
    polled.okta.faults.extend(["500"] * ATTEMPTS)
    with pytest.raises(FetchError, match="HTTP 500"):
        await polled.poll()
    assert len(polled.okta.asked) == ATTEMPTS
    longest = [1, 2, 4, 8]
    for wait, most in zip(polled.waits, longest, strict=True):
        assert most / 2 <= wait <= most
    assert await polled.originals() == []


async def test_without_once_it_goes_on_for_ever(
    polled: Polled, caplog: pytest.LogCaptureFixture
) -> None:
    polled.okta.page = 2
    backlog(polled, 5)
    polled.okta.faults.extend([None, *["500"] * 3 * ATTEMPTS])
    await polled.poll(rounds=5)
    assert caplog.text.count("beginning again from the cursor") == 3
    await polled.require_all()


@pytest.mark.parametrize("status", ["403", "401"])
async def test_a_token_that_is_refused_ends_it(polled: Polled, status: str) -> None:
    backlog(polled, 3)
    if status == "401":
        polled.token = "00another"
    polled.okta.faults.append("403")
    with pytest.raises(ConfigurationError, match=f"refuses the token.*{status}") as got:
        await polled.poll(rounds=3)
    assert polled.token not in str(got.value)
    assert len(polled.okta.asked) == 1


async def test_a_token_may_name_its_scheme(polled: Polled) -> None:
    polled.token = polled.okta.authorization = "Bearer eyJ-x.y"
    backlog(polled, 3)
    await polled.poll()
    await polled.require_all()


async def test_the_token_goes_to_the_provider_alone(polled: Polled) -> None:
    polled.okta.page = 2
    backlog(polled, 4)
    for fault in ("redirect", "link_elsewhere", "link_with_user", "link_up"):
        polled.okta.faults.extend([fault] * ATTEMPTS)
        with pytest.raises(FetchError):
            await polled.poll()
    assert polled.okta.foreign == []
    assert {each.authorization for each in polled.okta.asked} == {f"SSWS {TOKEN}"}


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    polled: Polled, tmp_path: Path
) -> None:
    async with fake_okta(certificate=self_signed(tmp_path)) as okta:
        polled.okta = okta
        okta.store(okta_bytes())
        with pytest.raises(FetchError, match="certificate is not trusted"):
            await polled.poll()
        assert (okta.asked, okta.foreign) == ([], [])


async def test_a_provider_without_tls_is_said_to_be_that(polled: Polled) -> None:
    async with fake_okta() as okta:
        polled.okta = FakeOkta(url=okta.url.replace("http://", "https://"))
        with pytest.raises(FetchError, match="no TLS could be agreed on"):
            await polled.poll()
        assert okta.asked == []


async def test_links_in_circles_are_noticed(polled: Polled) -> None:
    polled.okta.page = 2
    backlog(polled, 5)
    polled.okta.faults.extend(["circle"] * 8)
    with pytest.raises(FetchError, match="circles"):
        await polled.poll()


async def test_pages_too_large_are_asked_for_in_parts(polled: Polled) -> None:
    # 500 KB each: sixteen of them fit, and seventeen do not.
    big = [okta_bytes(debug="x" * 500_000) for _ in range(20)]
    polled.okta.store(*big)
    await polled.poll()
    assert await polled.originals() == [], "each is too large to be kept whole"
    limits = [int(each.query["limit"]) for each in polled.okta.asked]
    assert limits[:8] == [1000, 500, 250, 125, 62, 31, 15, 30]
    assert sum(each.delivered.logged for each in polled.taken) == 20


async def test_more_records_than_asked_for_are_asked_for_in_parts(
    polled: Polled,
) -> None:
    polled.okta.store(*(okta_bytes() for _ in range(600)))
    polled.okta.faults.append("twice")
    await polled.poll()
    limits = [int(each.query["limit"]) for each in polled.okta.asked]
    assert limits[:3] == [1000, 500, 1000]
    await polled.require_all()


async def test_hook_and_poller_together_log_each_record_once(polled: Polled) -> None:
    polled.okta.page = 5
    backlog(polled, 40)
    records = polled.okta.records

    async def hook(first: int) -> None:
        for record in records[first::2]:
            await deliver(
                polled.service, polled.log, SOURCE, [record], {"authentication": "h"}
            )

    await asyncio.gather(hook(0), polled.poll(), hook(1), polled.poll(), hook(0))
    await polled.require_all()


@pytest.mark.parametrize("fault", ["fails", "fails but is persisted"])
@pytest.mark.parametrize("commit", [0, 1, 2, 3])
async def test_a_commit_that_fails_loses_and_doubles_nothing(
    polled: Polled, fault: str, commit: int
) -> None:
    # Commits of entries and of the cursor take turns.
    polled.okta.page = 4
    times = backlog(polled, 10)
    storage = polled.service.storage
    assert isinstance(storage, FaultyStorage)
    storage.told.faults = [*[None] * commit, fault]
    await polled.poll()
    await polled.require_all()
    assert await polled.cursor() == times[-1]


async def test_between_commit_and_cursor_the_page_is_fetched_again(
    polled: Polled,
) -> None:
    polled.okta.page = 4
    backlog(polled, 10)
    storage = polled.service.storage
    assert isinstance(storage, FaultyStorage)
    storage.told.faults = [None, *["dies"] * ATTEMPTS]
    with pytest.raises(StorageError):
        await polled.poll()
    assert len(await polled.originals()) == 4
    assert await polled.cursor() is None
    taken = await polled.poll()
    assert taken[0].delivered.repeated == 4
    await polled.require_all()


async def test_a_backlog_that_is_broken_off_is_read_from_where_it_was(
    polled: Polled,
) -> None:
    polled.okta.page = 3
    times = backlog(polled, 12)
    # One record is dated days after those around it: it must not hide what follows.
    at, _ = polled.okta.stored[1]
    polled.okta.stored[1] = (at, okta_bytes(times[10]))
    polled.okta.faults.extend([None, None, *["500"] * ATTEMPTS])
    with pytest.raises(FetchError):
        await polled.poll()
    assert await polled.cursor() == times[3]
    await polled.poll()
    await polled.require_all()
    assert await polled.cursor() == times[-1]


@pytest.mark.parametrize("skew", [-2 * DAY, -3600_000, 0, 3600_000, 2 * DAY])
async def test_no_clock_that_is_wrong_loses_a_record(polled: Polled, skew: int) -> None:
    polled.okta.skew = skew
    polled.okta.page = 3
    now = polled.okta.now()
    dates = [now - 5000, now + DAY, now + 400 * DAY]
    polled.okta.store(*map(okta_bytes, dates), at=now - 900)

    def between(_: int) -> None:
        polled.okta.store(okta_bytes(polled.okta.now()), okta_bytes(1_000))

    await polled.poll(rounds=3, between=between)
    cursor = await polled.cursor()
    assert cursor is None or cursor <= min(polled.okta.now(), polled.now())
    between(0)
    await polled.poll()
    await polled.require_all()


async def test_a_cursor_never_goes_back(polled: Polled) -> None:
    cursor = polled.cursor_of()
    assert await cursor.advance(2_000) == 2_000
    assert await cursor.advance(1_000) == 2_000
    assert await polled.cursor() == 2_000
    others = [polled.cursor_of().advance(time) for time in (5_000, 9_000, 3_000, 7_000)]
    await asyncio.gather(*others)
    assert await polled.cursor() == 9_000


async def test_each_round_that_ends_is_noted_with_the_cursor(polled: Polled) -> None:
    first = polled.now() - DAY
    assert await polled.poll(rounds=2, first=first) == []
    assert await polled.cursor() == first
    backlog(polled, 3)
    noted: list[int] = []

    async def updated() -> int:
        storage = polled.service.storage
        [(log, source, when)] = await storage.polled(9)
        assert (log, source) == (polled.log.id, polled.cursor_of()._source)
        return when

    for _ in range(3):
        await polled.poll()  # as from cron: a process of its own
        noted.append(await updated())
        await asyncio.sleep(0.002)
    assert noted == sorted(set(noted))
    assert await polled.cursor_of().finish(1) == await polled.cursor()


async def test_after_a_quiet_start_nothing_is_passed_over_however_long_we_are_away(
    polled: Polled,
) -> None:
    assert await polled.poll(first=polled.now() - 6 * DAY) == []
    times = backlog(polled, 3)
    # A process that starts so late that its default lies behind the records.
    taken = await polled.poll(first=times[-1] + 1)
    assert sum(each.delivered.logged for each in taken) == 3
    assert await polled.cursor() == times[-1]


async def test_a_damaged_cursor_is_told_and_replaced_on_request_alone(
    polled: Polled,
) -> None:
    times = backlog(polled, 3)
    async with polled.service.storage.transaction() as transaction:
        far = Cursor(SOURCE.uri, "tomorrow", 0)
        await transaction.set_cursor(polled.log.id, far)
        await transaction.commit()
    with pytest.raises(DamagedCursorError, match=r"fsck.*--since"):
        await polled.poll(rounds=5)
    assert polled.okta.asked == []
    await polled.poll(replace=True, first=times[1])
    assert await polled.cursor() == times[-1]
    assert await polled.originals() == polled.okta.records[1:]


async def test_a_halted_log_ends_it(polled: Polled) -> None:
    backlog(polled, 3)
    polled.log.halt("test")
    with pytest.raises(HaltedError):
        await polled.poll(rounds=5)
    assert await polled.cursor() is None


async def test_entries_say_how_they_came(polled: Polled) -> None:
    backlog(polled, 1)
    await polled.poll()
    storage = polled.service.storage
    assert isinstance(storage, SqliteStorage)
    private = await storage.private(polled.log.id, polled.log.released.size - 1)
    assert private is not None
    members = {
        each.name: each.value for each in map(parse_disclosure, private.disclosures)
    }
    ingest = members["ingest"]
    assert isinstance(ingest, dict)
    assert ingest["poller"] == "okta"
    assert ingest["authentication"] == "poll"
    assert TOKEN not in json.dumps(members)


async def test_a_stop_ends_a_slow_answer_at_once_and_a_page_in_work_whole(
    polled: Polled, caplog: pytest.LogCaptureFixture
) -> None:
    polled.okta.page = 4
    backlog(polled, 10)
    stop = Stop()

    async def on_page(count: int) -> None:
        if len(polled.okta.asked) == 1:
            stop.request()

    polled.okta.on_page = on_page
    polled.okta.faults.extend([None, "slow"])
    await polled.poll(stop=stop)
    assert await polled.originals() == polled.okta.records[:4]
    assert caplog.text == "", "it waited until the answer was too late"
    polled.okta.on_page = None
    await polled.poll()
    await polled.require_all()


def test_memory_of_what_was_seen_is_bounded() -> None:
    seen = Seen(3)
    seen.add([b"1", b"2"])
    assert seen.unknown([b"1", b"3", b"3"]) == [b"3"]
    seen.add([b"1", b"3", b"4"])
    assert seen.unknown([b"1", b"2", b"3", b"4"]) == [b"2"]
