"""The monitor of the product, watching one server's log while it is broken."""

import json
import signal
import subprocess
from pathlib import Path
from typing import IO

from support.commands import COMMAND, Commands
from support.servers import Server


class Watchman:
    """`provlog monitor` in a process of its own, with a memory of its own.

    It is never told that a server dies: it finds it unreachable, and has to find the
    same log grown, or nothing new, when it is back.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self._commands = Commands(server, folder, "monitor")
        self._out: IO[str] = (folder / "said").open("a+")
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*COMMAND, "monitor", "--json", "--pause", "0.1"],
            env=self._commands.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def relieve(self) -> None:
        """Let another one go on, who knows what this one remembers."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def require_calm(self) -> None:
        """Raise `AssertionError` where it ended: it saw something it may not see."""
        code = self._process.poll()
        assert code is None, f"the monitor ended with {code}: {self._said()[-2000:]}"

    def dismiss(self) -> int:
        """End it, and return how often it saw the log grow; then it has to be calm."""
        self.require_calm()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(20)
        lines = self._said().splitlines()
        self._out.close()
        # One that was just relieved may not listen to signals yet.
        assert code in (0, -signal.SIGTERM), f"it ended with {code}: {lines[-5:]}"
        events = [json.loads(line)["event"] for line in lines]
        assert set(events) <= {"grown", "unchanged", "unreachable"}, set(events)
        return events.count("grown")

    def kill(self) -> None:
        """End it, whatever it says."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._out.close()

    def _said(self) -> str:
        self._out.seek(0)
        return self._out.read()
