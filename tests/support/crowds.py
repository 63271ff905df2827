"""A crowd that keeps a server busy and writes down all that it was told.

Single events, batches and a long-polling watcher, over connections that the server (or
its end) may cut at any moment. What was answered is judged afterwards, offline.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from support.observers import BATCH, JSON, LostError, Observer, bearer
from support.servers import Server

SOURCE = "urn:okta:acme"
TIMEOUT = aiohttp.ClientTimeout(total=20)


def event(event_id: str) -> dict[str, Any]:
    """Return the event of an id: to make it again is to make the same."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": "role.assign",
        "time": "2026-11-21T17:53:55.516Z",
        "data": {
            "actor": {"id": "00u1", "type": "user", "name": "bob@example.com"},
            "target": {"id": f"00u-{event_id}", "name": "alice@example.com"},
            "resource": {"type": "role", "id": "r-12", "name": "Billing Admin"},
        },
    }


class Crowd:
    """Submitters and watchers of one log, over all restarts of its servers.

    With one server a submitter gives up when its connection breaks, unless it is to be
    `stubborn`; with several it goes on with another.

    `lost` are submissions whose connection broke before an answer came, and `refused`
    those that were answered with 503: nobody knows of either whether they were logged.
    `statuses` and `refusals` count the answers and what the refusing ones said,
    `found_again` the events that had been logged without an answer, `resent` those that
    were submitted once more. Submitters with an even number send what they lost again,
    when they are let loose the next time or go on; the others go on with new events.
    """

    def __init__(
        self, server: Server, *others: Server, singles: int = 6, batches: int = 2
    ) -> None:
        self.server = server
        self.servers = [server, *others]
        self.stubborn = bool(others)
        self.observer = Observer(server)
        self.statuses: Counter[int] = Counter()
        self.refusals: Counter[str] = Counter()
        self.lost: set[tuple[str, ...]] = set()
        self.refused: set[tuple[str, ...]] = set()
        self.found_again = self.resent = 0
        self._widths = [1] * singles + [8] * batches
        self._denied: set[tuple[str, ...]] = set()
        self._again: dict[int, tuple[str, ...]] = {}
        self._numbers = itertools.count()
        self._answers: list[tuple[tuple[str, ...], int, bytes]] = []
        self._notes: set[bytes] = set()
        self._stopping = False

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep the server busy meanwhile; afterwards wait for what is under way."""
        self._stopping = False
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            tasks = [
                asyncio.create_task(self._submit(session, number, width))
                for number, width in enumerate(self._widths)
            ]
            watchers = [
                asyncio.create_task(self._watch(session, server))
                for server in self.servers
            ]
            try:
                yield
            finally:
                self._stopping = True
                await asyncio.gather(*tasks)
                for watcher in watchers:
                    watcher.cancel()
                await asyncio.gather(*watchers, return_exceptions=True)

    async def until_nothing_is_taken(self) -> None:
        """Return once 50 answers in a row were refusals; to be awaited while `busy`.

        What is taken before only begins the count anew: it is judged with the rest.
        """
        async with asyncio.timeout(20):
            while self.statuses[503] < 50 or set(self.statuses) != {503}:
                if set(self.statuses) - {503}:
                    self.statuses.clear()
                await asyncio.sleep(0.02)

    async def settle(self, session: aiohttp.ClientSession, attempts: int = 1) -> int:
        """Send again all that nobody acknowledged; return how much the log had.

        Where calls are made to fail a number of times, `attempts` outlasts them,
        however little of the load came before.
        """
        found = self.found_again
        for ids in self.lost | self.refused:
            self.resent += len(ids)
            for _ in range(attempts):
                answer = await self._post(session, ids)
                if answer != 503:
                    break
            assert answer is not None
            assert answer < 300, f"answered {answer}"
        self._again.clear()
        self.judge()
        assert not self.lost
        assert not self.refused
        return self.found_again - found

    async def confirm(
        self, session: aiohttp.ClientSession, ids: Sequence[str], width: int = 500
    ) -> None:
        """Submit acknowledged events again: each has to be found under its index."""
        known = len(self.observer.created)
        self.resent += len(ids)
        for start in range(0, len(ids), width):
            part = tuple(ids[start : start + width])
            # On a machine that is busy an answer may take longer than anybody waits.
            status = None
            for _ in range(3):
                status = status or await self._post(session, part)
            assert status == 200, f"acknowledged events are answered with {status}"
            # Not an event that was found without an answer: this one had one.
            self.found_again -= len(part)
        self.judge()
        if len(self.observer.created) != known:
            raise LostError(ids, "some were logged as if they were new")

    def judge(self) -> None:
        """Verify all answers that came since the last time; raise at the first lie."""
        answers, self._answers = self._answers, []
        for ids, status, body in answers:
            before = len(self.observer.created)
            if len(ids) == 1:
                self.observer.see_single(ids[0], status, body)
            else:
                self.observer.see_batch(ids, body)
            found = len(ids) - (len(self.observer.created) - before)
            assert not (found and ids in self._denied), f"{ids} was logged after all"
            self.found_again += found
        for note in self._notes:
            self.observer.see_note(note)
        self._notes.clear()

    @property
    def sent(self) -> set[str]:
        """Every event id that was ever sent."""
        unsettled = itertools.chain.from_iterable(self.lost | self.refused)
        return {*self.observer.acknowledged, *unsettled}

    async def _submit(
        self, session: aiohttp.ClientSession, number: int, width: int
    ) -> None:
        servers = itertools.islice(itertools.cycle(self.servers), number, None)
        server = next(servers)
        while not self._stopping:
            again = self._again.pop(number, None)
            ids = again or self._fresh(width)
            self.resent += len(again or ())
            status = await self._post(session, ids, server)
            if status is None or status >= 300:
                if number % 2 == 0:
                    self._again[number] = ids
                if status is None and not self.stubborn:
                    return
                if status is None:
                    server = next(servers)
                await asyncio.sleep(0.01)

    def _fresh(self, width: int) -> tuple[str, ...]:
        return tuple(f"e{next(self._numbers)}" for _ in range(width))

    async def _post(
        self,
        session: aiohttp.ClientSession,
        ids: tuple[str, ...],
        server: Server | None = None,
    ) -> int | None:
        """Submit; return the status, or None where no whole answer came."""
        server = server or self.server
        doubtful = ids in self.lost or ids in self.refused
        self.lost.add(ids)
        events = [event(each) for each in ids]
        single = len(events) == 1
        try:
            async with session.post(
                f"{server.url}/logs/main/events",
                data=json.dumps(events[0] if single else events),
                headers={
                    **bearer(server, "submitter"),
                    "Content-Type": JSON if single else BATCH,
                },
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return None
        self.lost.discard(ids)
        self.statuses[answer.status] += 1
        if answer.status in (200, 201):
            self.refused.discard(ids)
            self._answers.append((ids, answer.status, body))
        else:
            problem = json.loads(body)
            assert answer.status == 503, problem
            if "nothing" in problem["detail"] and not doubtful:
                self._denied.add(ids)
            self.refused.add(ids)
            self.refusals[problem["detail"]] += 1
        return answer.status

    async def _watch(self, session: aiohttp.ClientSession, server: Server) -> None:
        size = 0
        headers = bearer(server, "monitor")
        while True:
            try:
                async with session.get(
                    f"{server.url}/logs/main/checkpoint",
                    params={"newer_than": size, "timeout": 5},
                    headers=headers,
                ) as answer:
                    note = await answer.read()
            except (aiohttp.ClientError, ConnectionError):
                if not self.stubborn:
                    return
                await asyncio.sleep(0.05)
                continue
            if answer.status == 200:
                self._notes.add(note)
                size = int(note.split(b"\n")[1])
            else:
                await asyncio.sleep(0.05)
