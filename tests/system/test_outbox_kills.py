"""An outbox and its log are killed at random moments: each event is logged once.

Real processes, SIGKILL, a seed that is printed. The events have no ids of their own:
were one put or sent twice under two ids, nothing but this test would notice.
"""

import asyncio
import json
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from provlog.client import AsyncClient, Outbox, VolatileMemory
from provlog.client.outbox.views import read_receipts
from provlog.merkle.receipts import VerifiedReceipt, verify_receipt
from support.servers import Server, environment

KILLS = 30
SOURCE = "urn:hr:acme"

# Puts events until it is killed, and says of each that it was put.
PROGRAM = """
import itertools, sys, time
from provlog.client import FileMemory, Outbox, Trust

path, url, key, token, state, name = sys.argv[1:]
outbox = Outbox(
    path, url, Trust.from_log_key(key), token=token, memory=FileMemory(state)
)
with outbox:
    for number in itertools.count():
        target = f"{name}-{number}"
        data = {"target": {"id": target, "type": "user"}}
        event = {"source": "urn:hr:acme", "type": "account.lock", "data": data}
        if number % 5:
            outbox.put(event)
        else:
            outbox.put_many([event])
        print(target, flush=True)
        time.sleep(0.004)
"""


class Rig:
    """The server, the outbox's process, and what it said it had put."""

    def __init__(self, server: Server, folder: Path, chance: random.Random) -> None:
        self.server = server
        self.path = folder / "outbox"
        self._folder = folder
        self._chance = chance
        self.said: list[str] = []
        self.server_kills = 0

    def live_and_die(self, life: int) -> None:
        """Run the outbox until a moment of chance."""
        said = self._folder / f"said-{life}"
        with said.open("w") as file:
            process = self._spawn(str(life), file.fileno())
        if self._chance.random() < 0.9:
            self._await_words(said, process)
            time.sleep(self._chance.uniform(0, 0.3))
        else:
            time.sleep(self._chance.uniform(0, 0.6))  # while it starts
        if self._chance.random() < 0.4:
            self._kill_server()
            time.sleep(self._chance.uniform(0, 0.2))
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
        self.said += said.read_text().split()

    def _spawn(self, life: str, output: int) -> "subprocess.Popen[bytes]":
        server = self.server
        arguments = [server.url, server.log_key, server.tokens["submitter"]]
        state = str(self._folder / "state")
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self.path), *arguments, state, life],
            env=environment(),
            stdout=output,
        )

    def _await_words(self, said: Path, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + 60
        while not said.stat().st_size:
            assert process.poll() is None, "the outbox ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _kill_server(self) -> None:
        if self.server.process is not None:
            self.server.stop(signal.SIGKILL)
            self.server_kills += 1
        # The next lives may meet no log, or one that is about to start.
        if self._chance.random() < 0.7:
            self.server.start()

    def drain(self) -> None:
        """Let an outbox that puts nothing send all that is left."""
        if self.server.process is None:
            self.server.start()
        token = self.server.tokens["submitter"]
        url, trust = self.server.url, self.server.trust
        with Outbox(
            self.path, url, trust, token=token, memory=VolatileMemory()
        ) as outbox:
            outbox.flush(60)
            assert outbox.failed() == []


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")
    server = Server.init(tmp_path / "log").start()
    server.listen = "{}:{}".format(*server.address)
    try:
        yield Rig(server, tmp_path, random.Random(seed))
    finally:
        server.end()


def test_killed_thirty_times_each_event_is_in_the_log_exactly_once(rig: Rig) -> None:
    for life in range(KILLS):
        rig.live_and_die(life)
    rig.drain()
    logged = asyncio.run(read_log(rig.server))
    targets = Counter(logged.values())
    assert [each for each, count in targets.items() if count != 1] == []
    said = set(rig.said)
    assert len(said) == len(rig.said) > KILLS
    assert said - targets.keys() == set(), "put, and not in the log"
    # A put that was killed before it could say so may be in it: one for each life.
    assert len(targets.keys() - said) <= KILLS
    require_receipts(rig, logged)
    print(f"{len(targets)} events, {rig.server_kills} kills of the server")


async def read_log(server: Server) -> dict[int, str]:
    """Return the target of each event in the log by its index, seen by an auditor."""
    token = server.tokens["auditor"]
    found: dict[int, str] = {}
    async with AsyncClient(
        server.url, server.trust, token=token, memory=VolatileMemory()
    ) as client:
        size = (await client.checkpoint()).checkpoint.size
        for start in range(0, size, 50):
            part = range(start, min(start + 50, size))
            for receipt in await asyncio.gather(*map(client.entry, part)):
                verified = receipt.verified
                if verified.entry.kind == "event":
                    assert verified.entry.body["source"] == SOURCE
                    found[receipt.index] = target_of(verified)
    return found


def target_of(verified: VerifiedReceipt) -> str:
    target = verified.disclosures["target"].value
    assert isinstance(target, dict)
    return str(target["id"])


def require_receipts(rig: Rig, logged: dict[int, str]) -> None:
    """Assert that the outbox keeps a receipt of each event, and that it verifies."""
    outbox = Outbox(rig.path)
    kept = {}
    for receipt in read_receipts(outbox.spool):
        verified = verify_receipt(receipt.data, rig.server.trust)
        kept[verified.index] = target_of(verified)
        assert json.loads(receipt.data)["index"] == receipt.index
    status = outbox.status()
    outbox.close()
    assert kept == logged
    assert (status.waiting, status.failed) == (0, 0)
    assert status.sent == status.receipts == len(logged)
