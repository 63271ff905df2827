"""The check before a log signs: what witnesses, and our own files, say against it."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from provlog.server.announced import Announced, read_announced
from provlog.server.errors import ForkError
from provlog.server.guard import Guard
from provlog.server.keyring import Keyring
from provlog.server.storage.base import Head, LogRecord, Storage
from provlog.server.tree import TileCache, Tree
from provlog.server.witnessing.judging import (
    WAY_OUT,
    Ground,
    Objection,
    empty_note,
    inquire,
    own_trust,
)
from provlog.server.witnessing.published import published_paths
from provlog.server.witnessing.settings import WitnessSettings

SILENT_SECONDS: Final = 60.0
"""For how long a witness that did not answer about one log is not asked about others.

Each log waits for its witnesses for seconds. Of hundreds that have one that is dead in
common, the last would wait for a quarter of an hour.
"""


class Examiner:
    """Examines the logs of one database; `state` is the folder of what is published."""

    def __init__(
        self, storage: Storage, keyring: Keyring, guard: Guard, state: Path
    ) -> None:
        self._storage = storage
        self._keyring = keyring
        self._guard = guard
        self._state = state
        # Until when, by the submission prefix.
        self._silent: dict[str, float] = {}

    async def examine(
        self, record: LogRecord, settings: WitnessSettings, head: Head
    ) -> Mapping[str, int]:
        """Return the sizes that a log's witnesses know, by label.

        Raises `ForkError`, once the guard knows of it, where the log must not sign.
        """
        keys = self._keyring.load(record.name)
        first = Announced(record.log_key)
        announced = await read_announced(self._storage, record.id, first, head.size)
        tree = Tree(self._storage, record.id, TileCache(0))
        trust = own_trust(record.origin, announced, keys)

        async def stored() -> int:
            return (await self._storage.head(record.id)).size

        ground = Ground(trust, head.size, tree, stored)
        known: Mapping[str, int] = {}
        objection = await self._published_objection(ground, record.name)
        note = empty_note(record.origin, announced, keys, head.size)
        asked = self._responsive(settings)
        if objection is None and note is not None and asked.endpoints:
            found = await inquire(ground, asked, note)
            known, objection = found.known, found.objection
            self._silent |= dict.fromkeys(
                found.silent, time.monotonic() + SILENT_SECONDS
            )
        if objection is not None:
            await objection.remember(self._guard, record.origin)
            raise ForkError(f"log {record.name}: {objection.reason}; {WAY_OUT}")
        return known

    def _responsive(self, settings: WitnessSettings) -> WitnessSettings:
        """Return settings without the witnesses that have not answered just now."""
        now = time.monotonic()
        asked = tuple(
            each
            for each in settings.endpoints
            if self._silent.get(each.submission, now) <= now
        )
        return replace(settings, endpoints=asked)

    async def _published_objection(self, ground: Ground, name: str) -> Objection | None:
        """Return what the checkpoints that were published last prove, if anything."""
        for path in published_paths(self._state, name):
            try:
                with path.open("rb") as file:
                    note = file.read(1 << 20)
            except OSError:
                continue
            objection = await ground.objection(str(path), note)
            if objection is not None:
                return objection
        return None
