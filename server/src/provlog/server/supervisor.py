"""Worker processes that are started, replaced when they die, and stopped together.

The supervisor is the parent: it does nothing but wait, has no thread and no event loop,
and forks. So a worker needs no second import, runs the very code that its siblings run
even where the files have been replaced meanwhile, and inherits what the parent has
bound: a socket that listens stays open while a worker is replaced, and nobody is
refused.

Two pipes tie them together. Through one a worker says that it serves. The other is
never written to: only the parent holds its end, so it ends with the parent, whatever
killed that, and the workers stop.
"""

import contextlib
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from provlog.server.errors import describe

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 30.0
SETTLED_SECONDS: Final = 10.0
"""A worker that served for so long has shown that it can: failures are forgotten."""
MOST_ATTEMPTS: Final = 6
"""How often in a row a worker may be killed as it starts, while no other serves."""
UNAVAILABLE: Final = 3
"""The exit code where no worker left one of its own."""

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PASSED_ON: Final = (signal.SIGUSR1,)
_MINE: Final = (*STOPPING, *PASSED_ON, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker knows of its place: its number from 0, and the pipes' ends."""

    number: int
    parent: int
    _ready: int

    def announce(self, message: bytes) -> None:
        """Tell the supervisor that this worker serves. To be called once."""
        # A supervisor that is gone hears nothing, and `parent` says that it is gone.
        with contextlib.suppress(BrokenPipeError), os.fdopen(self._ready, "wb") as pipe:
            pipe.write(message + b"\n")


@dataclass(slots=True, eq=False)
class _Seat:
    """One worker's place; `pid` is None while nobody has it."""

    number: int
    pid: int | None = None
    pipe: int | None = None
    heard: bytearray = field(default_factory=bytearray)
    serves: bool = False
    begun: float = 0.0
    failures: int = 0
    due: float = 0.0


class Supervisor:
    """Keeps `count` workers alive until it is told to stop.

    `work` is what a worker does, in its own process; it returns the exit code, having
    said what went wrong. `serving` is called once, when all of them serve, with what
    the first one announced; `stopping` once, before they are told to stop: what the
    parent holds open for them has to be closed then.

    One worker starts at a time, so what keeps all of them from starting is said by one.
    A worker that ends is replaced, after a pause that doubles where it ends again and
    again. Where one cannot start the others go on; the whole ends, with the worker's
    exit code, where it is the first start or no other one serves.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[Worker], int],
        serving: Callable[[bytes], None],
        stopping: Callable[[], None],
    ) -> None:
        self._seats = [_Seat(number) for number in range(count)]
        self._work = work
        self._serving: Callable[[bytes], None] | None = serving
        self._let_go = stopping
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._code = 0
        self._alive, self._watched = os.pipe()

    def run(self) -> int:
        """Return the exit code, once every worker has ended."""
        with _signals() as told:
            self._selector.register(told, selectors.EVENT_READ)
            while not (self._stopping and self._pids() == []):
                pause = self._start_next()
                for key, _ in self._selector.select(pause):
                    if isinstance(key.data, _Seat):
                        self._hear(key.data)
                    else:
                        self._heed(os.read(told, 4096))
                self._reap()
        self._selector.close()
        return self._code

    def _pids(self) -> list[int]:
        return [seat.pid for seat in self._seats if seat.pid is not None]

    def _start_next(self) -> float | None:
        """Start the worker whose turn it is; return how long there is nothing to do."""
        starting = any(seat.pid and not seat.serves for seat in self._seats)
        empty = [seat for seat in self._seats if seat.pid is None]
        if self._stopping or starting or not empty:
            return None
        seat = min(empty, key=lambda each: each.due)
        pause = seat.due - time.monotonic()
        if pause > 0:
            return pause
        try:
            self._start(seat)
        except OSError as error:
            logger.error("no process can be started: %s", error.strerror)
            self._ended(seat, UNAVAILABLE, served=False)
        return 0

    def _start(self, seat: _Seat) -> None:
        hear, tell = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        # No signal in between: the child must not take one for its parent, nor the
        # parent one before it knows whom to pass it on to.
        signal.pthread_sigmask(signal.SIG_BLOCK, _MINE)
        try:
            pid = os.fork()
            if pid == 0:
                os.close(hear)
                self._become(Worker(seat.number, self._alive, tell))
            seat.pid, seat.pipe, seat.begun = pid, hear, time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _MINE)
            os.close(tell)
        self._selector.register(hear, selectors.EVENT_READ, seat)

    def _become(self, worker: Worker) -> None:
        """Work as a worker, in the child; never returns into the parent's frames."""
        code = UNAVAILABLE
        try:
            os.close(self._watched)
            for seat in self._seats:
                if seat.pipe is not None:
                    os.close(seat.pipe)
            self._selector.close()
            _forget_signals()
            code = self._work(worker)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException as error:
            logger.critical("worker %d: %s", worker.number, describe(error))
        finally:
            os._exit(code)

    def _hear(self, seat: _Seat) -> None:
        """Read what a worker says; the pipe ends when it has said it, or with it."""
        assert seat.pipe is not None  # noqa: S101  it is registered
        part = os.read(seat.pipe, 65_536)
        seat.heard += part
        if part:
            return
        self._hang_up(seat)
        # Less than a whole line are the last words of one that died.
        seat.serves = seat.heard.endswith(b"\n")
        if self._serving is not None and all(each.serves for each in self._seats):
            self._serving(bytes(self._seats[0].heard))
            self._serving = None

    def _hang_up(self, seat: _Seat) -> None:
        if seat.pipe is not None:
            self._selector.unregister(seat.pipe)
            os.close(seat.pipe)
            seat.pipe = None

    def _heed(self, numbers: bytes) -> None:
        """Do what signals ask for."""
        for number in numbers:
            if number in PASSED_ON:
                self._tell(number)
            elif number in STOPPING:
                self._stop(0)

    def _tell(self, number: int) -> None:
        # None of them was reaped yet, so no number can be somebody else's.
        for pid in self._pids():
            os.kill(pid, number)

    def _stop(self, code: int) -> None:
        """Let every worker finish what it has, and start no other one."""
        self._code = self._code or code
        if not self._stopping:
            self._stopping = True
            self._let_go()
        self._tell(signal.SIGTERM)

    def _reap(self) -> None:
        """Notice who has ended."""
        for seat in self._seats:
            if seat.pid is None:
                continue
            pid, status = os.waitpid(seat.pid, os.WNOHANG)
            if pid:
                served = seat.serves
                self._hang_up(seat)
                seat.pid, seat.serves = None, False
                seat.heard.clear()
                self._ended(seat, os.waitstatus_to_exitcode(status), served=served)

    def _ended(self, seat: _Seat, code: int, *, served: bool) -> None:
        """Decide what follows from the end of a worker."""
        if self._stopping:
            # One that did not serve yet had nothing to finish.
            self._code = self._code or (_as_exit_code(code) if served else 0)
            return
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        if self._must_give_up(seat, code, served=served):
            if code < 0 or self._serving is None:
                logger.error(
                    "worker %d cannot start (%s), and no other one serves: the server"
                    " ends",
                    *(seat.number, what),
                )
            self._stop(_as_exit_code(code) or UNAVAILABLE)
            return
        now = time.monotonic()
        if served and (code == 0 or now - seat.begun > SETTLED_SECONDS):
            seat.failures = 0
        pause = min(FIRST_PAUSE * 2**seat.failures, LONGEST_PAUSE) * (code != 0)
        seat.failures += 1
        seat.due = now + pause
        logger.log(
            logging.ERROR if code else logging.INFO,
            "worker %d ended (%s); another one starts in %.1f s",
            *(seat.number, what, pause),
        )

    def _must_give_up(self, seat: _Seat, code: int, *, served: bool) -> bool:
        if served:
            return False
        if self._serving is not None:
            return True
        alone = not any(each.serves for each in self._seats)
        return alone and (code >= 0 or seat.failures >= MOST_ATTEMPTS)


def _as_exit_code(code: int) -> int:
    """Return the supervisor's own exit code for a worker's, of a signal 3."""
    return UNAVAILABLE if code < 0 else code


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Have signals written to a pipe, and yield the end to read them from."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    before = {number: signal.signal(number, _note) for number in _MINE}
    woken = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)


def _note(*_: object) -> None:
    """Nothing: that there is a handler has the number written to the pipe."""


def _forget_signals() -> None:
    """Have signals mean in a worker what they mean in any process of its kind."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Until the worker listens to it; a clock it has not looked at needs no accepting.
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _MINE)
