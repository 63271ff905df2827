"""A witness at work: requests come in as bytes, cosignatures or refusals go out.

`Witness._grant` is the one place where a head moves: what is checked there, under the
file's lock, is what is signed, and nothing leaves before it is durable.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.errors import MalformedError, SignatureError
from provlog.merkle.keys import KeyType, VerifierKey
from provlog.merkle.notes import (
    OpenNote,
    SignatureLine,
    open_note,
    parse_signatures_unverified,
    parse_text_unverified,
)
from provlog.merkle.witness_messages import (
    AddCheckpoint,
    parse_add_checkpoint,
)
from provlog.server.errors import OverloadedError
from provlog.server.storage.base import StorageError
from provlog.server.witness.figures import WitnessFigures
from provlog.server.witness.judging import (
    BACKWARDS,
    CONTRADICTS,
    UNPROVEN,
    Refusal,
    contradicts,
    judge,
)
from provlog.server.witness.keys import Generation, KeyFolder
from provlog.server.witness.records import Evidence, Head
from provlog.server.witness.roll import KnownLog, Roll
from provlog.server.witness.soundness import Soundness
from provlog.server.witness.store import WitnessStore
from provlog.server.witness.subtrees import Answer, format_lines, sign_subtree
from provlog.server.witness.writing import Writing

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 256
"""How many requests may wait for the disk at a time."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request whose checkpoint a key of a known log signed."""

    message: AddCheckpoint
    checkpoint: Checkpoint
    opened: OpenNote
    log: KnownLog

    @property
    def note(self) -> bytes:
        """The text with the signatures that were verified, and no others."""
        lines = (
            SignatureLine(each.key.name, each.key.key_id, each.value)
            for each in self.opened.signatures
        )
        return f"{self.opened.text}\n{format_lines(lines)}".encode()


class Witness:
    """Cosigns checkpoints of the logs on its roll.

    Several processes may work on one store; each has one thread that writes.
    """

    def __init__(
        self,
        store: WitnessStore,
        roll: Roll,
        keys: KeyFolder,
        soundness: Soundness,
        figures: WitnessFigures,
    ) -> None:
        """Read the keys; `ConfigurationError` where there are none."""
        self.store = store
        self.roll = roll
        self.soundness = soundness
        self.figures = figures
        self._keys = keys
        self._stamp = keys.stamp()
        self.generations: tuple[Generation, ...] = keys.load()
        self.soundness.look(self._verifiers())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="witness")
        self._waiting = 0

    @property
    def name(self) -> str:
        """The witness's name."""
        return self.generations[0].name

    @property
    def cosigners(self) -> list[Cosigner]:
        """All keys that sign, the newest first."""
        return [each for one in self.generations for each in one.cosigners]

    def _verifiers(self) -> list[VerifierKey]:
        return [each.verifier() for each in self.cosigners]

    def vkeys(self) -> list[str]:
        """Return the public halves of all keys that sign."""
        return [vkey for each in self.generations for vkey in each.vkeys()]

    async def add_checkpoint(self, body: bytes) -> Answer:
        """Return cosignatures of the checkpoint in an `add-checkpoint` body.

        They are durable, as is that no other history of this log gets any. Raises
        `UnavailableError` and `StorageError`, and then nobody has got one.
        """
        request = self.read(body)
        if isinstance(request, Refusal):
            return request
        head = self.store.head(request.log.origin)
        self.soundness.require_memory(
            request.opened.text,
            request.checkpoint,
            request.opened.others,
            head,
            self._verifiers(),
        )
        refusal = judge(request.message, request.checkpoint, head)
        answer: Answer = refusal or ""
        if refusal is None:
            answer = await self._in_thread(partial(self._settle, request))
        if isinstance(answer, Refusal):
            await self._note(request, answer)
        return answer

    async def sign_subtree(self, body: bytes) -> Answer:
        """Return cosignatures, without a time, of the subtree in a `sign-subtree` body.

        They claim no more than that it is part of a tree that was cosigned.
        """
        return sign_subtree(body, self.roll, self.cosigners)

    async def refresh(self) -> None:
        """Take up lists and keys that were changed.

        Raises `ConfigurationError` where keys cannot be read: the others go on signing.
        """
        if await asyncio.to_thread(self.roll.look):
            self.roll.take_up()
        stamp = await asyncio.to_thread(self._keys.stamp)
        if stamp != self._stamp:
            self.generations = await asyncio.to_thread(self._keys.load)
            self._stamp = stamp
            logger.info("%d keys sign now", len(self.cosigners))
        self.soundness.look(self._verifiers())

    def trouble(self) -> str | None:
        """Return why nothing can be cosigned now, None if all is well."""
        return self.soundness.trouble()

    async def close(self) -> None:
        """Finish what is being written, and close the database."""
        await asyncio.to_thread(self._thread.shutdown, wait=True)
        self.store.close()

    def read(self, body: bytes) -> SignedRequest | Refusal:
        """Return a request that is validly signed, or why there is none.

        All of it is bounded by the length of the body, and by the number of keys of one
        log.
        """
        try:
            return self._read(body)
        except MalformedError as error:
            return Refusal(400, str(error))

    def _read(self, body: bytes) -> SignedRequest | Refusal:
        message = parse_add_checkpoint(body)
        checkpoint = parse_checkpoint_text(parse_text_unverified(message.checkpoint))
        if message.old_size > checkpoint.size:
            return Refusal(400, BACKWARDS)
        log = self.roll.find(checkpoint.origin)
        if log is None:
            return Refusal(404, "this witness does not know the log")
        try:
            opened = open_note(message.checkpoint, log.keys)
        except (MalformedError, SignatureError):
            # Lines that are none are no signature by a trusted key, either.
            return Refusal(
                403, "no valid signature by a key of the log, or a false one"
            )
        types = {each.key.key_type for each in opened.signatures}
        if checkpoint.extensions and KeyType.ED25519 not in types:
            # ML-DSA-44 does not cover them: anybody can have added any.
            return Refusal(403, "extension lines that the log did not sign")
        return SignedRequest(message, checkpoint, opened, log)

    def _settle(self, request: SignedRequest) -> Answer:
        return self.store.settle(partial(self._grant, request))

    def _grant(self, request: SignedRequest, writing: Writing) -> Answer:
        """Check and sign under the lock; the caller commits, and only then answers.

        If we crash before the commit, the signatures were seen by nobody; after it, the
        log asks again, is told the size that is remembered, and gets others for it.
        """
        log, checkpoint = request.log, request.checkpoint
        head = writing.head(log.origin)
        refusal = judge(request.message, checkpoint, head)
        if refusal is not None:
            return refusal
        now = self.soundness.time(head)
        if head is not None and self._has_just_signed(head, request, now):
            return head.lines
        if head is None or checkpoint.size > head.size:
            # Anybody can repeat what a log signed before; only the log can grow.
            seconds = writing.spend(log.origin, log.rate, now)
            if seconds > 0:
                return Refusal(429, "the log asks too often", seconds=seconds)
        text = request.opened.text
        lines = format_lines(each.cosign(text, now) for each in self.cosigners)
        size, root = checkpoint.size, checkpoint.root
        writing.put(Head(log.origin, size, root, request.note, lines, now))
        # Somebody may have sent it before, without its proof.
        writing.drop_unproven(log.origin, size, root)
        return lines

    def _has_just_signed(self, head: Head, request: SignedRequest, now: int) -> bool:
        """Tell whether the same was signed in this second, by all keys there are.

        Those signatures are as good as new ones, and cost no write: whoever repeats a
        log's checkpoints makes the disk work once a second at most.
        """
        if head.time < now or head.text != request.opened.text:
            return False
        signed = {line.key_id for line in parse_signatures_unverified(head.lines)}
        return signed == {each.verifier().key_id for each in self.cosigners}

    async def _note(self, request: SignedRequest, refusal: Refusal) -> None:
        """Keep as evidence what a log signed and should not have, if it is that."""
        log, checkpoint = request.log, request.checkpoint
        head = self.store.head(log.origin)
        convicts = contradicts(checkpoint, head)
        if not convicts and not refusal.unproven:
            return
        known = b"" if head is None else head.note
        now, size = self.soundness.clock.now() // 1000, checkpoint.size
        found = Evidence(0, log.origin, convicts, size, known, request.note, now)
        keep = partial(self.store.keep, found, checkpoint.root)
        try:
            new = await self._in_thread(keep)
        except (StorageError, OverloadedError) as error:
            # It is refused all the same.
            logger.warning("evidence could not be kept: %s", error)
            return
        if new:
            self.figures.inconsistent(log.origin, convicts=convicts)
            logger.log(
                logging.ERROR if convicts else logging.WARNING,
                "log %s signed a checkpoint of %d leaves, and %s; see witness evidence",
                log.origin,
                size,
                CONTRADICTS if convicts else UNPROVEN,
            )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Return what work comes to that may wait for the disk."""
        if self._waiting >= MOST_WAITING:
            raise OverloadedError("too many requests wait for the disk")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            # Shielded: what was begun is finished though nobody waits for it any more.
            return await asyncio.shield(loop.run_in_executor(self._thread, work))
        finally:
            self._waiting -= 1
