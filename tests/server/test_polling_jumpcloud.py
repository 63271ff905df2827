"""JumpCloud's events polled into a log: each once, whatever goes wrong."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provlog.merkle.encoding import format_time, parse_time
from provlog.server.delivery import deliver
from provlog.server.errors import ConfigurationError
from provlog.server.log import Log
from provlog.server.polling.cursors import SourceCursor
from provlog.server.polling.feed import FetchError
from provlog.server.polling.jumpcloud import (
    KIND,
    LARGEST_LIMIT,
    Place,
    read_mark,
)
from provlog.server.polling.kinds import make_feed
from provlog.server.polling.pages import dated
from provlog.server.polling.poller import ATTEMPTS, Poller, Settings, Taken
from provlog.server.service import Service
from provlog.server.source_settings import read_source
from provlog.server.storage.base import SourceRecord
from support.fake_jumpcloud import FakeJumpCloud, fake_jumpcloud, write_settings
from support.jumpcloud import SOURCE
from support.polling import INTERVAL, MINUTE, Impatient, originals_of
from support.services import make_instance, now_ms, running

RECORD = SourceRecord(SOURCE, "acme", "jumpcloud")
HOUR = 60 * MINUTE


@dataclass
class Polled:
    """A log and the JumpCloud it is filled from."""

    service: Service
    log: Log
    jumpcloud: FakeJumpCloud
    folder: Path

    async def poll(self, *, overlap: int = 10 * MINUTE) -> list[Taken]:
        """Poll one round as a new process; return what was told."""
        path = write_settings(self.folder, self.jumpcloud, SOURCE)
        feed = make_feed(KIND, read_source(path))
        taken: list[Taken] = []
        poller = Poller(
            feed,
            lambda records: deliver(self.service, self.log, RECORD, records, {}),
            SourceCursor(
                self.service.storage,
                self.log.id,
                SOURCE,
                self.service.clock,
                replace=False,
            ),
            Settings(now_ms() - 20 * HOUR, INTERVAL, overlap, once=True),
            self.service.clock.now,
            Impatient(0, lambda _: None),
            taken.append,
        )
        try:
            await poller.run()
        finally:
            await feed.close()
        return taken

    async def require_all(self) -> None:
        """Every event has one entry, byte for byte; nothing else has."""
        originals = sorted(await originals_of(self.service, self.log))
        assert originals == sorted(record for *_, record in self.jumpcloud.stored)

    async def cursor(self) -> int | None:
        """Return where the cursor stands."""
        stored = await self.service.storage.cursor(self.log.id, SOURCE)
        return None if stored is None else parse_time(stored.position)


@pytest.fixture
async def polled(tmp_path: Path) -> AsyncIterator[Polled]:
    async with (
        running(await make_instance(tmp_path)) as (service, log),
        fake_jumpcloud() as fake,
    ):
        await service.register_source(log, RECORD, "test")
        yield Polled(service, log, fake, tmp_path)


def moments(count: int) -> list[int]:
    """Return moments of some hours, the oldest first."""
    now = now_ms()
    return [now - 10 * HOUR + 1000 * number for number in range(count)]


async def test_every_event_has_one_entry_byte_for_byte(polled: Polled) -> None:
    times = moments(3)
    polled.jumpcloud.store(*times)
    odd = f'{{"timestamp":  "{format_time(times[0] - 5)}", "x":1e15, "x":2}}'
    polled.jumpcloud.store_record(times[0] - 5, odd.encode())
    await polled.poll()
    await polled.require_all()
    assert await polled.cursor() == times[-1]
    assert polled.jumpcloud.asked[0]["service"] == ["directory"]
    assert polled.jumpcloud.asked[0]["limit"] == LARGEST_LIMIT


async def test_pages_lead_on_until_one_is_not_full(polled: Polled) -> None:
    # Several share a moment, across the end of a page.
    times = moments(LARGEST_LIMIT - 3)
    polled.jumpcloud.store(*times, *[times[-1]] * 6)
    taken = await polled.poll()
    assert [each.records for each in taken] == [LARGEST_LIMIT, 3, 0]
    await polled.require_all()
    first, second = polled.jumpcloud.asked
    assert "search_after" not in first
    assert second["start_time"] == first["start_time"]


async def test_the_next_run_begins_some_time_before_the_cursor(polled: Polled) -> None:
    times = moments(5)
    polled.jumpcloud.store(*times)
    await polled.poll()
    taken = await polled.poll(overlap=HOUR)
    assert [each.delivered.repeated for each in taken] == [5, 0]
    assert parse_time(polled.jumpcloud.asked[1]["start_time"]) == times[-1] - HOUR
    await polled.require_all()


@pytest.mark.parametrize(
    "fault",
    ["500", "redirect", "half", "object", "texts", "unmarked", "odd", "itself"],
)
async def test_a_page_that_is_none_is_asked_for_again(
    fault: str, polled: Polled
) -> None:
    polled.jumpcloud.store(*moments(2))
    if fault == "itself":
        # A page of its own before, so that there is something to lead to.
        polled.jumpcloud.store(*moments(LARGEST_LIMIT))
        polled.jumpcloud.faults.append(None)
    polled.jumpcloud.faults.append(fault)
    await polled.poll()
    await polled.require_all()


async def test_nothing_is_taken_of_pages_that_stay_broken(polled: Polled) -> None:
    polled.jumpcloud.store(*moments(2))
    polled.jumpcloud.faults.extend(["half"] * ATTEMPTS)
    with pytest.raises(FetchError):
        await polled.poll()
    assert await originals_of(polled.service, polled.log) == []
    assert await polled.cursor() is None


async def test_a_page_that_is_too_large_is_asked_for_in_parts(polled: Polled) -> None:
    polled.jumpcloud.store(*moments(50), padding=200_000)
    await polled.poll()
    await polled.require_all()
    limits = [each["limit"] for each in polled.jumpcloud.asked]
    assert limits[:3] == [1000, 500, 250]


async def test_a_key_that_is_refused_is_the_operator_s_to_mend(polled: Polled) -> None:
    polled.jumpcloud.store(*moments(1))
    write_settings(polled.folder, polled.jumpcloud, SOURCE)
    feed = make_feed(KIND, read_source(polled.folder / "jumpcloud.toml"))
    polled.jumpcloud.key = "another"
    try:
        with pytest.raises(ConfigurationError) as caught:
            await feed.page(0, None)
        assert "a-key" not in str(caught.value)
        # It is read anew for each request.
        (polled.folder / "jumpcloud.key").write_text("another")
        assert len((await feed.page(0, None)).records) == 1
    finally:
        await feed.close()


@pytest.mark.parametrize(
    "poll",
    [
        "",
        'key_file = "k"\nservices = []',
        'key_file = "k"\nservices = ["A b"]',
        'key_file = "k"\nurl = "http://x.example"',
        'key_file = "k"\nurl = "https://x.example/path"',
        'key_file = "k"\ntoken = "t"',
    ],
)
def test_settings_that_do_not_fit(poll: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f'source = "{SOURCE}"\n[poll]\n{poll}\n')
    with pytest.raises(ConfigurationError):
        make_feed(KIND, read_source(path))


@pytest.mark.parametrize("text", ["", "x", "7", "[]", "{}", "[1", "[" + "1," * 3000])
def test_marks_that_lead_nowhere(text: str) -> None:
    with pytest.raises(FetchError):
        read_mark({"X-Search_after": text})


def test_links_are_those_of_places() -> None:
    for place in (Place(7), Place(7, '[1, "a.b"]')):
        assert Place.parse(place.link()) == place
    for link in ("", "x", "x.y", "."):
        with pytest.raises(FetchError):
            Place.parse(link)


@pytest.mark.parametrize(
    ("record", "time"),
    [
        (b'{"timestamp":"1970-01-01T00:00:01.5Z"}', 1500),
        (b'{"timestamp":"1960-01-01T00:00:01Z"}', None),
        (b'{"timestamp":7}', None),
        (b"{}", None),
        (b"[]", None),
        (b"{", None),
    ],
)
def test_dates(record: bytes, time: int | None) -> None:
    assert dated(record, "timestamp") == time
