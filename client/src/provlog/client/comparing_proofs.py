"""How heads are related, asked of those who can prove it, and verified.

Whoever serves a signed head can prove which trees it begins with: a log, a mirror, a
monitor that keeps one. A proof that leads to the served head and from another beginning
than a signed one convicts the log, whoever gave it. No answer, or one that proves
nothing, is no proof of anything.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from provlog.client.answers import prefix_roots
from provlog.client.comparing import Board, Head, Split
from provlog.client.errors import ClientError
from provlog.client.memory import LeafPath
from provlog.merkle.consistency import roots_from_consistency, verify_consistency
from provlog.merkle.errors import MerkleError, ProofError
from provlog.merkle.inclusion import root_from_inclusion

MAX_ASKED: Final = 20_000
"""Proofs that one comparison asks for, all in all."""

AT_ONCE: Final = 8

MAX_SECONDS: Final = 900.0
"""How long one comparison asks for proofs; then what is left is not compared."""

MAX_FAILURES: Final = 3
"""So many answers in a row without a proof, beyond those asked at once, and a place is
asked no more."""

MAX_PAIRS: Final = 50
"""For how many pairs of heads it is found out whether a witness cosigned a split."""


class Prover(Protocol):
    """Somebody who serves a head and can prove what it begins with.

    `is_log` tells that it is the log itself, which owes the proofs; all others may not
    be able to.
    """

    @property
    def place(self) -> str:
        """What it is called."""

    @property
    def is_log(self) -> bool:
        """Whether it is the log itself."""

    async def consistency(
        self, older: int, newer: int, *, direct: bool = False
    ) -> tuple[bytes, ...]:
        """Return a consistency proof, unverified; with `direct` not one of tiles."""

    async def path(self, index: int, size: int) -> LeafPath:
        """Return an inclusion proof, unverified."""


@dataclass(frozen=True)
class Unproved:
    """Two heads of which nobody said how they are related, and why.

    With `owed` the log itself answered, and did not prove what it owes.
    """

    older: Head
    newer: Head
    reason: str
    owed: bool


class Connector:
    """Asks provers about the tops of a board until all are linked, or nobody is left.

    `on_asked` is called after each question. `unproved` holds for each head what came
    of it last, where that was nothing.
    """

    def __init__(
        self, board: Board, on_asked: Callable[[int], None] = lambda _: None
    ) -> None:
        self._board = board
        self._on_asked = on_asked
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._asked = 0
        self._until = time.monotonic() + MAX_SECONDS
        self._failures: Counter[str] = Counter()
        self._unproved: dict[Head, Unproved] = {}

    @property
    def unproved(self) -> list[Unproved]:
        """What nobody proved, of heads that are still inside no other."""
        contradicted = self._board.contradicted
        return [
            each
            for each in self._unproved.values()
            if each.older.above is None and each.older not in contradicted
        ]

    async def connect(self, provers: Sequence[tuple[Prover, Head]]) -> None:
        """Ask each prover about the heads below its own; the log about one above, too.

        The largest head goes first: whatever it begins with needs no further proof.
        """
        ordered = sorted(provers, key=lambda each: (-each[1].size, not each[0].is_log))
        for prover, served in ordered:
            below = [each for each in self._board.tops() if each.size < served.size]
            asked = (self._ask(prover, each, served) for each in below)
            await asyncio.gather(*asked)
        for prover, served in ordered:
            if prover.is_log:
                await self._ask_above(prover, served)

    async def _ask_above(self, prover: Prover, served: Head) -> None:
        """Ask the log about what it signed and does not serve, or did not when asked.

        It may have grown meanwhile, or serve an older head of the same log; or it may
        have been rolled back.
        """
        newest, *others = self._board.tops()
        if newest.size <= served.size:
            return
        if served in others:
            await self._ask(prover, served, newest)
            if served.above is None:
                return
        rest = [each for each in self._board.tops()[1:] if each.size < newest.size]
        await asyncio.gather(*(self._ask(prover, each, newest) for each in rest))

    async def _ask(self, prover: Prover, older: Head, newer: Head) -> None:
        async with self._gate:
            reason = self._excuse(prover)
            if reason is not None:
                self._leave(older, newer, reason, owed=False)
                return
            self._asked += 1
            self._failures[prover.place] += 1
            try:
                await self._resolve(prover, older, newer)
                self._failures[prover.place] = 0
            except ClientError as error:
                # A token that does not reach it, a redirect: nothing about the log.
                self._leave(older, newer, f"{prover.place}: {error}", owed=False)
            except MerkleError as error:
                reason = f"{prover.place} does not prove it: {error}"
                self._leave(older, newer, reason, owed=prover.is_log)
            self._on_asked(1)

    def _excuse(self, prover: Prover) -> str | None:
        """Return why a prover is not asked any more, None if it is.

        A witness has no proofs, and a liar may take all the time there is: neither is
        asked ten thousand times.
        """
        if self._asked >= MAX_ASKED:
            return f"more than {MAX_ASKED} proofs would have to be asked for"
        if time.monotonic() > self._until:
            return f"not asked: {MAX_SECONDS:.0f} seconds were over"
        if self._failures[prover.place] >= MAX_FAILURES + AT_ONCE:
            return f"{prover.place} proved nothing when it was asked"
        return None

    async def _resolve(self, prover: Prover, older: Head, newer: Head) -> None:
        split = await _compare(prover, older, newer)
        if split is None:
            self._board.link(older, newer)
        else:
            self._board.add_split(split)

    def _leave(self, older: Head, newer: Head, reason: str, *, owed: bool) -> None:
        known = self._unproved.get(older)
        if known is None or not known.owed:
            self._unproved[older] = Unproved(older, newer, reason, owed)

    async def convict_witnesses(self, provers: Sequence[Prover]) -> None:
        """Look for witnesses that cosigned both sides of a split, and prove it.

        A split may be between heads that nobody cosigned, and there may be cosigned
        ones behind either.
        """
        known = {key for each in self._board.splits for key in each.witnesses()}
        for older, newer in islice(list(_cosigned_by_one(self._board)), MAX_PAIRS):
            if older.cosignatures.keys() & newer.cosignatures.keys() <= known:
                continue
            for prover in provers:
                if self._excuse(prover) is not None:
                    continue
                try:
                    split = await _compare(prover, older, newer)
                except (ClientError, MerkleError):
                    continue
                if split is not None:
                    self._board.splits.append(split)
                    known |= split.witnesses()
                break


def _cosigned_by_one(board: Board) -> Iterator[tuple[Head, Head]]:
    """Yield, of each two sides of a split, the largest that one witness cosigned."""
    for split in list(board.splits):
        sides = [
            [head for head in board.heads.values() if head.top() is side.top()]
            for side in (split.older, split.newer)
        ]
        keys = [{key for head in side for key in head.cosignatures} for side in sides]
        for key in keys[0] & keys[1]:
            first, second = (
                max((e for e in side if key in e.cosignatures), key=lambda e: e.size)
                for side in sides
            )
            if first.size <= second.size:
                yield first, second
            else:
                yield second, first


async def _compare(prover: Prover, older: Head, newer: Head) -> Split | None:
    """Return the split of two heads if a prover shows it, None if they are consistent.

    Raises `MerkleError` or `ClientError` if it shows nothing.
    """
    if older.size == newer.size:
        return None if older is newer else Split(older, newer)
    proof: tuple[bytes, ...] = ()
    for direct in (False, True):
        # Tiles that are wrong are no answer to what was asked.
        proof = await prover.consistency(older.size, newer.size, direct=direct)
        if _is_proved(older, newer, proof):
            return None
    split = await _find_split(prover, older, newer, proof)
    if split is None:
        raise ProofError("what it answers leads to neither")
    return split


def _is_proved(older: Head, newer: Head, proof: tuple[bytes, ...]) -> bool:
    try:
        verify_consistency(older.size, older.root, newer.size, newer.root, proof)
    except ProofError:
        return False
    return True


async def _find_split(
    prover: Prover, older: Head, newer: Head, proof: tuple[bytes, ...]
) -> Split | None:
    """Return the split if what the prover answers shows one to anybody else."""
    leaf = await _find_leaf(prover, older, newer)
    if leaf is not None:
        return Split(older, newer, proof, leaf)
    try:
        begins, root = roots_from_consistency(older.size, older.root, newer.size, proof)
    except ProofError:
        return None
    if root == newer.root and begins != older.root:
        return Split(older, newer, proof)
    return None


async def _find_leaf(prover: Prover, older: Head, newer: Head) -> LeafPath | None:
    """Return the last leaf of the older size if it shows another beginning."""
    index = older.size - 1
    try:
        found = await prover.path(index, newer.size)
        root = root_from_inclusion(index, newer.size, found.leaf_hash, found.hashes)
    except (ClientError, MerkleError):
        return None
    begins = prefix_roots(index, newer.size, found.leaf_hash, found.hashes)
    if root != newer.root or begins[older.size] == older.root:
        return None
    return found
