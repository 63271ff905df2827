"""Which guard an instance has, and what is recorded beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from provlog.server.guard.base import Guard, GuardRecord
from provlog.server.guard.databases import DatabaseRecords
from provlog.server.guard.file import FileGuard
from provlog.server.guard.lineage import Lineage
from provlog.server.guard.object_store import ObjectGuard
from provlog.server.guard.store_client import StoreClient
from provlog.server.instance import Instance


def open_guard(instance: Instance) -> Guard:
    """Return the guard of an instance; `prepare` it before use.

    Raises `ConfigurationError` where it cannot be used.
    """
    if instance.guard_url is not None:
        return ObjectGuard(StoreClient(instance.guard_url))
    return FileGuard(instance.guard)


def open_lineage(instance: Instance) -> Lineage:
    """Return what admits databases to an instance's logs."""
    if instance.guard_url is not None:
        return Lineage(None)
    return Lineage(
        DatabaseRecords(instance.guard), synchronous=instance.synchronous_failover
    )


@asynccontextmanager
async def opened_guard(instance: Instance) -> AsyncIterator[Guard]:
    """Yield the guard of an instance, prepared; raises like `Guard.prepare`."""
    guard = open_guard(instance)
    try:
        await guard.prepare()
        yield guard
    finally:
        await guard.close()


async def inspect_once(instance: Instance, origin: str) -> GuardRecord | None:
    """Return what an instance's guard holds of one log; raises like `inspect`."""
    guard = open_guard(instance)
    try:
        return await guard.inspect(origin)
    finally:
        await guard.close()
