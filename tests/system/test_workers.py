"""`serve --workers`: one address, several processes, and what they say and count."""

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.crowds import event
from support.observers import BATCH, Observer, bearer
from support.servers import Server, run_server_command
from support.workers import await_that, is_alive, workers_of


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Server:
    made = Server.init(tmp_path_factory.mktemp("workers"))
    made.options = ("--workers", "2", "--log-format", "json")
    return made


@pytest.fixture
def server(instance: Server) -> Iterator[Server]:
    made = replace(instance)
    yield made
    made.end()


def test_one_that_is_killed_is_replaced_and_nobody_is_refused(server: Server) -> None:
    server.listen = "[::1]:0"
    server.start()
    assert server.url.startswith("http://[::1]:")
    observer = Observer(server)
    first, second = workers_of(server)
    for number, victim in enumerate((first, second)):
        os.kill(victim, signal.SIGKILL)
        # Both may be dead at times; who comes then waits, and is answered.
        ids = [f"e{number}-{each}" for each in range(5)]
        observer.see_batch(ids, _submit(server, ids))
    await_that(lambda: _serving(server) == 2, "both workers serve again")
    assert {first, second}.isdisjoint(workers_of(server))
    code, errors = server.stop()
    assert code == 0
    lines = [json.loads(line) for line in errors.splitlines()]
    ended = [line["message"] for line in lines if "ended" in line["message"]]
    assert [line.split(";")[0] for line in ended] == [
        "worker 0 ended (signal 9)",
        "worker 1 ended (signal 9)",
    ]


def test_each_hears_signals_and_counts_for_itself_and_one_checks_what_is_stored(
    server: Server,
) -> None:
    server.start()
    assert server.process is not None
    server.process.send_signal(signal.SIGUSR1)
    await_that(
        lambda: _said(server).count("clock accepted") == 2, "two of them hear it"
    )
    assert len(set(server.metrics_urls)) == 2
    mark = 'provlog_selfcheck_position{log="main"}'
    await_that(lambda: mark in server.metrics_page(), "the self-check of worker 0")
    # A replacement begins it anew, on the same address.
    os.kill(workers_of(server)[0], signal.SIGKILL)
    await_that(lambda: len(workers_of(server)) == 2, "another worker 0")
    await_that(lambda: mark in server.metrics_page(), "the self-check of another one")
    _, second = server.metrics_urls
    server.metrics_url = second
    samples = server.metrics()
    assert mark not in samples
    assert samples["provlog_worker"] == 1
    code, errors = server.stop(signal.SIGHUP)
    assert code == 0
    lines = [json.loads(line) for line in errors.splitlines()]
    accepted = [each for each in lines if each["message"].startswith("clock accepted")]
    assert {each["worker"] for each in accepted} == {0, 1}


def test_without_their_supervisor_workers_end_and_another_server_can_start(
    server: Server,
) -> None:
    server.start()
    workers = workers_of(server)
    server.listen = ":".join(map(str, server.address))
    assert server.process is not None
    server.process.kill()
    try:
        await_that(lambda: not any(map(is_alive, workers)), "the end of both workers")
    finally:
        for pid in filter(is_alive, workers):  # else they would hold its output open
            os.kill(pid, signal.SIGKILL)
        server.await_end()
    server.start()
    _submit(server, ["e1"])
    assert server.stop()[0] == 0


def test_what_is_wrong_is_one_line_and_an_exit_code(
    server: Server, tmp_path: Path
) -> None:
    common = ("serve", "--dir", server.folder, "--workers", "3", "--metrics", "off")
    done = run_server_command(
        *(*common, "--listen", "127.0.0.1:0"),
        *("--tls-cert", tmp_path / "no.pem", "--tls-key", tmp_path / "no.key"),
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_server_command(*common, "--listen", f"127.0.0.1:{port}")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr


def _submit(server: Server, ids: list[str]) -> bytes:
    request = urllib.request.Request(
        f"{server.url}/logs/main/events",
        data=json.dumps([event(each) for each in ids]).encode(),
        headers={**bearer(server, "submitter"), "Content-Type": BATCH},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read())


def _said(server: Server) -> str:
    """Return what it has written to its log so far."""
    assert server._errors is not None
    return os.pread(server._errors.fileno(), 1 << 20, 0).decode()


def _serving(server: Server) -> int:
    """Return how many workers answer on their own listeners."""
    found = 0
    for url in server.metrics_urls:
        with urllib.request.urlopen(f"{url}/metrics", timeout=20) as page:
            found += page.status == 200
    return found
