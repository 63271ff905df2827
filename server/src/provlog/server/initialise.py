"""Making an instance: folder, database, keys, the first log and its tokens."""

from dataclasses import dataclass
from pathlib import Path

from provlog.server.guard import FileGuard
from provlog.server.instance import (
    Instance,
    create_instance,
    default_guard,
    record_instance,
)
from provlog.server.keyring import Keyring
from provlog.server.registry import create_log, require_unreleased, store_tokens
from provlog.server.storage.base import LogRecord, SourceRecord
from provlog.server.storage.sqlite import SqliteStorage, create_database
from provlog.server.tokens import ANY_SOURCE, MintedToken, mint_token

FIRST_LOG = "main"


@dataclass(frozen=True, slots=True)
class Initialised:
    """A new instance, its first log, and a token for each role."""

    instance: Instance
    log: LogRecord
    tokens: dict[str, MintedToken]


async def initialise(
    folder: Path,
    guard: Path | None,
    *,
    origin: str,
    sources: tuple[str, ...],
    now: int,
    public: bool = False,
) -> Initialised:
    """Make an instance in an empty folder, durably.

    `sources` are the URIs the submitter's token may write; those that are named are
    registered. Raises `ConfigurationError` where something is in the way, with nothing
    overwritten.
    """
    guarded = (guard or default_guard()).absolute()
    if guarded.is_dir():
        # Before anything is made, so that another origin can be tried at once.
        await require_unreleased(FileGuard(guarded), origin)
    instance = create_instance(folder, guard)
    create_database(instance.database)
    storage = SqliteStorage(instance.database)
    try:
        log = await create_log(
            storage,
            Keyring(instance.keys),
            FileGuard(instance.guard),
            name=FIRST_LOG,
            origin=origin,
            public=public,
            now=now,
            sources=tuple(
                SourceRecord(uri, uri, None) for uri in sources if uri != ANY_SOURCE
            ),
        )
        tokens = _first_tokens(log, sources, now)
        records = tuple(token.record for token in tokens.values())
        await store_tokens(storage, log.id, records)
    finally:
        await storage.close()
    record_instance(instance)
    return Initialised(instance, log, tokens)


def _first_tokens(
    log: LogRecord, sources: tuple[str, ...], now: int
) -> dict[str, MintedToken]:
    """Return a token for each role; the admin's alone reaches every log to come."""
    logs, note = [log.id], "init"
    return {
        "admin": mint_token(logs=None, roles=["admin"], now=now, note=note),
        "submitter": mint_token(
            logs=logs, roles=["submitter"], sources=sources, now=now, note=note
        ),
        "auditor": mint_token(
            logs=logs, roles=["auditor", "monitor"], now=now, note=note
        ),
        "monitor": mint_token(logs=logs, roles=["monitor"], now=now, note=note),
    }
