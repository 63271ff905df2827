"""How a server ends, what does not end it, and what keeps it from starting."""

import asyncio
import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest

from support.crowds import TIMEOUT, Crowd
from support.observers import Observer, bearer
from support.servers import COMMAND, Server, environment

BOUND = 5.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server.init(tmp_path) as running:
        yield running


async def test_sigterm_answers_everything_that_was_taken(server: Server) -> None:
    crowd = Crowd(server)
    for _ in range(3):
        async with crowd.busy():
            await asyncio.sleep(0.3)
            begun = time.monotonic()
            code, errors = await asyncio.to_thread(server.stop)
            assert time.monotonic() - begun < BOUND, "a long-poll held it up"
        # What it refuses meanwhile it says, as warnings.
        assert (code, " ERROR " in errors, " CRITICAL " in errors) == (0, False, False)
        crowd.judge()
        # 503 says that it is stopping, and a connection that is closed or refused that
        # it has stopped. Either way, nothing of the request is in the log.
        assert set(crowd.refusals) <= {"the server is stopping"}
        await asyncio.to_thread(server.start)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            await crowd.observer.follow(session)
            assert await crowd.settle(session) == 0, "logged, and not answered"
    assert crowd.observer.acknowledged


def test_sigusr1_accepts_the_clock_and_does_not_stop_it(server: Server) -> None:
    assert server.process is not None
    for _ in range(3):
        server.process.send_signal(signal.SIGUSR1)
        assert _is_ready(server)
    code, errors = server.stop(signal.SIGTERM)
    assert code == 0
    assert errors.count("clock accepted; it had moved by ") == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_and_a_closed_terminal_stop_it_in_order(
    server: Server, number: signal.Signals
) -> None:
    assert server.stop(number) == (0, "")


def test_a_long_poll_is_answered_when_it_stops(server: Server) -> None:
    request = urllib.request.Request(
        f"{server.url}/logs/main/checkpoint?newer_than=1000&timeout=50",
        headers=bearer(server, "monitor"),
    )
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_read, request)
        time.sleep(0.5)
        assert not waiting.done()
        begun = time.monotonic()
        assert server.stop() == (0, "")
        assert time.monotonic() - begun < BOUND
        Observer(server).see_note(waiting.result(timeout=1))


def _read(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def test_an_address_that_is_taken_is_one_line_and_exit_code_3(server: Server) -> None:
    host, port = server.address
    done = subprocess.run(
        [
            *(*COMMAND, "serve", "--dir", str(server.folder), "--metrics", "off"),
            *("--listen", f"{host}:{port}"),
        ],
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert f"{host}:{port}" in done.stderr or str(port) in done.stderr
    assert _is_ready(server)


def _is_ready(server: Server) -> bool:
    with urllib.request.urlopen(f"{server.url}/readyz", timeout=5) as answer:
        return bool(json.load(answer)["ready"])
