"""What is published of a log with witnesses: on disk before anybody is shown it.

``<log>.checkpoint``  the newest checkpoint that satisfies the policy
``<log>.open``        with ``fail = "open"``: a newer head that falls short of it

One process writes, under the log's lease; the others serve what the files hold. Both
may be lost: they are made anew within a second. What they hold is believed only if it
is of the log's own tree.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from provlog.merkle.errors import MerkleError
from provlog.merkle.notes import MAX_NOTE_SIZE, parse_note_unverified
from provlog.merkle.policy import Policy
from provlog.merkle.trust import SignedCheckpoint, verify_checkpoint
from provlog.server.guard import ReleasedHead
from provlog.server.log import Log
from provlog.server.witnessing import folder
from provlog.server.witnessing.answers import Cosigned
from provlog.server.witnessing.judging import own_trust
from provlog.server.witnessing.settings import WitnessSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint to serve, and its verified cosignatures."""

    head: ReleasedHead
    note: str
    cosignatures: tuple[Cosigned, ...] = ()

    @property
    def cosigned(self) -> int | None:
        """The time of its newest cosignature, in POSIX seconds; None without any."""
        return max((each.timestamp for each in self.cosignatures), default=None)


class Publication:
    """What is published of one log, in this process.

    `witnessed` satisfies the policy, None before there is such a checkpoint; `open` is
    a larger one that does not. `missing` are the witnesses that a newer head lacks,
    where this process asks them.
    """

    def __init__(
        self,
        log: Log,
        state: Path,
        settings: WitnessSettings,
        shown: ReleasedHead | None = None,
    ) -> None:
        self.log = log
        self.path, self.open_path = published_paths(state, log.record.name)
        self._waiting: set[asyncio.Future[None]] = set()
        # The newest head that was served without being published. Nothing smaller
        # follows: that would look like a log that went back.
        self._shown = shown
        self._serve_by(settings)

    def follow(self, settings: WitnessSettings) -> None:
        """Serve by these settings from now on: what was published may fall short."""
        served = self.served()
        if served is not None:
            self._shown = served.head
        self._serve_by(settings)

    def _serve_by(self, settings: WitnessSettings) -> None:
        self.settings = settings
        self.witnessed: Published | None = None
        self.open: Published | None = None
        self.missing = tuple(each.name for each in settings.policy.witnesses)
        self._seen: dict[Path, tuple[int, ...] | None] = {}
        self._unread: tuple[int, ...] | None = None

    async def serve(self) -> Published | None:
        """Return what `/checkpoint` answers, None where nothing may be shown yet."""
        await self.look()
        if self.settings.fail_open and self.published() is None:
            self._shown = await self.log.refresh()
        return self.served()

    def served(self) -> Published | None:
        """Return the newest that may be served, as far as this process knows."""
        found, shown = self.published(), self._shown
        if shown is None or (found is not None and found.head.size >= shown.size):
            return found
        if not self.settings.fail_open:
            return None
        return Published(shown, self.log.note(shown))

    def published(self) -> Published | None:
        """Return the newest that was published, as far as this process knows."""
        found, other = self.witnessed, self.open
        if other is None or not self.settings.fail_open:
            return found
        return other if found is None or found.head.size < other.head.size else found

    async def look(self) -> None:
        """Take over what another process has published meanwhile.

        What is not of this log's tree, or does not satisfy the policy, counts as none.
        """
        found = await self._read(self.path, self.settings.policy)
        if found is not None and _is_newer(found, self.witnessed):
            self.witnessed = found
            self._wake()
        if self.settings.fail_open:
            found = await self._read(self.open_path, self._lenient())
            if found is not None and _is_newer(found, self.open):
                self.open = found
                self._wake()

    async def publish(self, note: bytes, *, quorum: bool) -> Published:
        """Write a checkpoint down, durably; only then let it be seen.

        It is verified first, as its readers will. Raises `MerkleError` where it would
        not be believed, and `OSError`; nothing is shown then.
        """
        policy = self.settings.policy if quorum else self._lenient()
        published = self._verify(note, policy)
        await _write(self.path if quorum else self.open_path, note)
        # If we crash here, whoever asks next publishes this one or a larger one.
        if quorum:
            self.witnessed = published
        else:
            self.open = published
        self._wake()
        return published

    async def wait(self, enough: Callable[[], bool], seconds: float) -> bool:
        """Tell whether a condition on what is published has come to hold in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not enough() and loop.time() < deadline:
            future: asyncio.Future[None] = loop.create_future()
            self._waiting.add(future)
            try:
                await asyncio.wait([future], timeout=deadline - loop.time())
            finally:
                self._waiting.discard(future)
        return enough()

    async def wait_beyond(self, size: int, seconds: float) -> None:
        """Return once a checkpoint larger than `size` is served, or after the wait."""

        def is_larger() -> bool:
            served = self.served()
            return served is not None and served.head.size > size

        await self.wait(is_larger, seconds)

    async def wait_witnessed(self, size: int, seconds: float) -> Published | None:
        """Return a witnessed checkpoint of at least `size`; None if there is none."""

        def covers() -> bool:
            return self.witnessed is not None and self.witnessed.head.size >= size

        return self.witnessed if await self.wait(covers, seconds) else None

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def _lenient(self) -> Policy:
        """Return the policy without its quorum: cosignatures have to be true still."""
        return replace(self.settings.policy, quorum=None)

    async def _read(self, path: Path, policy: Policy) -> Published | None:
        """Return what a file holds, None where nothing new that is to be believed."""
        stamp = _stamp(path)
        if self._seen.get(path) == stamp:
            return None
        if stamp is None:
            self._seen[path] = None
            return None
        try:
            published = self._verify(_content(path), policy)
            if not await self._is_ours(published.head):
                raise ValueError("of another tree than the log's")
        except OSError as error:
            # Not its fault: it is read again at the next look.
            if self._unread != stamp:
                logger.warning("%s cannot be read: %s", path, error.strerror)
            self._unread = stamp
            return None
        except (MerkleError, ValueError) as error:
            logger.warning("%s is not served: %s", path, error)
            self._seen[path] = stamp
            return None
        self._seen[path] = stamp
        return published

    async def _is_ours(self, head: ReleasedHead) -> bool:
        released = self.log.released
        if head.size > released.size:
            released = await self.log.refresh()
        if head.size > released.size:
            return False
        return await self.log.tree.root(head.size) == head.root

    def _verify(self, note: bytes, policy: Policy) -> Published:
        log = self.log
        trust = own_trust(log.origin, log.announced, log.signer.keys)
        return describe(verify_checkpoint(note, replace(trust, policy=policy)))


def published_paths(state: Path, log: str) -> tuple[Path, Path]:
    """Return the files of a log: what has its quorum, and what falls short of it."""
    return state / f"{log}.checkpoint", state / f"{log}.open"


def forget_published(state: Path, log: str) -> None:
    """Remove what was published of a log that has no witnesses any more.

    Larger heads are served without them: once it has witnesses again, what they
    cosigned before would look like a log that went back. Raises `OSError`.
    """
    for path in published_paths(state, log):
        path.unlink(missing_ok=True)


async def _write(path: Path, note: bytes) -> None:
    """Put a checkpoint in its place durably, and not leave it half way.

    Who is cancelled gives the lease back next: whatever is still being written then
    could take the place of what the next one has published.
    """
    work = asyncio.to_thread(folder.replace, path, note, durable=True)
    writing = asyncio.ensure_future(work)
    try:
        await asyncio.shield(writing)
    finally:
        if not writing.done():
            await asyncio.wait([writing])


def describe(signed: SignedCheckpoint) -> Published:
    """Return a verified checkpoint in the form in which it is served."""
    point = signed.checkpoint
    lines = parse_note_unverified(signed.note).signatures
    by_key = {(line.name, line.key_id): line for line in lines}
    return Published(
        ReleasedHead(point.size, point.root),
        signed.note.decode(),
        tuple(
            Cosigned(key, by_key[key.name, key.key_id], timestamp)
            for _, key, timestamp in signed.cosignatures
        ),
    )


def _is_newer(found: Published, known: Published | None) -> bool:
    if known is None or found.head.size != known.head.size:
        return known is None or found.head.size > known.head.size
    return found.note != known.note


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_NOTE_SIZE + 1)
