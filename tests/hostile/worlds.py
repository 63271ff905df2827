"""The true server that lies are told of, with other ones of the same key beside it.

One instance is copied while it is small. Its copies are what an operator has who forked
the log, or restored an old backup: real servers, with the real key, of other histories.
Logs whose signed trees hold false leaves stand beside the log `main` of the true one:
the leaves are written into its storage, which knows nothing of their meaning.
"""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import apsw

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.edge import RightEdge
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.keys import SigningKey
from provlog.merkle.notes import sign_note
from provlog.server.guard import FileGuard
from provlog.server.instance import Instance
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.registry import create_log, store_tokens
from provlog.server.service import Service
from provlog.server.storage.base import Extension, Head, NewEntry
from provlog.server.storage.sqlite import SqliteStorage
from provlog.server.tokens import mint_token
from support.cosigners import Cosigner
from support.instances import Made, Served, make_instance, serving
from support.services import fill, now_ms

PAST = 8
"""The size at which the histories part, and of the restored backup."""
OLD = 100
"""The size of an older head of the true log."""
KNOWN = 300
"""The size of the newest head that all remember; its tree has tiles of two levels."""
FORKED = 330

WITNESS = Cosigner.ed25519("witness.example/w1", 7)
STRANGER = Cosigner.ed25519("stranger.example/w9", 8)
COSIGNED_AT = now_ms() // 1000
LONG_AGO = COSIGNED_AT - 86_400
"""A time of cosignatures in POSIX seconds; a day before the others."""


Leaves: TypeAlias = Callable[[int], Sequence[bytes]]
"""Returns leaves of which the first may be recorded at the time given, in Unix ms."""


Change: TypeAlias = Callable[[Service, Log], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class FalseLog:
    """A log whose tree holds these leaves behind its parameters, signed and served.

    `rewritten` is an index whose leaf is replaced in the database afterwards. What is
    `changed` is done by a service, and is no lie yet.
    """

    name: str
    leaves: Leaves | None = None
    rewritten: tuple[int, Callable[[int], bytes]] | None = None
    changed: Change | None = None


@dataclass(frozen=True, slots=True)
class World:
    """All servers by name, and what their operator could say with the log's key.

    `notes` are signed checkpoints of the true log by size, `log_keys` the first key of
    each log. Of those that were changed, `signers` are all keys and `sizes` where they
    stood then.
    """

    servers: dict[str, Served]
    tokens: dict[str, str]
    key: SigningKey
    notes: dict[int, bytes]
    log_keys: dict[str, str] = field(default_factory=dict)
    signers: dict[str, list[SigningKey]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """The origin of the log `main`."""
        return self.key.name

    def sign(self, size: int, root: bytes, key: SigningKey | None = None) -> bytes:
        """Return a checkpoint of the log `main` that its operator may sign, or not."""
        text = Checkpoint(self.origin, size, root).text()
        return sign_note(text, [key or self.key])

    def origin_of(self, log: str) -> str:
        """Return the origin of any log."""
        return self.origin if log == "main" else false_origin(log)

    def url(self, server: str) -> str:
        """Return the address of a server, without a slash at its end."""
        return str(self.servers[server].client.make_url("")).rstrip("/")


@asynccontextmanager
async def open_world(folder: Path, logs: Sequence[FalseLog]) -> AsyncIterator[World]:
    """Make the world in a folder, and serve all of it until the context is left."""
    made = await make_instance(folder / "truth", sources=("*",))
    tokens = await _tokens_for_all_logs(made)
    await _grow(made, PAST, "event")
    copies = {name: _copy(made, folder, name) for name in ("fork", "past")}
    notes = {PAST: await _grow(made, PAST, "event")}
    for size in (OLD, KNOWN):
        notes[size] = await _grow(made, size, "event")
    # So that everybody who remembers that head asks how the newest one is related.
    await _grow(made, KNOWN + 1, "event")
    await _grow(copies["fork"], FORKED, "other")
    keys = await _write_false_logs(made.instance, logs)
    key = Keyring(made.instance.keys).load("main").signing
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(serving(each))
            for name, each in {"truth": made, **copies}.items()
        }
        log_keys = {"main": key.verifier().vkey(), **keys}
        world = World(servers, tokens, key, notes, log_keys)
        await _change(world, logs)
        yield world


async def _change(world: World, logs: Sequence[FalseLog]) -> None:
    service = world.servers["truth"].service
    for each in logs:
        if each.changed is None:
            continue
        log = await service.log(each.name)
        assert log is not None
        await fill(service, log, PAST)
        await each.changed(service, log)
        world.signers[each.name] = list(log.signer.keys.signers().values())
        world.sizes[each.name] = log.released.size


async def _tokens_for_all_logs(made: Made) -> dict[str, str]:
    now = now_ms()
    minted = {
        "submitter": mint_token(logs=None, roles=["submitter"], now=now, sources=["*"]),
        "auditor": mint_token(logs=None, roles=["auditor"], now=now),
        "monitor": mint_token(logs=None, roles=["monitor"], now=now),
    }
    storage = SqliteStorage(made.instance.database)
    records = tuple(each.record for each in minted.values())
    await store_tokens(storage, made.record.id, records)
    await storage.close()
    return {role: each.text for role, each in minted.items()}


async def _grow(made: Made, size: int, prefix: str) -> bytes:
    """Let the log `main` grow to a size; return its signed checkpoint."""
    async with Service.of(made.instance) as service:
        log = await service.log("main")
        assert log is not None
        await fill(service, log, size - log.released.size, f"{prefix}-{size}")
        return _note(log)


def _note(log: Log) -> bytes:
    return log.note(log.released).encode()


def _copy(made: Made, folder: Path, name: str) -> Made:
    shutil.copytree(folder / "truth", folder / name)
    instance = Instance(folder / name / "instance", folder / name / "guard")
    return replace(made, instance=instance)


async def _write_false_logs(
    instance: Instance, logs: Sequence[FalseLog]
) -> dict[str, str]:
    """Write the logs; return their keys by name."""
    storage = SqliteStorage(instance.database)
    keyring, guard = Keyring(instance.keys), FileGuard(instance.guard)
    keys = {}
    for log in logs:
        record = await create_log(
            storage,
            keyring,
            guard,
            name=log.name,
            origin=false_origin(log.name),
            public=False,
            now=now_ms(),
        )
        keys[log.name] = record.log_key
        # The server writes nothing behind an entry of a time that is far ahead.
        now = now_ms()
        if log.leaves is not None:
            await _extend(storage, record.id, log.leaves(now), now)
        if log.rewritten is not None:
            index, leaf = log.rewritten
            _rewrite(instance, record.id, index, leaf(now))
    await guard.flush()
    await storage.close()
    return keys


def event_id(index: int) -> str:
    """Return the id of the event of one of the first entries of the log `main`."""
    return f"event-{PAST}-{index - 1}"


def false_origin(name: str) -> str:
    """Return the origin of a log with false leaves."""
    return f"log.example.com/{name}"


async def _extend(
    storage: SqliteStorage, log: int, leaves: Sequence[bytes], now: int
) -> None:
    async with storage.transaction() as transaction:
        head = await transaction.lock(log)
        first = await transaction.leaves(log, 0, head.size)
        edge = RightEdge.empty().grow([leaf_hash(each) for each in first]).edge
        growth = edge.grow([leaf_hash(each) for each in leaves])
        recorded = now + len(leaves)
        new = Head(growth.edge.size, growth.root, _events(leaves), 1, recorded)
        entries = [
            NewEntry(index, leaf, None, None, None)
            for index, leaf in enumerate(leaves, head.size)
        ]
        await transaction.extend(Extension(log, new, entries, growth.tiles))
        await transaction.commit()


def _events(leaves: Sequence[bytes]) -> int:
    # What the server counts from for the next entry; false where a leaf is no entry.
    return sum(b'"kind":"event"' in each for each in leaves)


def _rewrite(instance: Instance, log: int, index: int, leaf: bytes) -> None:
    """Change a leaf as an administrator of the database can, who knows the triggers."""
    connection = apsw.Connection(str(instance.database))
    triggers = list(
        connection.execute(
            "SELECT name, sql FROM sqlite_master"
            " WHERE type = 'trigger' AND tbl_name = 'entries'"
        )
    )
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(
        "UPDATE entries SET leaf = ? WHERE log = ? AND idx = ?", (leaf, log, index)
    )
    for _, text in triggers:
        connection.execute(text)
    connection.close()
