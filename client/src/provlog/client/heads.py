"""One log, one history: every checkpoint is held against the newest one known.

Asking for a consistency proof for each receipt would double the traffic of a busy
submitter. Mostly there is no need: the inclusion proof of leaf i holds the root of the
tree of i leaves, and a submitter's next leaf mostly follows the head it saw last.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from provlog.client.answers import ClaimedInclusion, prefix_roots
from provlog.client.errors import ClientError, UsageError
from provlog.client.memory import Evidence, LeafPath, Memory
from provlog.merkle.consistency import verify_consistency
from provlog.merkle.errors import (
    InconsistencyError,
    MerkleError,
    ProofError,
    VerificationError,
)
from provlog.merkle.keys import VerifierKey
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

MAX_KNOWN = 4096
SAVE_SECONDS = 1.0
MAX_OWED = 16
"""Signed checkpoints that are held against the history once it has come to them."""

Prove = Callable[[int, int], Awaitable[tuple[bytes, ...]]]
ProveLeaf = Callable[[int, int], Awaitable[ClaimedInclusion]]


class Heads:
    """The newest verified checkpoint of one log, and what is known to lie below it.

    `prove(from, to)` fetches a consistency proof, unverified. `prove_leaf(index, size)`
    fetches an inclusion proof; evidence that has one speaks for itself, where it would
    else take another question to the log. The head is written to `memory` at once when
    it is the first one of this object, then at most once a second, and by `save`: an
    old memory only weakens detection, it never refuses wrongly.
    """

    def __init__(
        self,
        trust: Trust,
        memory: Memory,
        prove: Prove,
        prove_leaf: ProveLeaf | None = None,
    ) -> None:
        self._trust = trust
        self._memory = memory
        self._prove = prove
        self._prove_leaf = prove_leaf
        self._lock = asyncio.Lock()
        self._head: SignedCheckpoint | None = None
        # Roots by size, all of them of trees that the head's tree begins with.
        self._known: dict[int, bytes] = {}
        # What each key's place in the memory held when last seen.
        self._kept: dict[str, bytes | None] = {}
        # The keys under which the memory was read.
        self._recalled: tuple[VerifierKey, ...] = ()
        self._saved_at = float("-inf")
        # Checkpoints that led to new keys, and are to be of this history.
        self._due: list[SignedCheckpoint] = []
        # Those that the log signed, and did not prove: a lie may be found out later.
        self._owed: list[SignedCheckpoint] = []

    @property
    def newest(self) -> SignedCheckpoint | None:
        """The newest checkpoint that was accepted, None before the first."""
        return self._head

    async def recall(self) -> None:
        """Read the memory, unless that was done.

        To be called before anything is sent: a memory that cannot be used is then found
        out while nothing has happened. Raises `UsageError`.
        """
        async with self._lock:
            await self._recall()

    async def follow(
        self, trust: Trust, checkpoints: Sequence[SignedCheckpoint] = ()
    ) -> None:
        """Believe the keys of `trust` from now on, beside or in place of those before.

        What is remembered under any of them binds all of them: it is read before
        anything else is accepted. So do the `checkpoints` that led to the new keys,
        once the head is as large.
        """
        # Without the lock: what is asked of the log while it is held may lead to here.
        self._trust = trust
        self._due += checkpoints

    async def accept(
        self, signed: SignedCheckpoint, prefixes: Mapping[int, bytes] | None = None
    ) -> None:
        """Return if `signed` is consistent with everything accepted before, or raise.

        `prefixes` are roots of smaller trees, by size, that a verified proof showed to
        be the beginning of the tree of `signed`. A larger checkpoint becomes the head;
        a smaller one that is consistent is merely old. Raises `InconsistencyError`,
        with both notes kept as evidence, and `ProofError` if the log would not prove
        anything.
        """
        async with self._lock:
            await self._recall()
            grown = await self._compare(signed, prefixes or {})
            await self._settle()
            if grown:
                await self._save_now_and_then()

    async def require_consistent(
        self, older: SignedCheckpoint, newer: SignedCheckpoint
    ) -> tuple[bytes, ...]:
        """Return the proof that the newer tree begins with the older one, or raise."""
        old, new = older.checkpoint, newer.checkpoint
        if old.size == new.size:
            if old.root != new.root:
                raise await self._convict(older, newer, None)
            return ()
        if old.size == 0:
            return ()
        proof = await self._prove(old.size, new.size)
        try:
            verify_consistency(old.size, old.root, new.size, new.root, proof)
        except ProofError:
            raise await self._convict(older, newer, proof) from None
        return proof

    async def save(self) -> None:
        """Write the head to the memory.

        Where another program has remembered a checkpoint in the meantime, that one is
        accepted first, as if it had come from the log.
        """
        async with self._lock:
            await self._save()

    async def _recall(self) -> None:
        while self._recalled != self._trust.log_keys:
            keys = self._trust.log_keys
            for key in keys:
                vkey = key.vkey()
                note = await self._load(vkey)
                if note is not None:
                    await self._compare(self._open(note), {})
                self._kept[vkey] = note
            self._recalled = keys

    async def _load(self, vkey: str) -> bytes | None:
        return await asyncio.to_thread(self._memory.load, self._trust.origin, vkey)

    def _open(self, note: bytes) -> SignedCheckpoint:
        # Without the policy, which may have become stricter since; and whichever key
        # signed: to the log's signature the log is held.
        try:
            return verify_checkpoint(note, self._trust.any_key())
        except MerkleError as error:
            raise UsageError(
                f"the remembered checkpoint of {self._trust.origin} is damaged "
                f"({error}); restore its file, or remove it and lose what it protects"
            ) from None

    async def _compare(
        self, signed: SignedCheckpoint, prefixes: Mapping[int, bytes]
    ) -> bool:
        """Hold `signed` against the head; tell whether it became the head."""
        head, new = self._head, signed.checkpoint
        if head is None or new.size > head.checkpoint.size:
            if head is not None:
                await self._require_growth(head, signed, prefixes)
            self._head = signed
            self._learn({**prefixes, new.size: new.root})
            return True
        if self._known.get(new.size) != new.root:
            await self._require_prefix(signed, head, self._known)
        self._learn({**prefixes, new.size: new.root})
        return False

    async def _require_growth(
        self,
        head: SignedCheckpoint,
        signed: SignedCheckpoint,
        prefixes: Mapping[int, bytes],
    ) -> None:
        try:
            await self._require_prefix(head, signed, prefixes)
        except VerificationError:
            # A wrong proof, or none, is of whoever answered; the signature is not.
            owed = {(e.checkpoint.size, e.checkpoint.root) for e in self._owed}
            new = signed.checkpoint.size, signed.checkpoint.root
            if new not in owed and len(owed) < MAX_OWED:
                self._owed.append(signed)
            raise

    async def _settle(self) -> None:
        """Hold what led to new keys, and what is owed, against the head."""
        for waiting in (self._due, self._owed):
            for signed in list(waiting):
                point = signed.checkpoint
                if self._head is None or point.size > self._head.checkpoint.size:
                    continue
                if self._known.get(point.size) != point.root:
                    await self._require_prefix(signed, self._head, {})
                waiting.remove(signed)

    async def _require_prefix(
        self,
        older: SignedCheckpoint,
        newer: SignedCheckpoint,
        prefixes: Mapping[int, bytes],
    ) -> None:
        old = older.checkpoint
        if prefixes.get(old.size) != old.root:
            await self.require_consistent(older, newer)

    async def _convict(
        self,
        older: SignedCheckpoint,
        newer: SignedCheckpoint,
        proof: tuple[bytes, ...] | None,
    ) -> InconsistencyError:
        origin = self._trust.origin
        error = InconsistencyError(
            f"{origin}: signed checkpoints of size {older.checkpoint.size} and "
            f"{newer.checkpoint.size} are not of one history",
            older.note,
            newer.note,
        )
        leaf = await self._find_leaf(older, newer)
        evidence = Evidence(origin, older.note, newer.note, proof, leaf)
        try:
            place = await asyncio.to_thread(self._memory.convict, evidence)
            error.add_note(f"Both signed checkpoints are kept: {place}")
        except ClientError as trouble:
            error.add_note(f"The evidence could not be kept: {trouble}")
        return error

    async def _find_leaf(
        self, older: SignedCheckpoint, newer: SignedCheckpoint
    ) -> LeafPath | None:
        """Return a leaf whose path shows with which tree the newer one really begins.

        The log may well refuse: then it is convicted to those who ask it only.
        """
        old, new = older.checkpoint, newer.checkpoint
        if self._prove_leaf is None or not 0 < old.size < new.size:
            return None
        try:
            claimed = await self._prove_leaf(old.size - 1, new.size)
        except (ClientError, MerkleError):
            return None
        found = LeafPath(claimed.index, claimed.leaf_hash, claimed.hashes)
        begins = prefix_roots(found.index, new.size, found.leaf_hash, found.hashes)
        if claimed.root != new.root or begins[old.size] == old.root:
            return None
        return found

    def _learn(self, roots: Mapping[int, bytes]) -> None:
        self._known.update(roots)
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    async def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            await self._save()

    async def _save(self) -> None:
        while self._head is not None:
            head = self._head
            vkey = head.log_key.vkey()
            kept = self._kept.get(vkey)
            if kept == head.note:
                return
            if await asyncio.to_thread(
                self._memory.replace, self._trust.origin, vkey, kept, head.note
            ):
                self._kept[vkey] = head.note
                self._saved_at = time.monotonic()
                return
            found = await self._load(vkey)
            if found is not None:
                await self._compare(self._open(found), {})
            self._kept[vkey] = found
