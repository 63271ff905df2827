"""Receipts on their way out: each is proved, and checked before it is sent."""

import asyncio
import binascii
import time
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import verify_inclusion
from provlog.merkle.proof_file import format_proof_lines
from provlog.merkle.receipts import Openings, receipt_json
from provlog.server.batch import (
    Appended,
    Conflicting,
    Erased,
    Outcome,
    Repeated,
)
from provlog.server.guard import ReleasedHead
from provlog.server.http.problems import Problem
from provlog.server.intake.draft import EventDraft
from provlog.server.log import Log
from provlog.server.metrics import Metrics
from provlog.server.reader import LogReader, StoredEntry

CHUNK = 64
"""How many answers are made before other requests have their turn."""


class AnyRelease(Protocol):
    """A head that answers lead to, with its note and the proofs of new entries."""

    @property
    def head(self) -> ReleasedHead:
        """The head."""

    @property
    def note(self) -> str:
        """Its signed checkpoint."""

    def hashes(self, index: int) -> list[str]:
        """Return a new entry's inclusion proof, each hash in standard base64."""


class Proved(msgspec.Struct, frozen=True):
    """An entry with its inclusion proof at the reply's checkpoint.

    `status` is 201 for a new entry and 200 for one that was there; `hashes` are in
    standard base64; `openings` are None unless the caller may see them.
    """

    status: int
    index: int
    leaf: bytes
    disclosures: Sequence[str]
    openings: Openings | None
    hashes: Sequence[str]

    def receipt(self, origin: str, note: str) -> dict[str, JsonValue]:
        """Return the receipt that stands by itself."""
        proof = format_proof_lines(self.index, self.hashes, note)
        return receipt_json(
            origin, self.index, self.leaf, self.disclosures, proof, self.openings
        )

    def result(self) -> dict[str, JsonValue]:
        """Return the result in a batch, which has one checkpoint for all."""
        result: dict[str, JsonValue] = {
            "status": self.status,
            "index": self.index,
            "leaf": encode_base64(self.leaf),
            "disclosures": list(self.disclosures),
            "hashes": list(self.hashes),
        }
        if self.openings is not None:
            result["openings"] = self.openings.to_json()
        return result


class Noted(msgspec.Struct, frozen=True):
    """An entry, for a sender that wants no receipt."""

    status: int
    index: int

    def receipt(self, origin: str, note: str) -> dict[str, JsonValue]:  # noqa: ARG002
        """Return what stands for the receipt: where the entry is."""
        return self.result()

    def result(self) -> dict[str, JsonValue]:
        """Return the result in a batch."""
        return {"status": self.status, "index": self.index}


Answer: TypeAlias = Proved | Noted


class Prover:
    """Makes the answers to the outcomes of one commit. `opened`: with openings."""

    def __init__(
        self,
        log: Log,
        reader: LogReader,
        metrics: Metrics,
        release: AnyRelease,
        *,
        opened: bool,
    ) -> None:
        self._log = log
        self._reader = reader
        self._metrics = metrics
        self._release = release
        self._opened = opened
        self._stored: dict[int, StoredEntry] = {}
        self._hashes: dict[int, list[str]] = {}

    async def prove(self, outcomes: Sequence[Outcome]) -> list[Answer | Problem]:
        """Return an answer for each outcome, in order."""
        repeated = [each.index for each in outcomes if isinstance(each, Repeated)]
        if repeated:
            await self._load(repeated)
        answers: list[Answer | Problem] = []
        for start in range(0, len(outcomes), CHUNK):
            if start:
                await asyncio.sleep(0)
            begun = time.perf_counter()
            chunk = [self._answer(each) for each in outcomes[start : start + CHUNK]]
            self._check_ends(chunk)
            answers += chunk
            self._metrics.spent("answer", time.perf_counter() - begun)
        return answers

    async def _load(self, indexes: Sequence[int]) -> None:
        self._stored = await self._reader.entries(indexes)
        proofs = await self._reader.inclusions(indexes, self._release.head.size)
        self._hashes = {
            index: [encode_base64(each) for each in proof]
            for index, proof in proofs.items()
        }

    def _answer(self, outcome: Outcome) -> Proved | Problem:
        if isinstance(outcome, Appended):
            return self._appended(outcome)
        if isinstance(outcome, Repeated):
            return self._repeated(outcome.index)
        return refusal(outcome)

    def _appended(self, outcome: Appended) -> Proved:
        draft = outcome.draft
        openings = draft.openings if isinstance(draft, EventDraft) else None
        return Proved(
            201,
            outcome.index,
            outcome.leaf,
            draft.disclosures,
            openings if self._opened else None,
            self._release.hashes(outcome.index),
        )

    def _check_ends(self, chunk: Sequence[Answer | Problem]) -> None:
        """Verify the first and the last new receipt of a chunk.

        The proofs of one commit are made from one set of nodes: where the tree in
        memory is not the one that was signed, the ends show it. A lone event's receipt
        is always checked. Stored entries are checked one by one as they are read.
        """
        new = [
            each for each in chunk if isinstance(each, Proved) and each.status == 201
        ]
        for proved in new[:1] if len(new) < 2 else (new[0], new[-1]):
            try:
                check(proved, self._release.head)
            except ProofError as error:
                # Nothing may follow what was signed wrongly.
                self._log.halt(f"a new receipt does not verify: {error}")
                raise

    def _repeated(self, index: int) -> Proved | Problem:
        entry = self._stored[index]
        if entry.disclosures is None:
            # Erased since the commit path looked.
            return refusal(Erased(index))
        openings = entry.openings if self._opened else None
        proved = Proved(
            200, index, entry.leaf, entry.disclosures, openings, self._hashes[index]
        )
        check(proved, self._release.head)
        return proved


def check(proved: Proved, head: ReleasedHead) -> None:
    """Verify a proof as its reader will, before it leaves; `ProofError` if it fails."""
    hashes = [binascii.a2b_base64(each) for each in proved.hashes]
    verify_inclusion(proved.index, head.size, leaf_hash(proved.leaf), hashes, head.root)


def acknowledge(outcome: Outcome) -> Noted | Problem:
    """Return the answer for a sender that wants no receipts."""
    if isinstance(outcome, Appended):
        return Noted(201, outcome.index)
    if isinstance(outcome, Repeated):
        return Noted(200, outcome.index)
    return refusal(outcome)


def refusal(outcome: Outcome) -> Problem:
    """Return what an event is refused with that came too late."""
    if isinstance(outcome, Conflicting):
        return Problem(
            "conflict",
            "another event stands under this source and id",
            index=outcome.index,
        )
    if isinstance(outcome, Erased):
        return Problem(
            "erased",
            "the event of this source and id was erased; its entry stays",
            index=outcome.index,
        )
    raise TypeError(f"no refusal for {type(outcome).__name__}")
