"""Whom a client believes: the keys it was given, and those the log announced since.

Nobody has to be told that a log's key was replaced. Where an answer is signed by a key
that is not known, or by one beside those that are, the log's announcements are fetched
and followed from the keys that were given (`provlog.merkle.announcements`), remembered,
and the answer is read again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol, TypeVar, runtime_checkable

from provlog.client.errors import (
    ClientError,
    RefusedError,
    UnavailableError,
)
from provlog.client.freeze_evidence import FreezeEvidence
from provlog.client.kept_announcements import follow_kept, is_older, pairs
from provlog.client.memory import Memory, VolatileMemory
from provlog.merkle.announcements import (
    Followed,
    Freeze,
    follow,
)
from provlog.merkle.errors import (
    ContentError,
    FrozenError,
    SignatureError,
)
from provlog.merkle.trust import SignedCheckpoint, Trust

MAX_ASKED: Final = 32
"""Unknown keys after which it is asked once in `REST_SECONDS`; a log has one in years.
"""
REST_SECONDS: Final = 60.0
"""How long it is not asked again about a key without which nothing is believed."""
LONG_REST_SECONDS: Final = 3600.0
"""The same of a key that signs beside one that is known."""

Fetch = Callable[[], Awaitable[bytes]]
OnFollowed = Callable[[Trust, tuple[SignedCheckpoint, ...]], Awaitable[None]]
T = TypeVar("T")


@runtime_checkable
class Shelf(Protocol):
    """Where a log's announcements are kept, for each origin and first key given.

    They come back byte for byte, and whoever asked verifies them again.
    """

    def load_announcements(self, origin: str, vkey: str) -> bytes | None:
        """Return the document kept for this log, None if there is none."""

    def replace_announcements(
        self, origin: str, vkey: str, expected: bytes | None, document: bytes
    ) -> bool:
        """Keep `document` if `expected` is what is kept now; tell whether it was."""


class LogKeys:
    """The keys of one log, from those that were given to the newest.

    `trust` is what is believed now, `freeze` the end of the log if it announced one.
    `fetch` gets the log's announcements, unverified.
    """

    def __init__(self, given: Trust, fetch: Fetch) -> None:
        self.given = given
        self.trust = given
        self.freeze: Freeze | None = None
        self.document: bytes | None = None
        self._fetch = fetch
        self._memory: Memory | None = None
        self._shelf: Shelf = VolatileMemory()
        self._listeners: list[OnFollowed] = []
        self._untold: list[OnFollowed] = []
        self._lock = asyncio.Lock()
        self._recalled = False
        # Keys that were asked about, and when. Never for good: what was announced then
        # may have been an older document, and anybody can put lines under a note.
        self._asked: dict[bytes, float] = {}
        self._rests_until = float("-inf")

    def remember_in(self, memory: Memory, shelf: object = None) -> None:
        """Keep what is followed, and evidence, there from now on.

        A memory that is no `Shelf` has none of it the next time: it is asked for anew.
        `shelf` is where announcements are kept if not in `memory`.
        """
        self._memory = memory
        chosen = memory if shelf is None else shelf
        if isinstance(chosen, Shelf):
            self._shelf = chosen

    def listen(self, on_followed: OnFollowed) -> None:
        """Tell of each new trust, with the checkpoints of proofs that led to it.

        What was followed before is told by `recall`.
        """
        self._listeners.append(on_followed)
        self._untold.append(on_followed)

    async def recall(self) -> None:
        """Follow what is remembered, unless that was done. Raises `UsageError`."""
        if self._recalled and not self._untold:
            return
        async with self._lock:
            if not self._recalled:
                kept = await self._load()
                if kept is not None:
                    await self._set(follow_kept(self.given, kept), kept, ())
                self._recalled = True
            while self._untold:
                await self._untold[-1](self.trust, ())
                self._untold.pop()

    async def believe(self, read: Callable[[Trust], T]) -> T:
        """Return what `read` makes of an answer, under the newest keys if it has to be.

        Raises what `read` and `follow` raise; and `UnavailableError` where the answer
        cannot be judged, because the announcements cannot be had for now. A checkpoint
        from behind the log's end is kept as evidence.
        """
        before = self.trust
        try:
            value = await self._read(read)
        except SignatureError as error:
            ids = self._of_log(error)
            if not ids or not await self._ask(before, ids, needed=True):
                raise
            return await self._read(read)
        signed = _checkpoint_in(value)
        strangers = () if signed is None else signed.strangers
        if strangers and await self._ask(before, strangers, needed=False):
            return await self._read(read)
        return value

    async def look(self, size: int | None = None) -> None:
        """Ask for the announcements, and follow them.

        `size` is that of a checkpoint that the log serves: what it announced in that
        tree has to be there. A log that serves no announcements has made none.
        """
        async with self._lock:
            try:
                document = await self._fetch()
            except RefusedError:
                return
            await self._adopt(document, size)

    async def _read(self, read: Callable[[Trust], T]) -> T:
        try:
            return read(self.trust)
        except FrozenError as error:
            await self._convict(error, self.document)
            raise

    async def _ask(self, before: Trust, ids: Iterable[bytes], *, needed: bool) -> bool:
        """Look for these keys; tell whether there is another trust than `before`."""
        async with self._lock:
            # Another task may have been here while this one waited.
            now = time.monotonic()
            new = self._to_ask(ids, now, needed=needed)
            if self.trust is not before or not new:
                return self.trust is not before
            try:
                document = await self._fetch()
            except RefusedError:
                document = None
            except UnavailableError:
                if needed:
                    raise
                self._rests_until = now + REST_SECONDS
                return False
            self._asked |= dict.fromkeys(new, now)
            if len(self._asked) >= MAX_ASKED:
                self._rests_until = now + REST_SECONDS
            if document is not None:
                await self._adopt(document, None)
            return self.trust is not before

    def _to_ask(
        self, ids: Iterable[bytes], now: float, *, needed: bool
    ) -> frozenset[bytes]:
        """Return the keys to ask about now, none while it has to rest."""
        rests, many = now < self._rests_until, len(self._asked) >= MAX_ASKED
        if rests and (many or not needed):
            return frozenset()
        if many:
            self._asked.clear()
        rest = REST_SECONDS if needed else LONG_REST_SECONDS
        known = {each for each, at in self._asked.items() if now - at < rest}
        return frozenset(ids) - known

    async def _adopt(self, document: bytes, size: int | None) -> None:
        """Follow a document from all that is remembered, and remember it.

        If the process dies before it is on disk, nothing was believed by it yet.
        """
        while True:
            kept = await self._load()
            known = self.given
            if kept is not None:
                known = follow_kept(self.given, kept).trust
            try:
                followed = follow(known, document)
            except FrozenError as error:
                await self._convict(error, document)
                raise
            except ContentError:
                if kept is None or not is_older(document, kept, size):
                    raise
                document, followed = kept, follow_kept(self.given, kept)
            if await self._keep(kept, document):
                break
        if followed.trust != self.trust:
            await self._set(followed, document, followed.checkpoints())

    async def _keep(self, kept: bytes | None, document: bytes) -> bool:
        if pairs(document) == (frozenset() if kept is None else pairs(kept)):
            return True
        return await asyncio.to_thread(
            self._shelf.replace_announcements, *self._place(), kept, document
        )

    async def _set(
        self,
        followed: Followed,
        document: bytes,
        checkpoints: tuple[SignedCheckpoint, ...],
    ) -> None:
        for listener in self._listeners:
            await listener(followed.trust, checkpoints)
        self.document, self.freeze = document, followed.freeze
        self.trust = followed.trust

    async def _load(self) -> bytes | None:
        return await asyncio.to_thread(self._shelf.load_announcements, *self._place())

    def _place(self) -> tuple[str, str]:
        return self.given.origin, self.given.log_keys[0].vkey()

    def _of_log(self, error: SignatureError) -> tuple[bytes, ...]:
        names = {self.given.origin, *(key.name for key in self.given.log_keys)}
        return tuple(key_id for name, key_id in error.strangers if name in names)

    async def _convict(self, error: FrozenError, document: bytes | None) -> None:
        if self._memory is None or document is None:
            return
        frozen = error.note if self.freeze is None else self.freeze.signed.note
        evidence = FreezeEvidence.of(self.given.origin, frozen, error.note, document)
        try:
            place = await asyncio.to_thread(self._memory.convict, evidence)
            error.add_note(f"What convicts the log is kept: {place}")
        except ClientError as trouble:
            error.add_note(f"The evidence could not be kept: {trouble}")


def _checkpoint_in(value: object) -> SignedCheckpoint | None:
    """Return the verified checkpoint in what was read, whichever it is."""
    if isinstance(value, list):
        found = (_checkpoint_in(each) for each in value)
        return next((each for each in found if each is not None), None)
    if isinstance(value, SignedCheckpoint):
        return value
    inside = getattr(value, "checkpoint", None)
    return inside if isinstance(inside, SignedCheckpoint) else None
