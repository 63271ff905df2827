"""What the witnesses of a log that runs say against it, and whether that halts it."""

import contextlib

from provlog.server.guard import Guard
from provlog.server.log import Log
from provlog.server.storage.base import Storage
from provlog.server.tree import TileCache, Tree
from provlog.server.witnessing.calls import Calls, WitnessError
from provlog.server.witnessing.judging import WAY_OUT, Ground, overruled, own_trust
from provlog.server.witnessing.settings import WitnessSettings
from provlog.server.witnessing.witness import AheadError, RejectedProofError, Witness


class Claims:
    """The sizes above the database's that witnesses say they cosigned, by label."""

    def __init__(
        self, log: Log, storage: Storage, guard: Guard, settings: WitnessSettings
    ) -> None:
        self._log = log
        self._storage = storage
        self._guard = guard
        self._settings = settings
        self._sizes: dict[str, int] = {}

    def withdraw(self, witness: Witness) -> None:
        """Note that a witness says nothing against the log any more."""
        self._sizes.pop(witness.endpoint.label, None)

    async def hear(self, witness: Witness, error: WitnessError, calls: Calls) -> bool:
        """Judge what a witness said; halt the log where it is right.

        False where it is not against us: another server has released more than we have
        seen yet. Raises `StorageError`.
        """
        size = await self._stored()
        if isinstance(error, AheadError) and error.size > size:
            self._sizes[witness.endpoint.label] = error.size
        else:
            self.withdraw(witness)
        if isinstance(error, AheadError) and error.size <= size:
            return False
        if isinstance(error, (AheadError, RejectedProofError)):
            await self._judge(witness, calls, size)
        return True

    async def _judge(self, witness: Witness, calls: Calls, size: int) -> None:
        log = self._log
        # All is read anew: what is at hand may be of a tree that the database lost.
        tree = Tree(self._storage, log.id, TileCache(0))
        trust = own_trust(log.origin, log.announced, log.signer.keys)
        ground = Ground(trust, size, tree, self._stored)
        objection = None
        with contextlib.suppress(WitnessError):
            objection = await ground.proven(calls, witness.endpoint)
        if objection is None:
            ends, policy = self._settings.endpoints, self._settings.policy
            objection = overruled(self._sizes, ends, policy, await self._stored())
        if objection is not None and log.halted is None:
            log.halt(f"{objection.reason}; {WAY_OUT}")
            await objection.remember(self._guard, log.origin)

    async def _stored(self) -> int:
        return (await self._storage.head(self._log.id)).size
