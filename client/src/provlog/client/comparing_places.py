"""Places that serve a log's checkpoint: the log, mirrors, monitors, witnesses.

They are not told apart by what they say of themselves. At a URL it is looked for a
checkpoint, and below it where a monitoring prefix has the one of this origin (C2SP
tlog-witness). A token goes to the log's own server and nowhere else.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from provlog.client.comparing import Sighting
from provlog.client.cosigned import GossipedCheckpoint, verify_gossip
from provlog.client.errors import (
    ClientError,
    RefusedError,
    UnavailableError,
    UsageError,
    printable,
)
from provlog.client.fetching import LogReader
from provlog.client.memory import LeafPath, Memory, VolatileMemory
from provlog.client.tile_proofs import TileProofs
from provlog.client.transport import Transport
from provlog.merkle.errors import MalformedError, MerkleError
from provlog.merkle.policy import Policy
from provlog.merkle.trust import Trust
from provlog.merkle.witness_messages import origin_hash

MANY: Final = 16
"""So many heads are proved of tiles, which they share, where tiles are served."""

_ATTEMPT_SECONDS: Final = 15.0
_CHECKPOINT: Final = "/checkpoint"


@dataclass(frozen=True, slots=True)
class Caller:
    """How places are asked: whose token, how long, and what is asked about.

    `given` is the trust that the user was given, `trust` what it is known to have led
    to. `log_url` is the log's own, as far as it is known: the token is sent there
    alone, and what is announced there is remembered in `memory`.
    """

    given: Trust
    trust: Trust
    memory: Memory
    log: str
    log_url: str | None
    token: str | None
    patience: float
    insecure: bool


class Place:
    """One place that showed a signed head; it may be able to prove what that holds."""

    def __init__(
        self, place: str, reader: LogReader, sighting: Sighting, *, is_log: bool
    ) -> None:
        self.place = place
        self.is_log = is_log
        self.sighting = sighting
        self._reader = reader
        self._tiles = TileProofs(reader.part, sighting.gossiped.signed.checkpoint.size)
        self.many = False

    async def consistency(
        self, older: int, newer: int, *, direct: bool = False
    ) -> tuple[bytes, ...]:
        """Return a consistency proof, unverified, made of tiles if many are needed.

        With `direct` it is the one that the place itself gives.
        """
        if self.many and not direct:
            proof = await self._tiles.consistency(older, newer)
            if proof is not None:
                return proof
        return await self._reader.consistency(older, newer)

    async def path(self, index: int, size: int) -> LeafPath:
        """Return an inclusion proof, unverified; a static mirror's is made of tiles."""
        try:
            claimed = await self._reader.inclusion(index, size)
        except (ClientError, MerkleError):
            path = await self._tiles.path(index, size)
            if path is None:
                raise
            return path
        return LeafPath(index, claimed.leaf_hash, claimed.hashes)

    @property
    def keys(self) -> Trust:
        """The log's keys, with those that it announced here."""
        return self._reader.keys.trust

    async def close(self) -> None:
        """Close all connections."""
        await self._reader.close()


async def look(url: str, caller: Caller) -> Place:
    """Return the place at a URL with the head that it shows.

    Raises `UnavailableError` where none was reached or none is shown, and a
    `MerkleError` where what is shown is no checkpoint of the log.
    """
    base = url.rstrip("/").removesuffix(_CHECKPOINT)
    reasons: list[ClientError | MerkleError] = []
    for candidate in _candidates(base, caller):
        try:
            return await _look_at(candidate, url, caller)
        except RefusedError as error:
            if error.status in (401, 403):
                raise UnavailableError(_refused(error, candidate, caller)) from None
            reasons.append(error)
        except UsageError as error:
            # A redirect, or no URL at all: that place, and not the whole comparison.
            raise UnavailableError(str(error)) from None
        except MerkleError as error:
            reasons.append(error)
    shown = [each for each in reasons if isinstance(each, MerkleError)]
    # What is no note may be any page; what is one, and not the log's, has to be told.
    for each in shown:
        if not isinstance(each, MalformedError):
            raise each
    if shown:
        raise shown[0]
    raise UnavailableError(f"{_name(base)}: shows no checkpoint of this log there")


def _candidates(base: str, caller: Caller) -> list[str]:
    prefix = f"{base}/{origin_hash(caller.trust.origin)}"
    return [base, prefix, f"{base}/logs/{caller.log}"]


async def _look_at(base: str, url: str, caller: Caller) -> Place:
    is_log = _is_log(base, caller)
    token = caller.token if is_log else None
    transport = Transport(base, None, token, caller.patience, insecure=caller.insecure)
    # Whoever cosigned: what a place answers is held against its log's signature.
    known = caller.given if is_log else caller.trust
    reader = LogReader(transport, replace(known, policy=None), _ATTEMPT_SECONDS)
    # What others serve as announcements is believed as far as it goes, and not kept.
    reader.keys.remember_in(caller.memory, None if is_log else VolatileMemory())
    try:
        await reader.keys.recall()
        note = await reader.checkpoint_unverified()
        read = partial(_read, note, caller.trust.policy)
        sighting = Sighting(await reader.keys.believe(read))
    except BaseException:
        await reader.close()
        raise
    return Place(url, reader, sighting, is_log=is_log)


def _read(note: bytes, policy: Policy | None, trust: Trust) -> GossipedCheckpoint:
    return verify_gossip(note, replace(trust, policy=policy))


def _is_log(base: str, caller: Caller) -> bool:
    if caller.log_url is None:
        return False
    return base.rstrip("/") == f"{caller.log_url.rstrip('/')}/logs/{caller.log}"


def _refused(error: RefusedError, base: str, caller: Caller) -> str:
    if _is_log(base, caller):
        return f"{_name(base)}: the token does not reach it ({error})"
    return (
        f"{_name(base)}: asks for a token, and none is sent but to the log that --url "
        "and --log name"
    )


def _name(url: str) -> str:
    return printable(url)[:200]
