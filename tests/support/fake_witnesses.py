"""Witnesses in memory that a log asks, truthful ones and others."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.consistency import verify_consistency
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.errors import MerkleError
from provlog.merkle.keys import KeyType, VerifierKey
from provlog.merkle.notes import (
    SignatureLine,
    add_signatures,
    format_signature,
    open_note,
)
from provlog.merkle.witness_messages import (
    AddCheckpoint,
    origin_hash,
    parse_add_checkpoint,
)

Lie = Callable[["FakeWitness", AddCheckpoint, str], Awaitable[web.Response]]


@dataclass
class FakeWitness:
    """A witness of one log, with a key of each of `types`, that does what `lie` says.

    `size` and `note` are what it cosigned last; `asked` counts its answers by status,
    `notes` are all that it ever cosigned. It shows its newest one unless `hidden`.
    """

    name: str
    log_keys: Sequence[VerifierKey]
    types: Sequence[KeyType] = (KeyType.COSIGNATURE_ED25519,)
    lie: Lie | None = None
    hidden: bool = False
    size: int = 0
    root: bytes = b""
    note: bytes | None = None
    clock: Callable[[], float] = time.time
    asked: "Counter[int]" = field(default_factory=Counter)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    notes: list[bytes] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        seed = self.name.encode().ljust(32, b"\0")[:32]
        names = (f"witness.example/{self.name}",) * len(self.types)
        self.cosigners = [
            Cosigner(name, kind, bytes([kind]) + seed[1:])
            for name, kind in zip(names, self.types, strict=True)
        ]
        self._turn = asyncio.Lock()

    @property
    def vkeys(self) -> list[str]:
        """Its keys."""
        return [each.verifier().vkey() for each in self.cosigners]

    def lines(self, text: str, at: int | None = None) -> list[SignatureLine]:
        """Return its cosignatures on a text."""
        now = int(self.clock()) if at is None else at
        return [each.cosign(text, now) for each in self.cosigners]

    def app(self) -> web.Application:
        """Return what serves it."""
        app = web.Application()
        app.router.add_post("/add-checkpoint", self._add)
        app.router.add_get("/{origin}/checkpoint", self._show)
        return app

    async def _add(self, request: web.Request) -> web.Response:
        asked = parse_add_checkpoint(await request.read())
        try:
            opened = open_note(asked.checkpoint, self.log_keys)
        except MerkleError:
            self.asked[403] += 1
            return web.Response(status=403)
        point = parse_checkpoint_text(opened.text)
        self.sizes.append((asked.old_size, point.size))
        if self.lie is not None:
            answer = await self.lie(self, asked, opened.text)
        else:
            async with self._turn:
                answer = self.honest(asked, opened.text, point)
        self.asked[answer.status] += 1
        return answer

    def honest(
        self, asked: AddCheckpoint, text: str, point: Checkpoint
    ) -> web.Response:
        """Answer as the specification has it."""
        if asked.old_size != self.size:
            return web.Response(status=409, text=f"{self.size}\n")
        try:
            if self.size and point.size == self.size and point.root != self.root:
                return web.Response(status=422)
            if 0 < self.size < point.size:
                verify_consistency(
                    self.size, self.root, point.size, point.root, asked.proof
                )
        except MerkleError:
            return web.Response(status=422)
        self.take(asked.checkpoint, text, point)
        return answer(self.lines(text))

    def take(self, note: bytes, text: str, point: Checkpoint) -> None:
        """Remember a checkpoint as its newest, cosigned."""
        self.size, self.root = point.size, point.root
        self.note = add_signatures(note, self.lines(text))
        self.notes.append(self.note)

    async def _show(self, request: web.Request) -> web.Response:
        note = self.note
        if self.hidden or note is None:
            return web.Response(status=404)
        origin = note.partition(b"\n")[0].decode()
        if request.match_info["origin"] != origin_hash(origin):
            return web.Response(status=404)
        return web.Response(body=note, content_type="text/plain")


def answer(lines: Sequence[SignatureLine]) -> web.Response:
    """Return an answer of signature lines."""
    return web.Response(text="".join(f"{format_signature(*each)}\n" for each in lines))


def flipped(value: bytes) -> bytes:
    """Return a signature that is false."""
    return value[:-1] + bytes([value[-1] ^ 1])


async def wrong_signature(
    witness: FakeWitness, _: AddCheckpoint, text: str
) -> web.Response:
    lines = witness.lines(text)
    return answer([each._replace(value=flipped(each.value)) for each in lines])


async def other_root(witness: FakeWitness, _: AddCheckpoint, text: str) -> web.Response:
    """Cosign another tree of the same size."""
    point = parse_checkpoint_text(text)
    other = Checkpoint(point.origin, point.size, bytes(32)).text()
    return answer(witness.lines(other))


async def absurd_conflict(
    _: FakeWitness, asked: AddCheckpoint, __: str
) -> web.Response:
    """Name a size that is beyond all logs."""
    return web.Response(status=409, text=f"{2**62}\n")


async def echoed_conflict(
    _: FakeWitness, asked: AddCheckpoint, __: str
) -> web.Response:
    """Refuse the very size it was asked from."""
    return web.Response(status=409, text=f"{asked.old_size}\n")


async def garbage(_: FakeWitness, __: AddCheckpoint, ___: str) -> web.Response:
    return web.Response(body=b"\xff\xfe<html>\n")


async def nothing_of_its_own(
    _: FakeWitness, __: AddCheckpoint, text: str
) -> web.Response:
    """Cosign with a key that nobody knows."""
    stranger = Cosigner("stranger", KeyType.COSIGNATURE_ED25519, bytes(32))
    return answer([stranger.cosign(text, int(time.time()))])


async def timeless(witness: FakeWitness, _: AddCheckpoint, text: str) -> web.Response:
    return answer(witness.lines(text, 0))


async def from_the_past(
    witness: FakeWitness, _: AddCheckpoint, text: str
) -> web.Response:
    return answer(witness.lines(text, int(time.time()) - 3600))


async def redirecting(_: FakeWitness, __: AddCheckpoint, ___: str) -> web.Response:
    return web.Response(status=307, headers={"Location": "http://127.0.0.1:9/"})


async def endless(_: FakeWitness, __: AddCheckpoint, ___: str) -> web.Response:
    return web.Response(body=b"x" * (1 << 20))


async def unknowing(_: FakeWitness, __: AddCheckpoint, ___: str) -> web.Response:
    return web.Response(status=404)


async def silent(_: FakeWitness, __: AddCheckpoint, ___: str) -> web.Response:
    """Take longer than anybody waits."""
    await asyncio.sleep(60)
    return web.Response(status=500)


LIES: dict[str, Lie] = {
    "wrong signature": wrong_signature,
    "another root": other_root,
    "the size it was told": echoed_conflict,
    "garbage": garbage,
    "a stranger's key": nothing_of_its_own,
    "no time": timeless,
    "an old time": from_the_past,
    "a long answer": endless,
}


def policy_of(*witnesses: FakeWitness, quorum: int = 1, log: str = "") -> bytes:
    """Return a tlog-policy of witnesses that are served, `quorum` of them needed."""
    lines = [f"log {log}"] if log else []
    groups = []
    for each in witnesses:
        names = [each.name, *(f"{each.name}.{n}" for n in range(1, len(each.vkeys)))]
        for name, vkey in zip(names, each.vkeys, strict=True):
            lines.append(f"witness {name} {vkey} {each.url}")
        groups.append(names[0])
    lines += [f"group q {quorum} {' '.join(groups)}", "quorum q", ""]
    return "\n".join(lines).encode()


@asynccontextmanager
async def serving(*witnesses: FakeWitness) -> AsyncIterator[None]:
    """Serve witnesses on the loopback, in this event loop."""
    async with AsyncExitStack() as stack:
        for each in witnesses:
            server = TestServer(each.app(), shutdown_timeout=0.1)
            await stack.enter_async_context(server)
            each.url = str(server.make_url("")).rstrip("/")
        yield
