"""What there is to know of the worker processes of a server, from outside."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from support.servers import Server


def workers_of(server: Server) -> list[int]:
    """Return the process ids of a running server's workers, oldest first."""
    assert server.process is not None
    pid = server.process.pid
    return [
        int(each)
        for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


def is_alive(pid: int) -> bool:
    """Tell whether there is such a process, and it has not ended."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state not in "ZX"


def await_that(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Return once a condition holds; fail with `what` did not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
