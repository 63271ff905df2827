"""Google's activities polled into a log: each once, whatever goes wrong."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from provlog.merkle.encoding import format_time, parse_time
from provlog.server.errors import ConfigurationError
from provlog.server.instance import Instance
from provlog.server.polling.feed import FetchError
from provlog.server.polling.poller import ATTEMPTS
from support.fake_google import ADMIN, DAY, EMAIL, SCOPE, fake_google
from support.google import google_bytes
from support.google_polling import HOUR, RECORD, Polled
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
    async with opened as (service, log), fake_google() as google:
        yield Polled(service, log, google, tmp_path, {"applications": ["admin"]})


def backlog(polled: Polled, count: int, application: str = "admin") -> list[int]:
    """Store activities of some hours, evenly; return their times."""
    now, step = polled.google.now(), 15 * HOUR // count
    times = [now - step * (count - number) for number in range(count)]
    for time in times:
        record = google_bytes(time, application)
        polled.google.store(record, application=application)
    return times


async def test_every_activity_has_one_entry_byte_for_byte(polled: Polled) -> None:
    polled.google.page = 10
    times = backlog(polled, 25)
    odd = f'{{"id": {{"time":  "{format_time(times[0] - 5)}"}}, "x":1e15, "x":2}}'
    polled.google.store(odd.encode())
    taken = await polled.poll()
    await polled.require_all()
    assert [each.records for each in taken] == [10, 10, 6, 0]
    assert polled.google.asked[0].query.keys() == {"startTime", "maxResults"}
    assert await polled.cursor() == times[-1] == taken[-1].cursor


async def test_the_cursor_moves_at_the_end_alone_because_the_newest_come_first(
    polled: Polled,
) -> None:
    polled.google.page = 4
    times = backlog(polled, 10)
    polled.google.faults.extend([None, None, *["500"] * ATTEMPTS])
    with pytest.raises(FetchError):
        await polled.poll()
    assert len(await polled.originals()) == 8
    assert await polled.cursor() is None
    taken = await polled.poll()
    assert [each.delivered.repeated for each in taken] == [4, 4, 0, 0]
    await polled.require_all()
    assert await polled.cursor() == times[-1]


async def test_a_backlog_is_read_in_windows_of_a_day_the_oldest_first(
    polled: Polled,
) -> None:
    polled.table["applications"] = ["admin", "token"]
    now = polled.google.now()
    times = [now - 5 * DAY + HOUR * hours for hours in range(0, 119, 7)]
    for place, time in enumerate(times):
        application = ("admin", "token")[place % 2]
        polled.google.store(google_bytes(time, application), application=application)
    await polled.poll(first=5 * DAY + HOUR)
    await polled.require_all()
    asked = [(each.application, each.query) for each in polled.google.asked]
    assert [name for name, _ in asked] == ["admin", "token"] * 6
    ends = [query.get("endTime") for _, query in asked]
    assert ends[::2] == ends[1::2]
    windows = sorted(filter(None, ends))
    assert ends == [*windows, None, None]
    assert await polled.cursor() == parse_time(windows[-1]) > times[-1]


async def test_no_activity_falls_between_two_windows(polled: Polled) -> None:
    first = polled.google.now() - 2 * DAY
    await polled.poll(first=polled.google.now() - first)
    edge = parse_time(polled.google.asked[0].query["endTime"])
    # To which of two windows an edge belongs, Google does not say: here to neither.
    polled.google.store(*(google_bytes(edge + each) for each in range(-2, 3)))
    await polled.poll(overlap=3 * DAY)
    await polled.require_all()


async def test_a_backlog_that_is_broken_off_is_read_on_from_the_last_whole_window(
    polled: Polled,
) -> None:
    polled.google.page = 1
    now = polled.google.now()
    for hours in range(4, 100, 12):
        polled.google.store(google_bytes(now - hours * HOUR))
    # Two windows of two pages, and one page of the third.
    polled.google.faults.extend([*[None] * 5, *["500"] * ATTEMPTS])
    with pytest.raises(FetchError):
        await polled.poll(first=4 * DAY)
    end = parse_time(polled.google.asked[3].query["endTime"])
    assert await polled.cursor() == end
    before = len(polled.google.asked)
    await polled.poll()
    since = parse_time(polled.google.asked[before].query["startTime"])
    assert since == end - 10 * MINUTE
    await polled.require_all()
    assert await polled.cursor() == now - 4 * HOUR


async def test_days_on_which_nothing_happened_are_not_read_again(
    polled: Polled,
) -> None:
    now = polled.google.now()
    await polled.poll(first=30 * DAY)
    cursor = await polled.cursor()
    assert cursor is not None
    assert now - 2 * DAY < cursor < now


async def test_the_next_run_begins_some_time_before_the_cursor(polled: Polled) -> None:
    times = backlog(polled, 5)
    await polled.poll()
    await polled.poll(overlap=3 * DAY)
    since = parse_time(polled.google.asked[1].query["startTime"])
    assert since == times[-1] - 3 * DAY
    await polled.require_all()


async def test_activities_that_arrive_late_are_found_within_the_overlap(
    polled: Polled,
) -> None:
    now = polled.google.now()
    polled.google.store(google_bytes(now - 1000))
    polled.google.store(google_bytes(now - 3 * HOUR), arrives=now + HOUR)

    def between(_: int) -> None:
        polled.google.skew = 2 * HOUR

    await polled.poll(rounds=2, between=between, overlap=4 * HOUR)
    await polled.require_all()
    assert await polled.cursor() == now - 1000


async def test_each_application_is_a_stream_of_its_own(polled: Polled) -> None:
    del polled.table["applications"]
    polled.google.page = 2
    for application in ("admin", "groups_enterprise", "user_accounts", "token"):
        backlog(polled, 3, application)
    await polled.poll()
    names = [each.application for each in polled.google.asked]
    expected = ["admin", "groups_enterprise", "user_accounts"]
    assert names == [name for name in expected for _ in range(2)]
    del polled.google.stored["token"]
    await polled.require_all()


async def test_the_cursor_overtakes_no_application(polled: Polled) -> None:
    polled.table["applications"] = ["admin", "token"]
    now = polled.google.now()
    # Done while the second application is read, when the first has been.
    polled.google.store(google_bytes(now + 2 * MINUTE, "token"), application="token")
    polled.google.store(google_bytes(now - 1000))
    await polled.poll()
    assert await polled.cursor() == now - 1000


FAULTS = (
    *("429", "403_rate", "403_quota", "401", "500", "503", "cut", "array", "other"),
    *("nothing", "scalars", "link_number", "link_long", "redirect"),
)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_page_that_goes_wrong_is_not_taken_and_asked_for_again(
    polled: Polled, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    polled.google.page = 4
    backlog(polled, 10)
    polled.google.faults.extend([None, fault, fault, None, fault])
    await polled.poll()
    await polled.require_all()
    assert len(polled.google.asked) == 3 + 3
    assert len(polled.waits) == 3
    assert "trying again in" in caplog.text
    assert polled.google.foreign == []
    assert not any(token in caplog.text for token in polled.google.tokens)
    assert "Ann" not in caplog.text


async def test_a_rate_limit_is_waited_for_as_long_as_asked(polled: Polled) -> None:
    backlog(polled, 3)
    polled.google.faults.append("429")
    await polled.poll()
    assert polled.waits == [30.0]
    await polled.require_all()


@pytest.mark.parametrize("fault", ["403", "403_off", "403_long"])
async def test_a_refusal_that_does_not_pass_ends_it(polled: Polled, fault: str) -> None:
    backlog(polled, 3)
    polled.google.faults.append(fault)
    with pytest.raises(ConfigurationError, match=r"refuses the token.*403"):
        await polled.poll(rounds=3)
    assert len(polled.google.asked) == 1


async def test_a_token_of_a_page_that_expired_has_the_round_begin_anew(
    polled: Polled, caplog: pytest.LogCaptureFixture
) -> None:
    polled.google.page = 4
    backlog(polled, 10)
    polled.google.faults.extend([None, "expired"])
    await polled.poll(rounds=2)
    assert "beginning again from the cursor" in caplog.text
    await polled.require_all()


async def test_links_in_circles_are_noticed(polled: Polled) -> None:
    backlog(polled, 3)
    polled.google.faults.extend(["circle"] * 4)
    with pytest.raises(FetchError, match="circles"):
        await polled.poll()


async def test_activities_sent_twice_have_one_entry(polled: Polled) -> None:
    polled.google.page = 4
    backlog(polled, 10)
    polled.google.faults.extend(["twice", None, "twice"])
    await polled.poll()
    await polled.require_all()


@pytest.mark.parametrize("skew", [-2 * DAY, -HOUR, 0, HOUR, 2 * DAY])
async def test_no_clock_that_is_wrong_loses_an_activity(
    polled: Polled, skew: int
) -> None:
    polled.google.skew = skew
    now = polled.google.now()
    for date in (now - 5000, now + DAY, now + 400 * DAY):
        polled.google.store(google_bytes(date))
    # The grant is dated by our clock, and taken by one that is not far from it.
    if abs(skew) > 5 * MINUTE:
        with pytest.raises(FetchError, match="HTTP 400"):
            await polled.poll()
        return
    await polled.poll()
    cursor = await polled.cursor()
    assert cursor == now - 5000
    await polled.poll()
    await polled.require_all()


async def test_pages_too_large_are_asked_for_in_parts(polled: Polled) -> None:
    # 500 KB each: sixteen of them fit, and seventeen do not.
    now = polled.google.now()
    big = [google_bytes(now - n, NOTE="x" * 500_000) for n in range(20)]
    polled.google.store(*big)
    await polled.poll()
    limits = [int(each.query["maxResults"]) for each in polled.google.asked]
    assert limits[:8] == [1000, 500, 250, 125, 62, 31, 15, 30]
    assert sum(each.delivered.logged for each in polled.taken) == 20


async def test_the_account_asks_for_reports_on_behalf_of_an_administrator(
    polled: Polled,
) -> None:
    backlog(polled, 3)
    await polled.poll(rounds=3)
    [grant] = polled.google.grants
    assert (grant["iss"], grant["sub"], grant["scope"]) == (EMAIL, ADMIN, SCOPE)
    assert len(polled.google.asked) == 3
    authorizations = {each.authorization for each in polled.google.asked}
    assert authorizations == {f"Bearer {token}" for token in polled.google.tokens}


async def test_an_access_token_is_had_anew_before_it_ends(polled: Polled) -> None:
    backlog(polled, 3)
    polled.google.seconds = 0
    polled.google.faults.append("401")
    await polled.poll()
    assert len(polled.google.grants) == 2
    await polled.require_all()


async def test_a_token_endpoint_that_is_away_is_asked_again(polled: Polled) -> None:
    backlog(polled, 3)
    polled.google.refusals.extend([500, 503])
    await polled.poll()
    assert len(polled.waits) == 2
    await polled.require_all()


async def test_an_account_that_may_not_act_for_the_administrator_ends_it(
    polled: Polled,
) -> None:
    polled.table["subject"] = "somebody@acme.example"
    with pytest.raises(ConfigurationError, match=r"refuses the token.*401"):
        await polled.poll(rounds=3)
    assert polled.google.asked == []


async def test_the_key_and_the_token_go_to_their_own_servers_alone(
    polled: Polled,
) -> None:
    backlog(polled, 3)
    for fault in ("redirect", "401"):
        polled.google.faults.extend([fault] * ATTEMPTS)
        with pytest.raises(FetchError):
            await polled.poll()
    assert polled.google.foreign == []


@pytest.mark.parametrize("fault", ["fails", "fails but is persisted"])
@pytest.mark.parametrize("commit", [0, 1, 2])
async def test_a_commit_that_fails_loses_and_doubles_nothing(
    polled: Polled, fault: str, commit: int
) -> None:
    polled.google.page = 4
    times = backlog(polled, 10)
    storage = polled.service.storage
    assert isinstance(storage, FaultyStorage)
    storage.told.faults = [*[None] * commit, fault]
    await polled.poll()
    await polled.require_all()
    assert await polled.cursor() == times[-1]
