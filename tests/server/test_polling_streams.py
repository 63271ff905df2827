"""Several streams as one feed: each is read whole, and the cursor overtakes none."""

from collections.abc import Sequence

import pytest

from provlog.server.polling.feed import FetchError, Page
from provlog.server.polling.streams import Streams


class Stream:
    """A feed of given pages, which are linked by their numbers."""

    def __init__(self, name: str, clocks: Sequence[int | None]) -> None:
        self.name = name
        self.clocks = clocks
        self.closed = False

    async def page(self, since: int, link: str | None) -> Page:
        number = int(link or 0)
        last = number == len(self.clocks) - 1
        return Page(
            [f"{self.name}{number}@{since}".encode()],
            (number,),
            None if last else str(number + 1),
            self.clocks[number],
            1.5,
        )

    async def close(self) -> None:
        self.closed = True


async def pages(streams: Streams) -> list[Page]:
    found = [await streams.page(7, None)]
    while found[-1].next is not None:
        found.append(await streams.page(7, found[-1].next))
    return found


async def test_each_stream_is_read_to_its_end_in_turn() -> None:
    found = await pages(Streams([Stream("a", [1, 2]), Stream("b", [3])]))
    assert [page.records for page in found] == [[b"a0@7"], [b"a1@7"], [b"b0@7"]]
    assert {page.pause for page in found} == {1.5}


async def test_only_the_last_stream_settles_what_lies_before_its_records() -> None:
    found = await pages(Streams([Stream("a", [1, 2]), Stream("b", [3, 4])]))
    assert [page.settles for page in found] == [False, False, True, True]


async def test_no_date_is_believed_that_is_later_than_the_first_answer() -> None:
    streams = Streams([Stream("a", [10, 20]), Stream("b", [30, None])])
    assert [page.clock for page in await pages(streams)] == [10, 10, 10, 10]
    # And anew in the next round.
    streams = Streams([Stream("a", [10]), Stream("b", [30])])
    await pages(streams)
    assert (await pages(streams))[1].clock == 10


async def test_where_the_provider_tells_no_time_our_own_bounds_the_dates() -> None:
    ours = iter(range(100, 200, 10))
    streams = Streams(
        [Stream("a", [None, None]), Stream("b", [None, 20])], lambda: next(ours)
    )
    assert [page.clock for page in await pages(streams)] == [100, 100, 100, 20]
    assert (await pages(streams))[0].clock == 140


@pytest.mark.parametrize("link", ["2:", "-1:", "x:1", "01:", "9" * 5000 + ":"])
async def test_a_link_that_leads_to_no_stream_is_refused(link: str) -> None:
    with pytest.raises(FetchError):
        await Streams([Stream("a", [1]), Stream("b", [1])]).page(0, link)


async def test_all_are_closed() -> None:
    feeds = [Stream("a", [1]), Stream("b", [1])]
    await Streams(feeds).close()
    assert all(feed.closed for feed in feeds)
