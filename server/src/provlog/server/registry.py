"""Creating logs: an explicit act that writes entry 0."""

import asyncio
import contextlib
import re
from dataclasses import dataclass

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.edge import RightEdge
from provlog.merkle.encoding import (
    JsonValue,
    encode_base64url,
    format_time,
    is_canonical_text,
)
from provlog.merkle.entries import VERSION, build_entry
from provlog.merkle.errors import MerkleError
from provlog.merkle.hashing import EMPTY_ROOT, leaf_hash
from provlog.merkle.labels import epoch_key_commitment, id_key_commitment
from provlog.server.errors import ConfigurationError, ForkError, GuardBusyError
from provlog.server.guard import Guard, ReleasedHead
from provlog.server.keyring import Keyring, LogKeys
from provlog.server.storage.base import (
    AlreadyExistsError,
    Extension,
    Head,
    LogRecord,
    NewEntry,
    SourceRecord,
    Storage,
    TokenRecord,
)

LATENESS_MS = 3_600_000
MAX_ORIGIN = 255
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Previous:
    """The log that another one succeeds, and its newest released head."""

    origin: str
    head: ReleasedHead

    def json(self) -> dict[str, JsonValue]:
        """Return the member `previous` of entry 0."""
        root = encode_base64url(self.head.root)
        return {"origin": self.origin, "size": self.head.size, "root": root}


def require_log_name(name: str) -> None:
    """Refuse what cannot be a log's name in a path (`ConfigurationError`)."""
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            "a log's name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins and ends"
            " with a letter or a digit"
        )


def require_origin(origin: str) -> None:
    """Refuse what cannot be a checkpoint's origin and a key's name."""
    usable = is_canonical_text(origin) and 1 <= len(origin) <= MAX_ORIGIN
    if not usable or not {" ", "+"}.isdisjoint(origin) or "://" in origin:
        raise ConfigurationError(
            f"an origin is 1 to {MAX_ORIGIN} printable ASCII characters without a"
            " scheme, blanks, '+', quotation marks and backslashes, such as"
            " log.example.com/main"
        )
    try:
        Checkpoint(origin, 0, EMPTY_ROOT).text()
    except (MerkleError, ValueError) as error:
        raise ConfigurationError(f"the origin cannot be signed for: {error}") from None


async def require_unreleased(guard: Guard, origin: str) -> None:
    """Refuse an origin that the guard knows (`ConfigurationError`)."""
    found = await guard.inspect(origin)
    if found is not None:
        known = found.head
        raise ConfigurationError(
            f"a log {origin} of size {known.size} was released; a new one would"
            f" contradict it (guard: {guard.describe(origin)})"
        )


async def create_log(
    storage: Storage,
    keyring: Keyring,
    guard: Guard,
    *,
    name: str,
    origin: str,
    public: bool,
    now: int,
    sources: tuple[SourceRecord, ...] = (),
    previous: Previous | None = None,
) -> LogRecord:
    """Create a log with keys of its own and its parameters as entry 0, durably.

    `previous` is the log it succeeds and the newest released head of that one.

    Raises `ConfigurationError` where name or origin is unusable or taken, or where the
    guard knows the origin: there has been a log of it that others have seen.
    """
    require_log_name(name)
    require_origin(origin)
    if await storage.log(name) is not None:
        raise ConfigurationError(f"there is a log {name} already")
    await require_unreleased(guard, origin)
    # Files that are flushed one by one: others must not wait for that.
    keys = await asyncio.to_thread(keyring.create, name, origin)
    log_key = keys.signing.verifier().vkey()
    record = LogRecord(0, name, origin, log_key, public, format_time(now))
    leaf = params_leaf(origin, keys, now, previous)
    growth = RightEdge.empty().grow([leaf_hash(leaf)])
    head = Head(growth.edge.size, growth.root, 0, 1, now)
    async with storage.transaction() as transaction:
        try:
            number = await transaction.create_log(record)
        except AlreadyExistsError:
            raise ConfigurationError(f"there is a log of origin {origin}") from None
        entry = NewEntry(0, leaf, None, None, None)
        registered = [(0, source) for source in sources]
        await transaction.extend(
            Extension(number, head, [entry], growth.tiles, registered)
        )
        await transaction.commit()
    # If we crash here, the next start finds a log without a guard and makes one.
    await _release_first(guard, origin, ReleasedHead(head.size, head.root))
    return LogRecord(number, name, origin, log_key, public, record.created)


async def _release_first(guard: Guard, origin: str, head: ReleasedHead) -> None:
    """Record the first head of a new log, durably.

    A server that looks after the same database may open the log as soon as it is
    committed, and be quicker: then the guard has this head, or one that follows it, as
    whoever opens the log finds out.
    """
    with contextlib.suppress(GuardBusyError):
        if await guard.replace(origin, None, head):
            await guard.flush()
            return
    known = await guard.read(origin)
    if known is not None and known.size == head.size and known != head:
        raise ForkError(f"another log {origin} was released at the same time")


def params_leaf(
    origin: str, keys: LogKeys, now: int, previous: Previous | None = None
) -> bytes:
    """Return entry 0: what a log's later entries are to be read by."""
    succeeds: dict[str, JsonValue] = {}
    if previous is not None:
        succeeds["previous"] = previous.json()
    suites: dict[str, JsonValue] = {"1": 1, "2": 1, "7": 1}
    versions: list[JsonValue] = [VERSION]
    return build_entry(
        "params",
        epoch=1,
        n=0,
        recorded=format_time(now),
        body={
            "origin": origin,
            "log_key": keys.signing.verifier().vkey(),
            "leaf_versions": versions,
            "map_version": 1,
            "lateness_ms": LATENESS_MS,
            "suites": suites,
            "commit_e": encode_base64url(epoch_key_commitment(1, keys.epoch_keys[1])),
            "commit_id": encode_base64url(id_key_commitment(keys.id_key)),
            **succeeds,
        },
    )


async def store_tokens(
    storage: Storage, log: int, tokens: tuple[TokenRecord, ...]
) -> None:
    """Store the first tokens of a new instance; later ones come with an entry."""
    async with storage.transaction() as transaction:
        head = await transaction.lock(log)
        await transaction.extend(Extension(log, head, [], [], (), tokens))
        await transaction.commit()
