"""Asking a log: what is returned has been verified."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from provlog.client.answers import (
    ClaimedInclusion,
    ConsistencyProof,
    InclusionProof,
    Receipt,
    read_inclusion,
    read_receipt,
)
from provlog.client.errors import UnavailableError, UsageError
from provlog.client.fetching import LogReader
from provlog.client.heads import Heads
from provlog.client.matching import require_identity
from provlog.client.memory import FileMemory, Memory
from provlog.client.transport import Request, Transport
from provlog.merkle.consistency import verify_consistency
from provlog.merkle.errors import ContentError
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.merkle.receipts import MAX_RECEIPT
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

MAX_PROOF_ANSWER = (64 << 10) + MAX_NOTE_SIZE
MAX_WAIT = 60.0


def asks_witnesses(trust: Trust) -> bool:
    """Tell whether nothing is believed that a quorum of witnesses did not cosign."""
    return trust.policy is not None and trust.policy.quorum is not None


class Reader:
    """What `AsyncClient` reads with, which see; it submits nothing."""

    def __init__(
        self,
        url: str,
        trust: Trust,
        *,
        log: str = "main",
        token: str | None = None,
        memory: Memory | None = None,
        timeout: float = 30.0,
        patience: float = 30.0,
        insecure: bool = False,
        wait_witnessed: bool = False,
    ) -> None:
        if wait_witnessed and not asks_witnesses(trust):
            raise UsageError(
                "to wait for witnesses takes a policy with a quorum: it says whose"
                " cosignatures count (--policy, or Trust.from_policy)"
            )
        self._timeout = timeout
        self._transport = Transport(url, log, token, patience, insecure=insecure)
        self._public = LogReader(self._transport, trust, timeout)
        kept = memory or FileMemory()
        self._keys = self._public.keys
        self._keys.remember_in(kept)
        self._heads = Heads(
            trust, kept, self._public.consistency, self._public.inclusion
        )
        self._keys.listen(self._heads.follow)

    @property
    def _trust(self) -> Trust:
        return self._keys.trust

    async def _recall(self) -> None:
        # Keys first: what is remembered of heads may be signed by the newer ones.
        await self._keys.recall()
        await self._heads.recall()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Write down the newest checkpoint and close all connections."""
        try:
            await self._heads.save()
        except UnavailableError:
            # Another program remembered a checkpoint meanwhile, and nobody is there to
            # say how it relates: the memory stays as it is, which is merely older.
            pass
        finally:
            await self._transport.close()

    async def checkpoint(
        self, *, newer_than: int | None = None, wait: float = 30.0
    ) -> SignedCheckpoint:
        """Return the checkpoint that the log serves now.

        With `newer_than` the log answers when its size is above that, or after `wait`
        seconds (60 at most) with what it has. What it serves may be older than what
        this client has seen; it is consistent with it.
        """
        await self._recall()
        query: dict[str, str] = {}
        seconds = 0.0
        if newer_than is not None:
            _require_whole(newer_than, "newer_than")
            seconds = max(0.0, min(wait, MAX_WAIT))
            query = {"newer_than": str(newer_than), "timeout": f"{seconds:.0f}"}
        answer = await self._transport.send(
            Request(
                "GET",
                "checkpoint",
                MAX_NOTE_SIZE,
                self._timeout + seconds,
                query=query,
                accept="text/plain",
            )
        )
        signed = await self._keys.believe(partial(verify_checkpoint, answer.body))
        await self._heads.accept(signed)
        return signed

    async def entry(
        self,
        index: int | None = None,
        *,
        source: str | None = None,
        event_id: str | None = None,
    ) -> Receipt:
        """Return the receipt of the entry at `index`, or of the event of a source.

        How much of the entry it opens depends on the token. Where one looked up by
        source and id withholds the id (a log opens to a submitter only what that token
        submitted), nothing proves that it is this event's: `Receipt.id_claimed` says
        so.
        """
        await self._recall()
        if index is not None and source is None and event_id is None:
            _require_whole(index, "index")
            receipt = await self._get_receipt(f"entries/{index}", {})
            if receipt.index != index:
                raise ContentError("answer: another entry than the one asked for")
        elif index is None and source is not None and event_id is not None:
            receipt = await self._get_receipt(
                "entries", {"source": source, "id": event_id}
            )
            proved = require_identity(receipt.verified, source, event_id)
            receipt = replace(receipt, id_claimed=not proved)
        else:
            raise UsageError("an entry is asked for by index, or by source and id")
        await self._accept(receipt)
        return receipt

    async def inclusion(self, index: int, *, size: int | None = None) -> InclusionProof:
        """Return the proof that a leaf stands at `index`, in the tree of `size` leaves.

        Without `size` it is the log's newest. A tree that no checkpoint is of is proved
        to be the beginning of one that a checkpoint is of.
        """
        await self._recall()
        _require_whole(index, "index")
        query = {"index": str(index)}
        if size is not None:
            _require_whole(size, "size")
            query["size"] = str(size)
        data = await self._get("proofs/inclusion", query)
        claimed = await self._keys.believe(partial(read_inclusion, data))
        if claimed.index != index or size not in (None, claimed.size):
            raise ContentError("answer: another proof than the one asked for")
        if claimed.checkpoint is None:
            return await self._vouch(claimed)
        await self._heads.accept(claimed.checkpoint)
        return _proved(claimed, claimed.checkpoint, ())

    async def consistency(
        self, older: SignedCheckpoint, newer: SignedCheckpoint | None = None
    ) -> ConsistencyProof:
        """Return the proof that the tree of `newer` begins with that of `older`.

        `newer` is the log's newest checkpoint unless given. Raises `InconsistencyError`
        if the log cannot prove it.
        """
        await self._recall()
        if newer is None:
            newer = await self.checkpoint()
        if newer.checkpoint.size < older.checkpoint.size:
            older, newer = newer, older
        hashes = await self._heads.require_consistent(older, newer)
        return ConsistencyProof(older, newer, hashes)

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        request = Request("GET", path, MAX_PROOF_ANSWER, self._timeout, query=query)
        return (await self._transport.send(request)).body

    async def _get_receipt(self, path: str, query: Mapping[str, str]) -> Receipt:
        request = Request("GET", path, MAX_RECEIPT, self._timeout, query=query)
        answer = await self._transport.send(request)
        return await self._keys.believe(
            partial(read_receipt, answer.body, created=False)
        )

    async def _accept(self, receipt: Receipt) -> None:
        await self._heads.accept(receipt.checkpoint, receipt.prefixes())

    async def _vouch(self, claimed: ClaimedInclusion) -> InclusionProof:
        """Connect a proof in a tree without checkpoint to one that has a checkpoint."""
        signed = self._heads.newest
        if signed is None or signed.checkpoint.size < claimed.size:
            signed = await self.checkpoint()
        newest = signed.checkpoint
        if newest.size < claimed.size:
            raise ContentError("answer: a proof in a tree larger than the log")
        hashes: tuple[bytes, ...] = ()
        if newest.size > claimed.size:
            hashes = await self._public.consistency(claimed.size, newest.size)
        verify_consistency(claimed.size, claimed.root, newest.size, newest.root, hashes)
        return _proved(claimed, signed, hashes)


def _proved(
    claimed: ClaimedInclusion, signed: SignedCheckpoint, hashes: tuple[bytes, ...]
) -> InclusionProof:
    return InclusionProof(
        claimed.index,
        claimed.size,
        claimed.leaf_hash,
        claimed.hashes,
        claimed.root,
        signed,
        hashes,
    )


def _require_whole(value: int, name: str) -> None:
    # True and 1.0 equal 1, and what the log answers is compared with them.
    if type(value) is not int or value < 0:
        raise UsageError(f"{name} is not a whole number")
