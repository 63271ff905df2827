"""A real server whose edge is pressed: thousands of idle connections, TLS, proxies."""

import contextlib
import json
import socket
import ssl
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from provlog.client import Client, Trust, VolatileMemory
from support.edges import Pair
from support.servers import Server, environment

CROWD = 10_000
FILES = CROWD + 1_000
"""Descriptors that the server and the crowd need each."""

_IDLERS = """
import resource, socket, sys
port, count, strict = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
clients = []
for number in range(count):
    client = socket.socket()
    # An address has some 28,000 ports: several of them leave room for others.
    client.bind((f"127.0.0.{2 + number % 4}", 0))
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    clients.append(client)
for client in clients:
    try:
        assert b'"ok"' in client.recv(4096) or not strict
    except ConnectionResetError:
        assert not strict
print("there", flush=True)
sys.stdin.readline()
open_ones = 0
for client in clients:
    client.setblocking(False)
    try:
        client.recv(1)
    except BlockingIOError:
        open_ones += 1
    except ConnectionResetError:
        pass
print(open_ones, flush=True)
sys.stdin.readline()
"""


class Idlers:
    """Clients in a process of their own that connect and say nothing."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def left(self) -> int:
        """Return how many of them the server has not closed."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    @classmethod
    @contextlib.contextmanager
    def connected(
        cls, server: Server, count: int, all_answered: bool = True
    ) -> "Iterator[Idlers]":
        """Yield once all have connected and asked, and the server answered or closed.

        Where `all_answered`, no connection may be closed meanwhile.
        """
        arguments = server.address[1], count, all_answered
        process = subprocess.Popen(
            [sys.executable, "-c", _IDLERS, *map(str, arguments)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            idlers = cls(process)
            assert idlers._line() == "there"
            yield idlers
        finally:
            process.kill()
            process.communicate()


def resident(server: Server) -> int:
    """Return the bytes of memory that a server's process takes."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [line] = [each for each in status.splitlines() if each.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def submit(server: Server, prefix: str, count: int = 20) -> float:
    """Submit events on a fresh connection, verified; return the median seconds."""
    spent = []
    trust = Trust.from_log_key(server.log_key)
    token, memory = server.tokens["submitter"], VolatileMemory()
    with Client(server.url, trust, token=token, memory=memory) as log:
        for number in range(count):
            event = {"id": f"{prefix}-{number}", "source": "urn:x", "type": "a.b"}
            begun = time.perf_counter()
            log.submit(event)
            spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server.init(tmp_path)
    yield made
    made.end()


@pytest.mark.needs(f"files:{FILES}")
def test_ten_thousand_idle_connections_do_not_stop_the_service(
    server: Server,
) -> None:
    server.start()
    alone, before = submit(server, "alone"), resident(server)
    with Idlers.connected(server, CROWD) as idlers:
        crowded = submit(server, "crowded")
        _await_metric(server, 'provlog_connections{listener="api"}', CROWD)
        memory = (resident(server) - before) / CROWD
        assert idlers.left() == CROWD
        assert server.stop() == (0, "")
    print(
        f"{memory:.0f} bytes for each idle connection; median to submit:"
        f" {alone * 1e3:.2f} ms alone, {crowded * 1e3:.2f} ms beside them"
    )


def _await_metric(server: Server, name: str, least: float) -> None:
    deadline = time.monotonic() + 10
    while (found := server.metrics()[name]) < least:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_idle_connections_give_way_at_the_cap(server: Server) -> None:
    server.options = ["--connections", "50"]
    server.start()
    with Idlers.connected(server, 300, all_answered=False) as idlers:
        submit(server, "crowded", 5)
        assert 0 < idlers.left() < 50
        metrics = server.metrics()
        assert metrics['provlog_connections_dropped_total{reason="room"}'] >= 250
        assert 'provlog_connections_dropped_total{reason="full"}' not in metrics
        assert server.stop() == (0, "")


def _ask(server: Server, trust: ssl.SSLContext | None = None) -> bytes:
    with urllib.request.urlopen(
        f"{server.url}/openapi.json", timeout=5, context=trust
    ) as answer:
        return bytes(answer.read())


def test_a_certificate_is_served_with_and_renewed(
    server: Server, tmp_path: Path
) -> None:
    pair, url = Pair.make(tmp_path), "https://log.example.com/x"
    server.options = ["--tls-cert", str(pair.chain), "--tls-key", str(pair.key)]
    server.options += ["--public-url", url]
    server.start()
    assert server.url.startswith("https://127.0.0.1:")
    trust = pair.trust()
    assert json.loads(_ask(server, trust))["servers"] == [{"url": url}]
    # Plain HTTP gets nothing, and harms nobody.
    with socket.create_connection(server.address, timeout=5) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP" not in plain.recv(4096)
    expires = 'provlog_tls_certificate_expiry_timestamp_seconds{listener="api"}'
    assert 0 < server.metrics()[expires] - time.time() < 2 * 86_400
    pair.replace_with(Pair.make(tmp_path, "renewed", days=9))
    renewed, deadline = pair.trust(), time.monotonic() + 10
    while True:
        try:
            _ask(server, renewed)
            break
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the old certificate is served"
            time.sleep(0.05)
    _await_metric(server, expires, time.time() + 8 * 86_400)
    code, errors = server.stop()
    assert code == 0
    assert errors.count("was renewed, and is in use") == 1


def test_a_url_in_the_environment_is_announced(server: Server) -> None:
    server.wrapper = ["env", "PROVLOG_PUBLIC_URL=https://log.example.com"]
    server.options = ["--listen", "0.0.0.0:0", "--trusted-proxy", "192.0.2.7"]
    # Beyond this machine only that proxy is served, and this machine itself.
    server.start()
    server.url = f"http://127.0.0.1:{server.address[1]}"
    servers = json.loads(_ask(server))["servers"]
    assert servers == [{"url": "https://log.example.com"}]
    assert server.stop() == (0, "")
