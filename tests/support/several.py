"""A crowd that asks several servers of one log, and gives up on no event.

Each event is sent until somebody acknowledges it, to another server each time; some are
sent to all of them at once. What was answered is judged afterwards, offline.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from support.crowds import TIMEOUT, event
from support.observers import BATCH, JSON, Observer, bearer
from support.servers import Server


class Crowd:
    """Submitters, and a watcher of each server, while servers come and go.

    `sent` are all event ids, each of them acknowledged once `busy` is over; `broken`
    counts the requests that no whole answer came to, `statuses` the answers, `repeated`
    how often an event that was sent to all at once was answered by several servers.
    """

    def __init__(
        self, servers: Sequence[Server], singles: int = 4, batches: int = 1
    ) -> None:
        self.servers = servers
        self.observer = Observer(servers[0])
        self.sent: list[str] = []
        self.broken = self.repeated = 0
        self.statuses: Counter[int] = Counter()
        self._widths = [1] * singles + [6] * batches
        self._numbers = itertools.count()
        self._answers: list[tuple[Sequence[str], int, bytes]] = []
        self._notes: set[bytes] = set()
        self._stopping = False

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep the servers busy meanwhile; then wait until all is acknowledged."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            submitters = [
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
                await asyncio.gather(*submitters)
                for watcher in watchers:
                    watcher.cancel()
                await asyncio.gather(*watchers, return_exceptions=True)

    async def judge(self) -> None:
        """Verify all that was answered, and all that every server shows now."""
        observer = self.observer
        for ids, status, body in self._answers:
            if len(ids) == 1:
                observer.see_single(ids[0], status, body)
            else:
                observer.see_batch(ids, body)
        for note in self._notes:
            observer.see_note(note)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            for server in self.servers:
                observer.server = server
                await observer.follow(session)
            await observer.download_again(session)
        assert {*observer.acknowledged} == {*self.sent}
        events = [entry for entry in observer.entries if entry.kind == "event"]
        assert len(events) == len(self.sent), "an event is there twice, or not at all"

    async def _submit(
        self, session: aiohttp.ClientSession, number: int, width: int
    ) -> None:
        for turn in itertools.count(number):
            if self._stopping:
                return
            # As much as is sent has to be judged: no more than shows something.
            await asyncio.sleep(0.005)
            ids = [f"e{next(self._numbers)}" for _ in range(width)]
            self.sent += ids
            if turn % 4 == 0:
                told = await asyncio.gather(
                    *(self._post(session, server, ids) for server in self.servers)
                )
                self.repeated += sum(told) > 1
                if any(told):
                    continue
            await self._insist(session, turn, ids)

    async def _insist(
        self, session: aiohttp.ClientSession, first: int, ids: Sequence[str]
    ) -> None:
        async with asyncio.timeout(60):
            for turn in itertools.count(first):
                server = self.servers[turn % len(self.servers)]
                if await self._post(session, server, ids):
                    return
                await asyncio.sleep(0.02)

    async def _post(
        self, session: aiohttp.ClientSession, server: Server, ids: Sequence[str]
    ) -> bool:
        """Submit; tell whether it was acknowledged."""
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
        except (aiohttp.ClientError, ConnectionError):
            self.broken += 1
            return False
        self.statuses[answer.status] += 1
        if answer.status == 503:
            return False
        assert answer.status in (200, 201), body
        self._answers.append((ids, answer.status, body))
        return True

    async def _watch(self, session: aiohttp.ClientSession, server: Server) -> None:
        size = 0
        while True:
            url = f"{server.url}/logs/main/checkpoint"
            try:
                async with session.get(
                    url,
                    params={"newer_than": size, "timeout": 5},
                    headers=bearer(server, "monitor"),
                ) as answer:
                    note = await answer.read()
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(0.05)
                continue
            if answer.status == 200:
                self._notes.add(note)
                # Another worker on the same address may not have seen as much.
                size = max(size, int(note.split(b"\n")[1]))
