"""Servers and witnesses as processes: killed, dead, lying; one history all the same."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import aiohttp

from provlog.merkle.checkpoints import parse_checkpoint_text
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.merkle.witness_messages import AddCheckpoint, origin_hash
from provlog.server.witnessing.writing import Wanted, write_witnesses
from support.asking import until
from support.events import event_json
from support.fake_witnesses import FakeWitness, garbage, policy_of, serving
from support.observers import JSON, Observer, bearer
from support.servers import Server
from support.witnesses import WitnessProcess, serve_witness

TIMEOUT = aiohttp.ClientTimeout(total=10)
ROUNDS = 6


async def make_witness(folder: Path, name: str, log_key: str) -> WitnessProcess:
    """Return a witness that knows a log, started."""
    async with serve_witness(folder, log_key, name=name, ed25519_only=True) as made:
        vkeys = made.vkeys
    return await asyncio.to_thread(WitnessProcess(folder, name, vkeys).start)


def configure(server: Server, policy: bytes) -> None:
    path = server.folder / "given.policy"
    path.write_bytes(policy)
    place = server.folder / "witnesses"
    write_witnesses(place, "main", server.origin, Wanted(path, {"timeout": "2s"}))


def policy_for(witnesses: Sequence[WitnessProcess], quorum: int) -> bytes:
    names = [f"w{number}" for number in range(1, len(witnesses) + 1)]
    lines = [
        f"witness {name} {each.vkeys[0]} {each.url}"
        for name, each in zip(names, witnesses, strict=True)
    ]
    lines += [f"group q {quorum} {' '.join(names)}", "quorum q", ""]
    return "\n".join(lines).encode()


class Watcher:
    """Keeps every checkpoint that servers publish, and that witnesses show."""

    def __init__(
        self, servers: Sequence[Server], witnesses: Sequence[WitnessProcess]
    ) -> None:
        self.notes: set[bytes] = set()
        # The largest that a server has published: witnesses show theirs before that.
        self.published = 0
        # Sizes that a server published after a larger one, its own or the other's.
        self.back: list[tuple[int, int]] = []
        self._servers = servers
        self._witnesses = witnesses

    @asynccontextmanager
    async def watching(self, session: aiohttp.ClientSession) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch(session))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        while True:
            for server in self._servers:
                url = f"{server.url}/logs/main/checkpoint"
                note = await self._fetch(session, url, bearer(server, "monitor"))
                if note is not None:
                    size = int(note.split(b"\n")[1])
                    if size < self.published:
                        self.back.append((self.published, size))
                    self.published = max(self.published, size)
            for each in self._witnesses:
                place = origin_hash(self._servers[0].origin)
                await self._fetch(session, f"{each.url}/{place}/checkpoint", {})
            await asyncio.sleep(0.02)

    async def _fetch(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str]
    ) -> bytes | None:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(url, headers=headers) as answer:
                body = await answer.read()
                if answer.status == 200:
                    self.notes.add(body)
                    return body
        return None


async def submit(
    session: aiohttp.ClientSession, servers: Sequence[Server], name: str
) -> None:
    """Send an event until somebody acknowledges it."""
    body = json.dumps(event_json(id=name))
    for attempt in range(1000):
        server = servers[attempt % len(servers)]
        headers = {**bearer(server, "submitter"), "Content-Type": JSON}
        url = f"{server.url}/logs/main/events"
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(url, data=body, headers=headers) as answer:
                await answer.read()
                if answer.status in (200, 201):
                    return
        await asyncio.sleep(0.05)
    raise AssertionError("nobody took the event")


async def test_no_kill_ever_makes_two_cosigned_heads_conflict(tmp_path: Path) -> None:
    chance = random.Random(20)
    first = await asyncio.to_thread(Server.init, tmp_path)
    servers = [first, first.another()]
    made = (
        make_witness(tmp_path / f"w{n}", f"w{n}.example.com", first.log_key)
        for n in (1, 2, 3)
    )
    witnesses = await asyncio.gather(*made)
    policy = policy_for(witnesses, 2)
    configure(first, policy)
    plain = f"log {first.log_key}\n".encode() + policy
    trust = Trust.from_policy(plain, first.origin)
    watcher, observer, sent = Watcher(servers, witnesses), Observer(first), 0
    try:
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in servers))
        for server in servers:
            # The same address each time, so that everybody finds it again.
            server.listen = server.url.partition("://")[2]
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            async with watcher.watching(session):
                for number in range(ROUNDS):
                    # A server every other time: it has the most to lose.
                    turn: Sequence[Server | WitnessProcess]
                    turn = [*servers] if number % 2 else [*witnesses]
                    victim = chance.choice(turn)
                    work = [
                        asyncio.create_task(submit(session, servers, f"{number}-{n}"))
                        for n in range(4)
                    ]
                    sent += len(work)
                    await asyncio.sleep(chance.uniform(0.0, 0.2))
                    if isinstance(victim, Server):
                        victim.end()
                        await asyncio.to_thread(victim.start)
                    else:
                        await asyncio.to_thread(victim.restart)
                    await asyncio.gather(*work)
                await until(lambda: watcher.published > sent, 30)
            assert watcher.back == []
            # All that anybody was shown is of the one tree that the leaves make.
            cosigned = 0
            for note in watcher.notes:
                cosigned += len(verify_checkpoint(note, lenient(trust)).cosignatures)
                observer.see_note(note)
            assert cosigned >= len(watcher.notes) >= ROUNDS / 2
            assert (await observer.follow(session)).checkpoint.size > sent
    finally:
        for server in servers:
            server.end()
        for each in witnesses:
            if each.process is not None:
                each.kill()


def metrics_of(server: Server, worker: int) -> dict[str, float]:
    """Return the metrics of one of a server's workers."""
    return replace(server, metrics_url=server.metrics_urls[worker]).metrics()


def lenient(trust: Trust) -> Trust:
    """Return trust in what a single witness has cosigned."""
    assert trust.policy is not None
    text = "\n".join(
        f"witness {each.name} {each.key.vkey()}" for each in trust.policy.witnesses
    )
    log = trust.log_keys[0].vkey()
    return Trust.from_policy(f"log {log}\n{text}\nquorum none\n", trust.origin)


async def test_one_dead_and_one_lying_witness_of_three_do_not_stop_publication(
    tmp_path: Path,
) -> None:
    """The liar does cosign, when it is asked again: two of three suffice.

    With a witness that never does and a dead one no quorum of two could be.
    """
    server = await asyncio.to_thread(Server.init, tmp_path)
    server.options = ("--workers", "2")
    honest = await make_witness(tmp_path / "w1", "w1.example.com", server.log_key)
    keys = server.trust.log_keys
    liar, dead = FakeWitness("w2", keys), FakeWitness("w3", keys)
    lies = 0

    async def sometimes(self: FakeWitness, asked: AddCheckpoint, text: str) -> object:
        nonlocal lies
        if asked.old_size == self.size and self.size:
            lies += 1
            if lies % 2:
                return await garbage(self, asked, text)
        return self.honest(asked, text, parse_checkpoint_text(text))

    liar.lie = sometimes  # type: ignore[assignment]
    async with serving(liar):
        dead.url = "http://127.0.0.1:9"
        fakes = policy_of(liar, dead, quorum=2).decode()
        policy = f"witness w1 {honest.vkeys[0]} {honest.url}\n" + fakes.replace(
            "group q 2 ", "group q 2 w1 "
        )
        configure(server, policy.encode())
        plain = f"log {server.log_key}\n{policy}"
        trust = Trust.from_policy(plain, server.origin)
        try:
            await asyncio.to_thread(server.start)
            async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
                observer = Observer(server)
                for number in range(3):
                    await submit(session, [server], f"event-{number}")
                    url = f"{server.url}/logs/main/checkpoint?newer_than={number + 1}"
                    headers = bearer(server, "monitor")
                    size = 0
                    while size < number + 2:
                        async with session.get(url, headers=headers) as answer:
                            assert answer.status == 200
                            signed = verify_checkpoint(await answer.read(), trust)
                            size = signed.checkpoint.size
                    names = {each.witness for each in signed.cosignatures}
                    assert names == {"w1", "w2"}
                    observer.see_note(signed.note)
            # Of the two workers one asks; both serve what it published.
            pages = [await asyncio.to_thread(metrics_of, server, n) for n in (0, 1)]
            figures = pages[0] | pages[1]
            answers = "provlog_witness_answers_total"
            for name, outcome in (("w2", "wrong"), ("w3", "unreachable")):
                sample = f'{answers}{{log="main",outcome="{outcome}",witness="{name}"}}'
                assert figures[sample] > 0
            assert sum(any(each.startswith(answers) for each in p) for p in pages) == 1
            reached = 'provlog_witnessed_size{log="main"}'
            while any(
                page[reached] < 4 for page in pages
            ):  # a look each quarter second
                pages = [await asyncio.to_thread(metrics_of, server, n) for n in (0, 1)]
            _, said = await asyncio.to_thread(server.stop)
            assert "'w2'" in said
            assert "'w3'" in said
            assert "'w1'" not in said
        finally:
            server.end()
            honest.kill()
