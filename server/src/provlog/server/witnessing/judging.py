"""What it means that a witness knows more of a log than its database holds.

A checkpoint that the log's own key signed is proof, whoever shows it: a larger tree, or
another one of the same size, was released, and the log must not sign what contradicts
it. That a witness merely says so is no proof. One that lies must not stop a log; but
where at least two say so, and the rest cannot reach the quorum, no head could be
published any more, and going on would most likely fork the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.errors import MerkleError
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import VerifierKey
from provlog.merkle.notes import add_signatures, sign_note
from provlog.merkle.policy import Policy
from provlog.merkle.trust import ReplacedKey, Trust, verify_checkpoint
from provlog.merkle.witness_messages import AddCheckpoint
from provlog.server.announced import Announced
from provlog.server.errors import ServiceError
from provlog.server.guard import Guard, ReleasedHead
from provlog.server.keyring import LogKeys
from provlog.server.storage.base import StorageError
from provlog.server.witnessing.calls import TIMEOUT, Calls, WitnessError
from provlog.server.witnessing.settings import Endpoint, WitnessSettings
from provlog.server.witnessing.witness import read_known_size

logger = logging.getLogger(__name__)

START_SECONDS: Final = 3.0
"""How long a start waits for witnesses that do not answer, at most."""
FEWEST_CLAIMS: Final = 2
"""How many witnesses have to say so, where none proves it."""
WAY_OUT: Final = (
    "nothing is signed; restore the newest state there is, provlog-server recover says"
    " what else can be done"
)


class Roots(Protocol):
    """The tree that is stored."""

    async def root(self, size: int) -> bytes:
        """Return the root of its first `size` leaves."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a log must not sign; `head` is the larger one that it is proved to have had.

    A head that is proved was released, whatever the guard knows of it.
    """

    reason: str
    head: ReleasedHead | None = None

    async def remember(self, guard: Guard, origin: str) -> None:
        """Record the head in the guard, so that nothing signs without the witness.

        From here on `recover` says what is lost, too. Where that cannot be done, it is
        logged: the witness still knows.
        """
        if self.head is None:
            return
        try:
            known = await guard.read(origin)
            if known is None or known.size < self.head.size:
                await guard.replace(origin, known, self.head)
        except (ServiceError, OSError) as error:
            logger.error("log %s: the guard was not advanced: %s", origin, error)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a log's database holds: `size` leaves, in a tree.

    `trust` is in the log's own keys, announced or held. `stored` says how many leaves
    there are by now: while a witness is asked the log may grow, here or on another
    server, and be cosigned.
    """

    trust: Trust
    size: int
    tree: Roots
    stored: Callable[[], Awaitable[int]]

    @property
    def origin(self) -> str:
        """The log's origin."""
        return self.trust.origin

    async def objection(self, who: str, note: bytes) -> Objection | None:
        """Return what a note proves against the database, None where it proves nothing.

        `who` shows it. What the log's own key did not sign proves nothing; nor does
        what only a key signed that the log has replaced: it may be in anybody's hands,
        who can sign small trees with it as long as there are such.
        """
        try:
            signed = verify_checkpoint(note, self.trust)
        except MerkleError:
            return None
        if all(self.trust.replacement_of(each) for each in signed.signers):
            return None
        point = signed.checkpoint
        size = await self.size_beyond(point.size)
        if point.size > size:
            return Objection(
                f"{who} holds a checkpoint of size {point.size} that the log's own key"
                f" signed, and the database ends at size {size}: it is older than"
                " what others have seen",
                ReleasedHead(point.size, point.root),
            )
        if point.size and await self.tree.root(point.size) != point.root:
            return Objection(
                f"{who} holds a checkpoint of size {point.size} that the log's own key"
                " signed, and the stored tree of that size is another one"
            )
        return None

    async def size_beyond(self, size: int) -> int:
        """Return how many leaves there are, read anew where `size` is more."""
        return self.size if size <= self.size else await self.stored()

    async def proven(self, calls: Calls, endpoint: Endpoint) -> Objection | None:
        """Return what a witness proves with the checkpoint it shows, None if nothing.

        Raises `WitnessError` where it shows none that can be read.
        """
        note = await calls.newest(endpoint, self.origin)
        if note is None:
            return None
        return await self.objection(f"witness {endpoint.label!a}", note)


def overruled(
    claims: Mapping[str, int], endpoints: Sequence[Endpoint], policy: Policy, size: int
) -> Objection | None:
    """Return why claims of larger sizes stop a log, None where they do not.

    `claims` are sizes by the label of the witness.
    """
    larger = {label: each for label, each in claims.items() if each > size}
    if len(larger) < FEWEST_CLAIMS:
        return None
    silenced = {
        name
        for each in endpoints
        if each.label in larger
        for name in each.names.values()
    }
    rest = {each.name for each in policy.witnesses} - silenced
    if policy.satisfied_by(rest):
        return None
    said = ", ".join(f"{label!a}: {each}" for label, each in sorted(larger.items()))
    return Objection(
        f"so many witnesses say that they cosigned a larger size ({said}) than the"
        f" {size} of the database that the others cannot reach the quorum"
    )


def own_trust(origin: str, announced: Announced, keys: LogKeys) -> Trust:
    """Return trust in a log's own keys: those it announced, and those that are held.

    A database that lost the announcement of a key does not know it; the keyring does. A
    key that was replaced counts for trees that do not hold the entry that replaced it.
    """
    known = [VerifierKey.parse(each.vkey) for each in announced.keys]
    held = [key.verifier() for key in keys.signers().values()]
    replaced = tuple(
        ReplacedKey(key, each.until, by)
        for key, each, by in zip(known, announced.keys, known[1:], strict=False)
        if each.until is not None
    )
    return Trust(tuple(dict.fromkeys([*known, *held])), origin, replaced=replaced)


def empty_note(
    origin: str, announced: Announced, keys: LogKeys, size: int
) -> bytes | None:
    """Return the signed checkpoint of no leaves, which contradicts no history.

    It is signed by those who sign a tree of `size` leaves, since these are the keys
    that witnesses know; None where none of them is held.
    """
    held = keys.signers()
    signing = [
        held[vkey]
        for vkey in announced.keys_of(size)
        if vkey in held and held[vkey].key_id not in keys.last
    ]
    if not signing:
        return None
    text = Checkpoint(origin, 0, EMPTY_ROOT).text()
    note = sign_note(text, signing)
    return (
        note
        if keys.mldsa is None
        else add_signatures(note, [keys.mldsa.cosign(text, 0)])
    )


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What the witnesses of a log said before it signs.

    `known` are the sizes they know, by label; `objection` is why the log must not sign,
    None where it may; `silent` are the submission prefixes of those that took too long.
    """

    known: Mapping[str, int]
    objection: Objection | None = None
    silent: Collection[str] = ()


async def inquire(ground: Ground, settings: WitnessSettings, note: bytes) -> Inquiry:
    """Ask every witness which size it knows, and judge what they say.

    They are asked with the checkpoint of no leaves, `note`: whoever knows a larger tree
    refuses it and names the size (409). Witnesses that do not answer say nothing, and
    hold nobody up for longer than `START_SECONDS`. Raises `StorageError` where what one
    proves cannot be held against the database.
    """
    async with Calls(min(START_SECONDS, settings.timeout)) as calls:
        known: dict[str, int] = {}
        proofs: list[Objection] = []
        silent: set[str] = set()
        tasks = {
            asyncio.create_task(
                _question(calls, each, ground, note, known, proofs, silent)
            ): each.submission
            for each in settings.endpoints
        }
        _, late = await asyncio.wait(tasks, timeout=START_SECONDS)
        for task in late:
            task.cancel()
            silent.add(tasks[task])
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, StorageError):
                raise result
    largest = sorted(proofs, key=_size_of)
    objection = largest[-1] if largest else None
    if objection is None:
        policy, ends = settings.policy, settings.endpoints
        size = await ground.size_beyond(max(known.values(), default=0))
        objection = overruled(known, ends, policy, size)
        if objection is None:
            _warn(ground.origin, known, size)
    return Inquiry(known, objection, silent)


def _size_of(objection: Objection) -> int:
    return 0 if objection.head is None else objection.head.size


async def _question(
    calls: Calls,
    endpoint: Endpoint,
    ground: Ground,
    note: bytes,
    known: dict[str, int],
    proofs: list[Objection],
    silent: set[str],
) -> None:
    """Note which size a witness knows, and what it proves against the database."""
    body = AddCheckpoint(0, (), note).format()
    try:
        reply = await calls.add_checkpoint(endpoint, body)
        if reply.status == 409:
            known[endpoint.label] = read_known_size(reply)
        elif reply.status == 200:
            known[endpoint.label] = 0
        if known.get(endpoint.label):
            # Also of a size that we have: the tree may be another one.
            proof = await ground.proven(calls, endpoint)
            if proof is not None:
                proofs.append(proof)
    except WitnessError as error:
        if error.outcome == TIMEOUT:
            silent.add(endpoint.submission)
        logger.warning(
            "witness %a of log %s could not be asked for its size: %s",
            endpoint.label,
            ground.origin,
            error,
        )


def _warn(origin: str, known: Mapping[str, int], ends: int) -> None:
    for label, size in known.items():
        if size > ends:
            logger.warning(
                "witness %a of log %s says that it cosigned size %d, and the database"
                " ends at %d: it proves nothing, and is not believed",
                label,
                origin,
                size,
                ends,
            )
