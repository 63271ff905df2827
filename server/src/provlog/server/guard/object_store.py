"""The guard of servers on several machines: an object for each log in a store.

The store decides who advances a log: an object is replaced only if it is still the one
that was looked at (`If-Match`), and made only if there is none. What the store has
acknowledged is durable. Nothing is released while it does not answer.
"""

import asyncio
import logging
import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from provlog.merkle.errors import MalformedError
from provlog.server.errors import ConfigurationError, UnavailableError
from provlog.server.guard.base import GuardRecord, ReleasedHead
from provlog.server.guard.record import (
    SLOT,
    DamagedRecordError,
    format_record,
    parse_record,
    released_head,
)
from provlog.server.guard.single_flight import SingleFlight
from provlog.server.guard.store_client import RefusedPutError, StoreClient

if TYPE_CHECKING:
    from obstore import UpdateVersion

logger = logging.getLogger(__name__)

_PROBE: Final = "provlog-probe"
_PROBES: Final = 8


class ObjectGuard:
    """A `Guard` that any number of servers share.

    Reads that are asked for at the same time share a request. Where nobody else wrote,
    a release is one request.
    """

    shared = True

    def __init__(self, client: StoreClient) -> None:
        self.failures = 0
        self._client = client
        self._objects: dict[str, _Object] = {}

    async def prepare(self) -> None:
        """Make sure that the store refuses writes whose condition does not hold.

        There are stores, and stand-ins for them, that write all the same: with these,
        two servers would release two histories. An object `provlog-probe` is written
        for it, and stays.
        """
        try:
            await self._create_probe()
            for _ in range(_PROBES):
                if await self._probe():
                    return
        except UnavailableError:
            self.failures += 1
            raise
        raise UnavailableError(f"the guard {self._client.url}: too many starts at once")

    async def read(self, origin: str) -> ReleasedHead | None:
        """Return the newest released head, or None where there is no object."""
        record = await self.inspect(origin)
        return None if record is None else released_head(record)

    async def inspect(self, origin: str) -> GuardRecord | None:
        """Return all that is recorded, or None where there is no object."""
        try:
            return await self._object(origin).read()
        except (ConfigurationError, UnavailableError):
            self.failures += 1
            raise

    async def recall(self, origin: str) -> ReleasedHead | None:
        """Return what was read or recorded here last; what was not is read."""
        record = self._object(origin).record
        if record is None:
            return await self.read(origin)
        return released_head(record)

    async def replace(
        self, origin: str, known: ReleasedHead | None, head: ReleasedHead
    ) -> bool:
        """Record `head` if `known` is what is recorded; tell whether it was.

        False too where the store's answer got lost: what is read then decides.
        """
        if known is not None and head.size <= known.size:
            raise ValueError("the guard only advances")
        before = None if known is None else GuardRecord(known)
        return await self._write(origin, before, GuardRecord(head))

    async def retire(self, origin: str, head: ReleasedHead, successor: str) -> bool:
        """Retire a log if `head` is what is recorded; tell whether it is done."""
        retired, before = GuardRecord(head, successor), GuardRecord(head)
        if await self.inspect(origin) == before:
            await self._write(origin, before, retired)
        # Whether it was written or its answer got lost: what is there decides.
        return await self.inspect(origin) == retired

    async def flush(self) -> None:
        """Nothing is to be done: what the store acknowledged is durable."""

    def flush_age(self) -> float:
        """Return 0: what the store acknowledged is durable."""
        return 0.0

    def size(self, origin: str) -> int | None:
        """Return the size that was last read or recorded here; nothing is read."""
        known = self._objects.get(origin)
        return None if known is None else known.size

    def describe(self, origin: str) -> str:
        """Return the URL of a log's object."""
        return f"{self._client.url}/{_name(origin)}"

    async def close(self) -> None:
        """Wait for requests that were given up."""
        await self._client.close()

    def _object(self, origin: str) -> "_Object":
        known = self._objects.get(origin)
        if known is None:
            known = self._objects[origin] = _Object(self._client, origin)
        return known

    async def _write(
        self, origin: str, before: GuardRecord | None, after: GuardRecord
    ) -> bool:
        try:
            return await self._object(origin).write(before, after)
        except UnavailableError as error:
            self.failures += 1
            logger.warning("%s; looking whether it was written", error)
            return False

    async def _create_probe(self) -> None:
        """Make sure that there is a probe, and that it is not made twice."""
        for _ in range(2):
            try:
                await self._client.put(_PROBE, _noise(), None)
            except RefusedPutError:
                return
        raise self._liar()

    async def _probe(self) -> bool:
        """Replace the probe's version twice; tell whether once was what it took.

        Somebody else who starts may come first: then both are refused.
        """
        probe = await self._client.get(_PROBE, SLOT)
        if probe is None:
            raise self._liar()
        try:
            await self._client.put(_PROBE, _noise(), probe.version)
        except RefusedPutError:
            return False
        try:
            await self._client.put(_PROBE, _noise(), probe.version)
        except RefusedPutError:
            return True
        raise self._liar()

    def _liar(self) -> ConfigurationError:
        self.failures += 1
        return ConfigurationError(
            f"the guard {self._client.url}: the store writes objects although the"
            " condition does not hold (If-None-Match, If-Match); with it two servers"
            " could release two histories"
        )


class _Object:
    """The object of one log, and what this process knows of it.

    `record` is what was read or written last, None where that is nothing, or not known.
    """

    def __init__(self, client: StoreClient, origin: str) -> None:
        self.record: GuardRecord | None = None
        self.size: int | None = None
        self.read = SingleFlight(self._read)
        self._client = client
        self._origin = origin
        self._version: UpdateVersion | None = None
        self._writing = asyncio.Lock()
        self._writes = 0

    async def _read(self) -> GuardRecord | None:
        writes = self._writes
        found = await self._client.get(_name(self._origin), SLOT)
        record = None if found is None else self._parse(found.data)
        # What was written meanwhile is newer than what was read.
        if writes == self._writes:
            self._note(record, None if found is None else found.version)
        return record

    async def write(self, before: GuardRecord | None, after: GuardRecord) -> bool:
        """Write if `before` is what was seen last, and what is there; tell whether.

        After an `UnavailableError` it may have been written.
        """
        async with self._writing:
            if before is not None and (before != self.record or not self._version):
                return False
            data = format_record(self._origin, after)
            version = None if before is None else self._version
            name = _name(self._origin)
            self._note(None, None)
            try:
                written = await self._client.put(name, data, version)
            except RefusedPutError:
                return False
            self._note(after, written)
            return True

    def _note(
        self, record: GuardRecord | None, version: "UpdateVersion | None"
    ) -> None:
        self._writes += 1
        self.record, self._version = record, version
        if record is not None:
            self.size = record.head.size

    def _parse(self, data: bytes) -> GuardRecord:
        try:
            return parse_record(data, self._origin)
        except DamagedRecordError:
            what = "cannot be read"
        except MalformedError as error:
            what = f"is {error}"
        where = f"{self._client.url}/{_name(self._origin)}"
        raise ConfigurationError(f"the guard {where} {what}")


def _name(origin: str) -> str:
    return f"{sha256(origin.encode()).hexdigest()[:32]}.json"


def _noise() -> bytes:
    # Never the same twice: a version of an object may be a hash of its content.
    return secrets.token_hex(16).encode()
