"""Records to a spool beside the proxy, which keeps and submits them: `provlog spool`.

Nobody waits for it. While it does not answer, records wait here, bounded in number and
bytes; what finds no room is counted and said, and never silently dropped.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from provlog.merkle.redaction import cut_secrets
from provlog.server.scim_proxy.figures import Figures

logger = logging.getLogger(__name__)

FORMAT: Final = "scim"
BATCH_RECORDS: Final = 200
BATCH_BYTES: Final = 2 * 1024 * 1024
POST_SECONDS: Final = 10.0
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
CLOSING_SECONDS: Final = 10.0

_TAKEN = range(200, 300)
_REFUSED = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Where the spool is, for which source, and how much may wait here for it.

    `token` reads the spool's token anew for each request.
    """

    url: URL
    source: str
    token: Callable[[], str | None]
    most_records: int = 20_000
    most_bytes: int = 128 * 1024 * 1024


class SpoolRecorder:
    """Hands records to the spool; see the module. Use it inside a running loop."""

    def __init__(self, settings: SpoolSettings, figures: Figures) -> None:
        self._settings = settings
        self._figures = figures
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._emptied = asyncio.Event()
        self._trouble: str | None = None
        self._lost = 0
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=POST_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        self._sending = asyncio.create_task(self._send())

    async def attempt(self, record: bytes) -> None:
        """Return at once: requests pass whatever becomes of their records."""

    async def outcome(self, record: bytes) -> None:
        """Take a record, or count it as lost where there is no room.

        The server cuts secrets out of what it is given; nothing does on the way there,
        and a spool keeps what it takes on disk.
        """
        settings, record = self._settings, cut_secrets(record).record
        full = self._bytes + len(record) > settings.most_bytes
        if full or len(self._waiting) >= settings.most_records:
            self._lose("no_room", 1)
            return
        self._waiting.append(record)
        self._bytes += len(record)
        self._show()

    def refused(self, attempt: bytes, outcome: bytes) -> None:
        """Do nothing: no request is refused for its records."""

    def trouble(self) -> str | None:
        """See `Recorder`."""
        return self._trouble

    async def close(self) -> None:
        """Hand over what waits, for `CLOSING_SECONDS` at most."""
        if self._waiting:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), CLOSING_SECONDS)
        self._sending.cancel()
        with suppress(asyncio.CancelledError):
            await self._sending
        await self._session.close()
        if self._waiting:
            self._lose("stopped", len(self._waiting))

    async def _send(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._arrived.wait()
            batch = self._batch()
            status = await self._post(batch)
            if status in _TAKEN:
                self._done(batch)
            # One of them may be the reason of a refusal: each alone, then.
            elif status not in _REFUSED or not await self._post_each(batch):
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE

    async def _post_each(self, batch: list[bytes]) -> bool:
        """Post records one by one; tell whether all were taken or refused."""
        for record in batch:
            status = await self._post([record])
            if status in _REFUSED:
                self._lose(f"refused_{status}", 1)
            elif status not in _TAKEN:
                return False  # the rest with the next batch
            self._done([record])
        return True

    def _batch(self) -> list[bytes]:
        batch, size = list[bytes](), 0
        for record in self._waiting:
            size += len(record)
            if batch and (len(batch) >= BATCH_RECORDS or size > BATCH_BYTES):
                break
            batch.append(record)
        return batch

    async def _post(self, batch: list[bytes]) -> int:
        """Return the spool's status, 0 where there is no answer."""
        url = (self._settings.url / "records").with_query(
            format=FORMAT, source=self._settings.source
        )
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            token = self._settings.token()
            if token:
                headers["Authorization"] = f"Bearer {token}"
            async with self._session.post(
                url, data=b"\n".join(batch), headers=headers, allow_redirects=False
            ) as answer:
                await answer.read()
                status = answer.status
        except Exception as error:  # whatever it is, the records wait
            self._note(f"the spool cannot be reached ({type(error).__name__})")
            return 0
        self._note(None if status in _TAKEN else f"the spool answers {status}")
        return status

    def _note(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            if trouble is None:
                logger.warning("the spool takes records again")
            else:
                logger.error("%s; records wait in memory", trouble)
        self._trouble = trouble

    def _done(self, batch: list[bytes]) -> None:
        for _ in batch:
            self._bytes -= len(self._waiting.popleft())
        self._show()

    def _show(self) -> None:
        self._figures.waiting.set(len(self._waiting))
        full, empty = self._arrived, self._emptied
        (full if self._waiting else empty).set()
        (empty if self._waiting else full).clear()

    def _lose(self, reason: str, count: int) -> None:
        self._figures.unrecorded(reason, count)
        self._lost += count
        # Each power of two, so that a long outage does not fill the log.
        if self._lost & (self._lost - 1) == 0 or reason == "stopped":
            logger.error(
                "%d changes passed without a record so far (%s)", self._lost, reason
            )
