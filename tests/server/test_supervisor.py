"""Worker processes: when they start, what follows from their end, who hears what."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provlog.server.supervisor import MOST_ATTEMPTS
from support.workers import await_that, is_alive

TESTS = Path(__file__).parents[1]


class Supervised:
    """A supervisor with workers that do as they are told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def tell(self, *orders: str) -> None:
        """Say what each worker does when it starts."""
        for number, order in enumerate(orders):
            (self.folder / f"worker-{number}").write_text(order)

    def start(self, *orders: str) -> None:
        """Start it."""
        self.tell(*orders)
        program = [sys.executable, "-m", "support.supervised"]
        self.process = subprocess.Popen(
            [*program, str(self.folder), str(len(orders))],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_serving(self, *orders: str) -> None:
        """Start it and wait until all workers serve."""
        self.start(*orders)
        self.await_event("serving")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for its end; return the exit code and its log."""
        assert self.process is not None
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def events(self, *words: str) -> list[list[str]]:
        """Return what happened that begins with these words."""
        path = self.folder / "events"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [line.split() for line in lines]
        return [event for event in found if event[: len(words)] == [*words]]

    def pids(self, number: int) -> list[int]:
        """Return the processes that were worker `number`, one after the other."""
        return [int(event[2]) for event in self.events("start", str(number))]

    def await_event(self, *words: str, count: int = 1) -> None:
        """Wait until something has happened so often."""
        await_that(lambda: len(self.events(*words)) >= count, " ".join(words))


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.communicate()


def test_all_serve_before_it_is_said_once_and_all_end_before_it_does(
    supervised: Supervised,
) -> None:
    supervised.start_serving("serve", "serve", "serve")
    assert supervised.events("serving") == [["serving", "hello", "of", "0"]]
    assert len(supervised.events("start")) == 3
    supervised.send(signal.SIGTERM)
    assert supervised.end() == (0, "")
    happened = [event[0] for event in supervised.events()]
    assert happened.index("stopping") < happened.index("term")
    assert {event[1] for event in supervised.events("term")} == {"0", "1", "2"}
    assert not any(is_alive(supervised.pids(number)[0]) for number in range(3))
    assert len(supervised.events("serving")) == 1


def test_one_that_dies_is_replaced_and_nothing_is_said_anew(
    supervised: Supervised,
) -> None:
    supervised.start_serving("serve", "serve")
    for count in (2, 3):
        os.kill(supervised.pids(1)[-1], signal.SIGKILL)
        supervised.await_event("start", "1", count=count)
    os.kill(supervised.pids(0)[-1], signal.SIGTERM)  # an end in order is one as well
    supervised.await_event("start", "0", count=2)
    supervised.send(signal.SIGINT)
    code, errors = supervised.end()
    assert code == 0
    assert errors.count("worker 1 ended (signal 9)") == 2
    assert len(supervised.events("serving")) == 1


@pytest.mark.parametrize("code", [2, 3])
def test_what_keeps_the_first_from_starting_is_said_by_one(
    supervised: Supervised, code: int
) -> None:
    supervised.start(f"exit {code}", "serve", "serve")
    assert supervised.end() == (code, "")
    assert len(supervised.events("start")) == 1
    assert supervised.events("serving") == []


def test_a_further_one_that_cannot_start_ends_those_that_did(
    supervised: Supervised,
) -> None:
    supervised.start("serve", "exit 2", "serve")
    assert supervised.end() == (2, "")
    assert supervised.events("term") == [["term", "0"]]
    assert supervised.events("start", "2") == []


def test_while_others_serve_one_that_cannot_start_again_is_tried_and_then_it_ends(
    supervised: Supervised,
) -> None:
    supervised.start_serving("serve", "serve")
    supervised.tell("exit 2", "exit 2")
    os.kill(supervised.pids(0)[-1], signal.SIGKILL)
    supervised.await_event("start", "0", count=4)
    assert supervised.events("stopping") == []
    os.kill(supervised.pids(1)[-1], signal.SIGKILL)
    code, errors = supervised.end()
    assert code == 2
    assert errors.endswith("no other one serves: the server ends\n")


def test_one_that_is_killed_as_it_starts_is_tried_so_often_and_no_more(
    supervised: Supervised,
) -> None:
    supervised.start_serving("serve")
    supervised.tell("kill")
    os.kill(supervised.pids(0)[-1], signal.SIGKILL)
    code, _ = supervised.end()
    assert code == 3
    assert len(supervised.events("start")) == 1 + MOST_ATTEMPTS


def test_signals_reach_every_worker(supervised: Supervised) -> None:
    supervised.start_serving("serve", "serve")
    supervised.send(signal.SIGUSR1)
    supervised.await_event("usr1", "0")
    supervised.await_event("usr1", "1")
    supervised.send(signal.SIGHUP)
    assert supervised.end() == (0, "")


def test_workers_notice_that_their_supervisor_was_killed(
    supervised: Supervised,
) -> None:
    supervised.start_serving("serve", "serve")
    supervised.send(signal.SIGKILL)
    supervised.await_event("orphaned", "0")
    supervised.await_event("orphaned", "1")
    pids = supervised.pids(0) + supervised.pids(1)
    await_that(lambda: not any(map(is_alive, pids)), "the end of the workers")
