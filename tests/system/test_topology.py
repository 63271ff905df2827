"""What compose.yaml starts, as plain processes: PostgreSQL, two servers and nginx.

One after the other is killed and started again while submitters are at work. What they
were acknowledged is there, once each, and each of them got every receipt in the end.
"""

import dataclasses
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.deploying import DEPLOY
from support.edges import Pair
from support.nginx import Nginx
from support.postgres import Cluster
from support.servers import Server, environment

pytestmark = pytest.mark.needs("postgres", "program:nginx")

# In a process of its own, which trusts the certificate from its start on. A line for
# each receipt; it stops when its standard input ends.
_SUBMITTERS = """
import asyncio, sys, threading
from provlog.client import AsyncClient, Trust, VolatileMemory

async def main(url, key, token, people):
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(daemon=True, target=lambda: (
        sys.stdin.read(), loop.call_soon_threadsafe(stopping.set))).start()
    async with AsyncClient(
        url, Trust.from_log_key(key), token=token, memory=VolatileMemory(),
        timeout=20, patience=60,
    ) as log:
        async def submit(who):
            number = 0
            while not stopping.is_set():
                name = f"{who}-{number}"
                event = {"id": name, "source": "urn:x", "type": "a.b"}
                receipt = await log.submit(event)
                print(name, receipt.index, flush=True)
                number += 1
                await asyncio.sleep(0.01)
        await asyncio.gather(*(submit(who) for who in range(int(people))))

asyncio.run(main(*sys.argv[1:]))
"""
SUBMITTERS = 4


class Load:
    """Submitters at work, and the receipts they have so far."""

    def __init__(self, process: "subprocess.Popen[str]", receipts: Path) -> None:
        self._process = process
        self._receipts = receipts

    def receipts(self) -> dict[str, int]:
        """Return the index of each event that was acknowledged."""
        whole, _, _ = self._receipts.read_text().rpartition("\n")
        pairs = [line.split() for line in whole.splitlines()]
        found = {name: int(index) for name, index in pairs}
        assert len(found) == len(pairs)
        return found

    def go_on(self, count: int = 12) -> None:
        """Return once each submitter has had some receipts more than now."""
        wanted = dict.fromkeys(range(SUBMITTERS), count)
        before = self._by_submitter()
        deadline = time.monotonic() + 60
        while any(
            self._by_submitter()[who] < before[who] + more
            for who, more in wanted.items()
        ):
            assert self._process.poll() is None, "submitters gave up"
            assert time.monotonic() < deadline, "submitters are not served"
            time.sleep(0.05)

    def _by_submitter(self) -> list[int]:
        names = [name.partition("-")[0] for name in self.receipts()]
        return [names.count(str(who)) for who in range(SUBMITTERS)]


@contextmanager
def submitting(url: str, server: Server, pair: Pair, folder: Path) -> Iterator[Load]:
    """Let submitters work until the context is left; each has to get every receipt."""
    receipts, errors = folder / "receipts", folder / "submitters"
    arguments = url, server.log_key, server.tokens["submitter"], SUBMITTERS
    with receipts.open("w") as out, errors.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-c", _SUBMITTERS, *map(str, arguments)],
            env={**environment(), "SSL_CERT_FILE": str(pair.chain)},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=told,
            text=True,
        )
    try:
        yield Load(process, receipts)
        process.communicate(timeout=90)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors.read_text()) == (0, "")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster.create(tcp=True) as made:
        yield made


@pytest.fixture
def owner(cluster: Cluster, tmp_path: Path) -> str:
    """Return the URL of a database as `deploy/postgres/roles.sql` makes it."""
    script = (DEPLOY / "postgres" / "roles.sql").read_text()
    for role in ("owner", "server"):
        (tmp_path / f"db_{role}_password").write_text(f"password-of-{role}\n")
    assert "/run/secrets/" in script
    cluster.execute(script.replace("/run/secrets/", f"{tmp_path}/"))
    return cluster.dsn("provlog", "provlog_owner")


@pytest.fixture
def servers(owner: str, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Yield two servers of one database, one set of keys and one guard, which run."""
    database = ["--database", owner, "--grant-to", "provlog_server"]
    first = Server.init(tmp_path, "--dev", "--source", "*", *database)
    first.options = ["--trusted-proxy", "127.0.0.1"]
    second = dataclasses.replace(first, options=[*first.options, "--selfcheck", "0"])
    try:
        for server in (first, second):
            server.spawn()
        for server in (first, second):
            server.await_start()
            # To be found there again by nginx.
            server.listen = "{}:{}".format(*server.address)
        yield first, second
    finally:
        first.end()
        second.end()


def test_one_of_each_is_stopped_and_nothing_is_lost(
    cluster: Cluster, servers: tuple[Server, Server], tmp_path: Path
) -> None:
    (first, second), pair = servers, Pair.make(tmp_path, "proxy")
    nginx = Nginx(tmp_path / "nginx", (first.listen, second.listen), pair)
    with nginx, submitting(nginx.url, first, pair, tmp_path) as load:
        load.go_on()
        first.stop(signal.SIGKILL)
        load.go_on()
        first.start()
        load.go_on()
        second.stop(signal.SIGKILL)
        load.go_on()
        cluster.kill()
        time.sleep(0.2)
        cluster.start()
        load.go_on()
        nginx.stop()
        nginx.start()
        load.go_on()
    receipts = load.receipts()
    # No index twice, and none of them beyond what there is; the database itself knows
    # each event once, in the entry its submitter was told of.
    assert len(set(receipts.values())) == len(receipts) > 100
    size = cluster.execute("SELECT size FROM provlog.heads", "provlog")
    count = "SELECT count(*), max(idx), count(DISTINCT idx) FROM provlog.entries"
    stored = cluster.execute(count, "provlog")
    assert stored == f"{size}|{int(size) - 1}|{size}"
    assert find_again(first, receipts) == receipts
    assert logged_requests(nginx) > len(receipts)
    # The role that serves sees whether standbys are behind.
    assert first.metrics()["provlog_database_standbys"] == 0


def find_again(server: Server, receipts: dict[str, int]) -> dict[str, int]:
    """Return the entries of the same events, submitted once more: it makes none."""
    names = [*receipts]
    found: dict[str, int] = {}
    for start in range(0, len(names), 1_000):
        part = names[start : start + 1_000]
        request = urllib.request.Request(
            f"{server.url}/logs/main/events?receipts=none",
            json.dumps([event(name) for name in part]).encode(),
            {
                "Authorization": f"Bearer {server.tokens['submitter']}",
                "Content-Type": "application/cloudevents-batch+json",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            results = json.load(answer)["results"]
        assert {result["status"] for result in results} == {200}
        found.update(zip(part, (each["index"] for each in results), strict=True))
    return found


def event(name: str) -> dict[str, str]:
    return {"specversion": "1.0", "id": name, "source": "urn:x", "type": "a.b"}


def logged_requests(nginx: Nginx) -> int:
    """Return how many requests nginx logged, each without what it was about."""
    lines = [json.loads(line) for line in nginx.access_log.read_text().splitlines()]
    assert {line["part"] for line in lines} <= {"events", "checkpoint", "proofs"}
    return len(lines)
