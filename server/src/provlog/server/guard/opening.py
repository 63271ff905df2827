"""Which guard an instance has, and what is recorded beside it."""

from provlog.server.guard.base import Guard, ReleasedHead
from provlog.server.guard.databases import DatabaseRecords
from provlog.server.guard.file import FileGuard
from provlog.server.guard.lineage import Lineage
from provlog.server.instance import Instance


def open_guard(instance: Instance) -> Guard:
    """Return the guard of an instance; `prepare` it before use.

    Raises `ConfigurationError` where it cannot be used.
    """
    return FileGuard(instance.guard)


def open_lineage(instance: Instance) -> Lineage:
    """Return what admits databases to an instance's logs."""
    if instance.guard_url is not None:
        return Lineage(None)
    return Lineage(
        DatabaseRecords(instance.guard), synchronous=instance.synchronous_failover
    )


async def read_once(instance: Instance, origin: str) -> ReleasedHead | None:
    """Return what an instance's guard holds of one log; raises like `Guard.read`."""
    guard = open_guard(instance)
    try:
        return await guard.read(origin)
    finally:
        await guard.close()
