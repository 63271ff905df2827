"""strace, which shows a server's system calls, makes them fail, or ends it in one."""

import itertools
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.servers import Server

JOURNAL, DATABASE, SHARED = "provlog.db-wal", "provlog.db", "provlog.db-shm"
FOLDER = "."
GUARD, LOCK = "*.json", "*.lock"

# -D: the server stays our child and has a process number that we know.
_STRACE = ("strace", "-D", "-f", "-qq", "-o")
_CALL = re.compile(r'(\d+) +([a-z][a-z0-9_]*)\([^"<]*(?:"|\d<)([^">]+)[">]')
_INJECTED = "(INJECTED)"


@dataclass(frozen=True, order=True)
class Fault:
    """What happens to which calls on which file. `when` counts those of one thread."""

    call: str
    file: str
    when: str

    def __str__(self) -> str:
        return f"{self.call}-{self.file.strip('*.')}-{self.when}"

    def wrapper(self, server: Server, trace: Path, happens: str) -> list[str]:
        """Return the command that runs the server so that it happens."""
        inject = f"{self.call}:{happens}:when={self.when}"
        return [
            *(*_STRACE, str(trace), "-P", str(_path(server, self.file))),
            *("-e", f"trace={self.call}", "-e", f"inject={inject}"),
        ]


def tracer(server: Server, trace: Path, files: Sequence[str]) -> list[str]:
    """Return the command that runs the server and writes down all calls on files."""
    paths = [("-P", str(_path(server, file))) for file in files]
    return [*_STRACE, str(trace), "-y", *itertools.chain.from_iterable(paths)]


def calls_in(trace: Path, server: Server, files: Sequence[str]) -> dict[Fault, int]:
    """Return which calls were made on which file, and how often by one thread at most.

    Of each fault `when` says that the first call is meant.
    """
    names = {str(_path(server, file)): file for file in files}
    counts: Counter[tuple[str, str, str]] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if match is not None and match[3] in names:
            counts[match[1], match[2], names[match[3]]] += 1
    most: dict[Fault, int] = {}
    for (_, call, file), count in counts.items():
        fault = Fault(call, file, "1")
        most[fault] = max(most.get(fault, 0), count)
    return most


def injected_in(trace: Path) -> int:
    """Return how often what was to happen did."""
    return trace.read_text(errors="replace").count(_INJECTED)


@cache
def strace_works(folder: Path) -> bool:
    """Tell whether strace may trace here, and knows injection and paths."""
    trace = folder / "probe"
    inject = ["-P", "/", "-e", "inject=fdatasync:error=EIO:when=1000"]
    true = shutil.which("true") or "true"
    done = subprocess.run(
        [*_STRACE, str(trace), *inject, true],
        capture_output=True,
        check=False,
        timeout=10,
    )
    return done.returncode == 0


def _path(server: Server, file: str) -> Path:
    if not file.startswith("*"):
        return server.folder / file
    [path] = server.guard.glob(file)
    return path
