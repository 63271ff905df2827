"""Making an instance: folder, database, keys, the first log and its tokens."""

from dataclasses import dataclass, field
from pathlib import Path

from provlog.server.errors import ConfigurationError
from provlog.server.guard import Guard
from provlog.server.guard.opening import open_guard, open_lineage
from provlog.server.guard.store_url import StoreUrl
from provlog.server.instance import (
    Instance,
    make_folder,
    plan_instance,
    record_instance,
)
from provlog.server.keyring import Keyring
from provlog.server.registry import create_log, require_unreleased, store_tokens
from provlog.server.storage.base import AlreadyExistsError, LogRecord, SourceRecord
from provlog.server.storage.opening import create_storage, open_storage
from provlog.server.tokens import ANY_SOURCE, MintedToken, mint_token

FIRST_LOG = "main"


@dataclass(frozen=True, slots=True)
class Initialised:
    """A new instance, its first log, and a token for each role."""

    instance: Instance
    log: LogRecord
    tokens: dict[str, MintedToken]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new instance is to be.

    `folder` for keys and settings, `guard` by default under the user's state directory,
    the database at a URL or else in the folder. `synchronous_failover` declares that
    no failover of the database loses a commit. `grant_to` is the PostgreSQL role that
    is to serve, where that is not the URL's.
    """

    folder: Path
    guard: Path | StoreUrl | None = None
    # It may contain a password.
    database_url: str | None = field(default=None, repr=False)
    grant_to: str | None = None
    synchronous_failover: bool = False


async def initialise(
    place: Place,
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
    instance = plan_instance(
        place.folder,
        place.guard,
        place.database_url,
        synchronous_failover=place.synchronous_failover,
    )
    guard = open_guard(instance)
    try:
        await guard.prepare()
        # Before anything is made, so that another origin can be tried at once.
        await require_unreleased(guard, origin)
        make_folder(instance)
        try:
            await create_storage(instance, place.grant_to)
        except AlreadyExistsError as error:
            raise ConfigurationError(str(error)) from error
        made = await _fill(instance, guard, origin, sources, now, public)
    finally:
        await guard.close()
    record_instance(instance, place.grant_to)
    return made


async def _fill(
    instance: Instance,
    guard: Guard,
    origin: str,
    sources: tuple[str, ...],
    now: int,
    public: bool,
) -> Initialised:
    """Make the first log and its tokens in an empty database."""
    named = [SourceRecord(uri, uri, None) for uri in sources if uri != ANY_SOURCE]
    storage = open_storage(instance)
    try:
        await storage.open()
        log = await create_log(
            storage,
            Keyring(instance.keys),
            guard,
            name=FIRST_LOG,
            origin=origin,
            public=public,
            now=now,
            sources=tuple(named),
        )
        await open_lineage(instance).open(storage.incarnation(), [origin])
        tokens = _first_tokens(log, sources, now)
        records = tuple(token.record for token in tokens.values())
        await store_tokens(storage, log.id, records)
    finally:
        await storage.close()
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
