"""Finds and ends the processes of PostgreSQL clusters; also a program that does so.

Run as a program it waits until its standard input ends, which it does when the process
that started it ends, however that comes; then it ends every cluster below a folder and
removes the folder. It imports nothing of the tests, so that it starts at once.

A cluster's `cluster_name` is its folder, so that each of its processes shows the folder
in its command line: the postmaster in its arguments, its children in their title.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

_IPC_RMID = 0


def processes_below(folder: Path) -> list[int]:
    """Return the processes of the clusters in or below a folder; zombies are gone."""
    place = re.escape(str(folder).encode())
    shown = re.compile(rb"(postgres: |[^\0]+\0-D\0)" + place + rb"[:/]")
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if shown.match(path.read_bytes()):
                found.append(int(path.parent.name))
    return found


def signal_below(folder: Path, number: signal.Signals) -> int:
    """Send a signal to every process of the clusters there; return how many."""
    found = processes_below(folder)
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
    return len(found)


def kill_below(folder: Path) -> None:
    """Kill all processes of the clusters there, and return once there are none.

    All are stopped before the first dies, as when the power fails: nobody reacts to
    another's death. Again and again, because one may have been forked meanwhile.
    """
    signal_below(folder, signal.SIGSTOP)
    while signal_below(folder, signal.SIGKILL):
        time.sleep(0.002)


def remove(folder: Path) -> None:
    """Kill what runs in or below a folder, and remove it and what it held in memory."""
    kill_below(folder)
    for path in folder.rglob("postmaster.pid"):
        # Left by one that was killed; the next start would have released its segment.
        lines = path.read_text().splitlines()
        if len(lines) > 6 and len(numbers := lines[6].split()) == 2:
            ctypes.CDLL(None).shmctl(int(numbers[1]), _IPC_RMID, None)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.read()
    remove(Path(sys.argv[1]))
