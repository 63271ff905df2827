"""An outbox in a process of its own, which lives until it is killed.

Its events have no ids of their own: were one put or sent twice under two ids, nobody
would notice but `Lives.require_each_once`, which knows each by its target.
"""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from provlog.client import AsyncClient, Outbox, VolatileMemory
from provlog.client.outbox.views import read_receipts
from provlog.merkle.encoding import JsonValue
from provlog.merkle.receipts import VerifiedReceipt, verify_receipt
from support.observers import LostError
from support.outboxes import SOURCE, until
from support.servers import Server, environment

# Puts events until it is killed, and says of each that it was put.
PROGRAM = f"""
import itertools, sys, time
from provlog.client import FileMemory, Outbox, Trust

path, url, key, token, state, name = sys.argv[1:]
trust, memory = Trust.from_log_key(key), FileMemory(state)
outbox = Outbox(path, url, trust, token=token, memory=memory, numbered=True)
with outbox:
    for number in itertools.count():
        target = f"{{name}}-{{number}}"
        data = {{"target": {{"id": target, "type": "user"}}}}
        event = {{"source": {SOURCE!r}, "type": "account.lock", "data": data}}
        if number % 5:
            outbox.put(event)
        else:
            outbox.put_many([event])
        print(target, flush=True)
        time.sleep(0.004)
"""

_AT_ONCE = 50


class Lives:
    """One outbox after another on one file, and what they said they had put."""

    def __init__(self, server: Server, folder: Path, chance: random.Random) -> None:
        self.server = server
        self.path = folder / "outbox"
        self.said: list[str] = []
        self.count = 0
        self._folder = folder
        self._chance = chance
        self._process: subprocess.Popen[bytes] | None = None
        # Targets by index, of as many entries as were read: they never change.
        self._logged: dict[int, str] = {}
        self._numbers: list[JsonValue] = []
        self._size = 0

    def begin(self) -> None:
        """Start one; mostly wait until it has put something, and a moment of chance."""
        said = self._saying
        server, state = self.server, str(self._folder / "outbox-state")
        arguments = [server.url, server.log_key, server.tokens["submitter"], state]
        with said.open("w") as file:
            self._process = process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, self.path, *arguments, str(self.count)],
                env=environment(),
                stdout=file,
            )
        if self._chance.random() < 0.9:
            until(lambda: said.stat().st_size or process.poll() is not None, 60)
            assert process.poll() is None, "the outbox ended by itself"
            time.sleep(self._chance.uniform(0, 0.3))
        else:
            time.sleep(self._chance.uniform(0, 0.6))  # while it starts

    def kill(self) -> bool:
        """Kill it; return whether it was alive until then."""
        process, self._process = self._process, None
        if process is None:
            return False
        process.kill()
        code = process.wait(30)
        self.said += self._saying.read_text().split()
        self.count += 1
        return code == -signal.SIGKILL

    def drain(self) -> None:
        """Let an outbox that puts nothing send all that is left."""
        token = self.server.tokens["submitter"]
        url, trust = self.server.url, self.server.trust
        with Outbox(
            self.path, url, trust, token=token, memory=VolatileMemory()
        ) as outbox:
            outbox.flush(60)
            assert outbox.failed() == []

    def require_each_once(self) -> int:
        """Raise unless each event is in the log once, in order, and has its receipt.

        Returns how many there are. All that was put has to have been sent.
        """
        asyncio.run(self._read_on())
        targets = Counter(self._logged.values())
        assert [each for each, count in targets.items() if count != 1] == []
        said = set(self.said)
        assert len(said) == len(self.said)
        if said - targets.keys():
            raise LostError(sorted(said - targets.keys()), "put, and not in the log")
        # One that was killed before it could say so may have put one more.
        assert len(targets.keys() - said) <= self.count
        # The outbox numbered them as they were put: none is missing, and all in order.
        assert self._numbers == [*range(1, len(targets) + 1)]
        self._require_receipts()
        return len(targets)

    def _require_receipts(self) -> None:
        outbox = Outbox(self.path)
        kept = {}
        for receipt in read_receipts(outbox.spool):
            verified = verify_receipt(receipt.data, self.server.trust)
            assert verified.index == receipt.index
            kept[verified.index] = _target(verified)
        status = outbox.status()
        outbox.close()
        assert kept == self._logged
        assert (status.waiting, status.failed) == (0, 0)
        assert status.sent == status.receipts == len(kept)

    async def _read_on(self) -> None:
        """Read the entries that came since the last time, as an auditor sees them."""
        server, token = self.server, self.server.tokens["auditor"]
        async with AsyncClient(
            server.url, server.trust, token=token, memory=VolatileMemory()
        ) as client:
            size = (await client.checkpoint()).checkpoint.size
            for start in range(self._size, size, _AT_ONCE):
                part = range(start, min(start + _AT_ONCE, size))
                for receipt in await asyncio.gather(*map(client.entry, part)):
                    entry = receipt.verified.entry
                    if entry.kind == "event" and entry.body["source"] == SOURCE:
                        self._logged[receipt.index] = _target(receipt.verified)
                        self._numbers.append(entry.body.get("seq"))
            self._size = size

    @property
    def _saying(self) -> Path:
        return self._folder / f"said-{self.count}"


def _target(verified: VerifiedReceipt) -> str:
    target = verified.disclosures["target"].value
    assert isinstance(target, dict)
    return str(target["id"])
