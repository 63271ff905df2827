"""Which checkpoint is served: the newest one, or the newest that witnesses cosigned."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from provlog.merkle.encoding import encode_base64
from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import verify_inclusion
from provlog.server.batch import Appended, Outcome, Repeated
from provlog.server.guard import ReleasedHead
from provlog.server.http.answers import CHUNK
from provlog.server.http.problems import Problem, unwitnessed
from provlog.server.log import Log
from provlog.server.reader import LogReader
from provlog.server.witnessing.published import Publication, Published


async def served_checkpoint(log: Log) -> tuple[ReleasedHead, str]:
    """Return the head that is served now, and its note.

    Without witnesses that is the newest released one, with them the newest that is
    published. Raises the problem (503) where nothing may be shown yet.
    """
    served = await served_or_none(log)
    if served is None:
        raise lacking(log)
    return served


async def served_or_none(log: Log) -> tuple[ReleasedHead, str] | None:
    """Return what `served_checkpoint` does; None where nothing may be shown yet."""
    if log.published is None:
        head = await log.refresh()
        return head, log.note(head)
    served = await log.published.serve()
    return None if served is None else (served.head, served.note)


async def covering_checkpoint(log: Log, size: int) -> tuple[ReleasedHead, str]:
    """Return the head that is served now, which has at least `size` leaves.

    Of a log with witnesses, what is released and not published yet is a problem (503):
    it will be. What is not released is for the reader to refuse.
    """
    head, note = await served_checkpoint(log)
    if log.published is None or head.size >= size:
        return head, note
    if size <= (await log.refresh()).size:
        raise lacking(log)
    return head, note


def lacking(log: Log) -> Problem:
    """Return the problem of a head that has not got its cosignatures yet."""
    return unwitnessed(f"there is no cosigned checkpoint of it; {_missing(log)}")


class WitnessedRelease:
    """A cosigned head, in the place of the one that a commit released.

    `hashes` are the inclusion proofs of what was asked about, in its tree.
    """

    def __init__(self, published: Published, hashes: dict[int, list[str]]) -> None:
        self.head = published.head
        self.note = published.note
        self._hashes = hashes

    def hashes(self, index: int) -> list[str]:
        """Return an entry's inclusion proof, each hash in standard base64."""
        return self._hashes[index]


def is_there(outcome: Outcome) -> TypeGuard[Appended | Repeated]:
    """Tell whether an outcome is of an entry that can be proved."""
    return isinstance(outcome, (Appended, Repeated))


async def witnessed_release(
    log: Log, reader: LogReader, outcomes: Sequence[Outcome], stopping: asyncio.Event
) -> WitnessedRelease:
    """Return the first cosigned head that covers the entries of a commit.

    Waits for it as long as the settings say, and not into a shutdown. Raises the
    problem (503) where it does not come about; the entries are in the log all the same.
    The proof of each new entry is verified; a false one halts the log (`ProofError`).
    """
    published = log.published
    if published is None:
        raise not_witnessed()
    indexes = [each.index for each in filter(is_there, outcomes)]
    size = max(indexes, default=0) + 1
    found = await _wait(published, size, stopping)
    if found is None:
        raise unwitnessed(
            "the events are in the log, and witnesses have not cosigned it yet: sent"
            f" again they are found, and not logged twice; {_missing(log)}"
        )
    proofs = await reader.inclusions(indexes, found.head.size)
    await _check(log, found.head, outcomes, proofs)
    return WitnessedRelease(
        found,
        {
            index: [encode_base64(each) for each in proof]
            for index, proof in proofs.items()
        },
    )


async def _wait(
    published: Publication, size: int, stopping: asyncio.Event
) -> Published | None:
    seconds = published.settings.wait
    waiting = asyncio.ensure_future(published.wait_witnessed(size, seconds))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((waiting, stop), return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
        stop.cancel()


async def _check(
    log: Log,
    head: ReleasedHead,
    outcomes: Sequence[Outcome],
    proofs: Mapping[int, Sequence[bytes]],
) -> None:
    """Verify the proofs of new entries as their readers will, before they leave."""
    for place, each in enumerate(outcomes):
        if place % CHUNK == CHUNK - 1:
            await asyncio.sleep(0)
        if not isinstance(each, Appended):
            continue  # which is checked as it is read
        leaf, proof = leaf_hash(each.leaf), proofs[each.index]
        try:
            verify_inclusion(each.index, head.size, leaf, proof, head.root)
        except ProofError as error:
            log.halt(f"a new receipt does not verify: {error}")
            raise


def _missing(log: Log) -> str:
    """Say which witnesses have yet to cosign, by the names of the policy."""
    published = log.published
    names = () if published is None else published.missing
    return f"missing: {', '.join(map(ascii, names)) or 'none'}"


def not_witnessed() -> Problem:
    """Return the problem of a log that nobody cosigns."""
    return Problem(
        "not-witnessed",
        "wait=witnessed: this log has no witnesses configured; nothing was taken",
    )
