"""Importing a log: an export, checked and stored in one transaction.

A log is in one house at a time. Its keys come along, so two instances could sign for
it, and nothing but the guard of a machine can notice. Hence the guard has to know
nothing of the log, or a head that the export's tree begins with, and it has the
export's head before the import is committed: from then on an older export is refused.

If the process dies before the commit, there is no log; its keys may be there, and the
next import takes them up. The guard may have the head that the export's checkpoint
released long before.
"""

from dataclasses import dataclass, replace

from provlog.server.errors import ConfigurationError, ForkError, TooManyLogsError
from provlog.server.guard import Guard, ReleasedHead
from provlog.server.keyring import Keyring
from provlog.server.moving.exported import Export
from provlog.server.moving.loading import Loading
from provlog.server.moving.tree_files import OnProgress
from provlog.server.open_logs import MAX_LOGS
from provlog.server.registry import require_log_name
from provlog.server.storage.base import (
    AlreadyExistsError,
    Head,
    LogRecord,
    Storage,
    Transaction,
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What was imported; `left_out` counts tokens that were not."""

    record: LogRecord
    head: Head
    left_out: int


async def guarded_head(guard: Guard, origin: str, head: Head) -> ReleasedHead | None:
    """Return what the guard knows of a log that is to be imported with this head.

    Raises `ForkError` where the log went on after the head, or has another one of its
    size.
    """
    known = await guard.read(origin)
    if known is not None and known.size > head.size:
        raise ForkError(
            f"size {known.size} of {origin} was released from this machine, and the"
            f" export ends at {head.size}: the log went on after it was made"
        )
    if known is not None and known.size == head.size and known.root != head.root:
        raise ForkError(
            f"another head of size {known.size} of {origin} was released from this"
            f" machine (guard: {guard.describe(origin)})"
        )
    return known


async def import_log(
    storage: Storage,
    keyring: Keyring,
    guard: Guard,
    export: Export,
    *,
    name: str,
    with_tokens: bool,
    on_progress: OnProgress,
) -> Imported:
    """Store an export as the log of a name, durably, all of it or nothing.

    Root, entries and keys are those that were exported, so receipts stay what they
    were. `with_tokens` is for an instance that has no other log. Raises
    `ConfigurationError` where name, origin or keys are taken, `ForkError` where the
    guard contradicts, and `DamagedError` where anything is not as it was exported.
    """
    require_log_name(name)
    manifest = export.manifest
    if len(await storage.logs()) >= MAX_LOGS:
        raise TooManyLogsError(f"an instance holds {MAX_LOGS} logs at most")
    known = await guarded_head(guard, manifest.log.origin, manifest.head)
    async with storage.transaction() as transaction:
        record = await _create(transaction, replace(manifest.log, name=name))
        loading = Loading(transaction, record, export, known)
        await loading.entries(on_progress)
        await loading.require_head()
        left_out = await loading.registers(with_tokens=with_tokens)
        # Nothing is in doubt any more; wherever we crash from here on, an import of the
        # same export takes up what it finds.
        keyring.install(name, export.keys)
        await _advance(guard, record.origin, known, manifest.head)
        await transaction.commit()
    return Imported(record, manifest.head, left_out)


async def _create(transaction: Transaction, record: LogRecord) -> LogRecord:
    try:
        return replace(record, id=await transaction.create_log(record))
    except AlreadyExistsError:
        raise ConfigurationError(
            f"the instance has a log of the name {record.name} or of the origin"
            f" {record.origin} already; nothing was changed"
        ) from None


async def _advance(
    guard: Guard, origin: str, known: ReleasedHead | None, head: Head
) -> None:
    """Have the guard at the imported head, durably, or find that somebody was there."""
    released = ReleasedHead(head.size, head.root)
    if known != released and not await guard.replace(origin, known, released):
        raise ForkError(
            f"a head of {origin} was released from this machine during the import: the"
            " log is still served, and must not be"
        )
    await guard.flush()
