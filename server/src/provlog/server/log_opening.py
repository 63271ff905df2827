"""Opening a log: whether database, keys, guard and parameters belong together."""

from provlog.merkle.encoding import encode_base64url
from provlog.merkle.entries import parse_entry
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.labels import epoch_key_commitment, id_key_commitment
from provlog.server.announced import Announced, read_announced
from provlog.server.errors import ConfigurationError, ForkError, MissingKeyError
from provlog.server.guard import Guard, ReleasedHead
from provlog.server.intake.draft import Drafter, Entropy
from provlog.server.keyring import LogKeys
from provlog.server.log import Log, contradiction
from provlog.server.signing import KeyFiles, Signer
from provlog.server.storage.base import Head, Incarnation, LogRecord, Reads, Storage
from provlog.server.tree import TileCache, Tree


async def open_log(
    storage: Storage,
    record: LogRecord,
    source: KeyFiles,
    guard: Guard,
    cache: TileCache,
    entropy: Entropy,
    released: ReleasedHead | None,
    head: Head,
    incarnation: Incarnation | None,
) -> Log:
    """Open a log for reading and writing, after checking what can be checked.

    `released` is what the guard held, None where it held nothing, and `head` the head
    behind a barrier that was passed after that, so that it is on disk and not older,
    in the database `incarnation`; if another one answers meanwhile, `UnavailableError`.
    The right edge must have the head's root; the head must extend the guard's; keys,
    origin and parameters must belong together. Raises `ConfigurationError`, `ForkError`
    among them.
    """
    keys = source.load()
    tree = Tree(storage, record.id, cache)
    reason = await contradiction(tree, head, released)
    if reason is not None:
        raise ForkError(
            f"log {record.name}: {reason}; provlog-server recover says what can be done"
        )
    await check_params(storage, record, keys)
    known = Announced(record.log_key)
    if not _has_first(record.log_key, keys):
        last = f"last-{VerifierKey.parse(record.log_key).key_id.hex()}.checkpoint"
        raise ConfigurationError(
            f"log {record.name}: the signing key is not the log's; its first key has to"
            f" be there, or {last} if it is retired"
        )
    announced = await read_announced(storage, record.id, known, head.size)
    signer = Signer(record.origin, keys, source)
    require_signers(record.name, signer, announced, head.size)
    drafter = Drafter(keys, head.epoch, entropy)
    edge = await tree.edge(head.size)
    log = Log(record, signer, announced, storage, tree, guard, edge, drafter)
    log.incarnation = incarnation
    await log.release(log.released, incarnation)
    return log


def _has_first(log_key: str, keys: LogKeys) -> bool:
    """Tell whether a log's first key is there, or its last checkpoint."""
    return log_key in keys.signers() or VerifierKey.parse(log_key).key_id in keys.last


def require_signers(name: str, signer: Signer, announced: Announced, size: int) -> None:
    """Raise `ConfigurationError` unless a tree of that size can be signed here."""
    try:
        signer.require(announced, size)
    except MissingKeyError as error:
        raise ConfigurationError(f"log {name}: {error}") from None


async def check_params(reads: Reads, record: LogRecord, keys: LogKeys) -> None:
    """Raise `ConfigurationError` unless entry 0 is of this log and of these keys."""
    [leaf] = await reads.leaves(record.id, 0, 1)
    try:
        entry = parse_entry(leaf)
    except MalformedError as error:
        raise ConfigurationError(f"log {record.name}: entry 0: {error}") from None
    if entry.kind != "params" or entry.body["origin"] != record.origin:
        raise ConfigurationError(f"log {record.name}: entry 0 is of another log")
    expected = {
        "commit_id": id_key_commitment(keys.id_key),
        "commit_e": epoch_key_commitment(1, keys.epoch_keys.get(1, bytes(32))),
    }
    for member, commitment in expected.items():
        if entry.body[member] != encode_base64url(commitment):
            raise ConfigurationError(f"log {record.name}: {member} is of another key")
