"""The command `provlog` as a process with settings and a memory of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.servers import Server, environment

COMMAND = [sys.executable, "-m", "provlog.client"]


class Commands:
    """Runs `provlog` as one user of a server would; `folder` is that user's home."""

    def __init__(self, server: Server, folder: Path, role: str = "submitter") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.state = folder / "state"
        self.environment = {
            **environment(),
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PROVLOG_URL": server.url,
            "PROVLOG_LOG_KEY": server.log_key,
            "PROVLOG_TOKEN": server.tokens[role],
            "PROVLOG_STATE": str(self.state),
            "PROVLOG_PATIENCE": "2",
        }

    def run(
        self, *arguments: str | Path, **settings: str
    ) -> "subprocess.CompletedProcess[str]":
        """Return how the command ended; `settings` replace parts of its environment."""
        with self.start(*arguments, **settings) as process:
            out, err = process.communicate(timeout=60)
            return subprocess.CompletedProcess(
                process.args, process.returncode, out, err
            )

    def start(self, *arguments: str | Path, **settings: str) -> "subprocess.Popen[str]":
        """Start the command and do not wait for it."""
        return _start([*COMMAND, *map(str, arguments)], self.environment | settings)

    def lines(self, *arguments: str | Path, **settings: str) -> list[dict[str, Any]]:
        """Return the JSON that the command printed, which has to succeed."""
        done = self.run(*arguments, "--json", **settings)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]


def verify_alone(
    log_key: str, *arguments: str | Path
) -> "subprocess.CompletedProcess[str]":
    """Run `provlog verify` with a log key, and without what could use a network."""
    program = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(['provlog.server', 'aiohttp', '_socket'])\n"
        "from provlog.client.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, "verify", *map(str, arguments)]
    with _start(command, {**environment(), "PROVLOG_LOG_KEY": log_key}) as process:
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def _start(command: list[str], variables: Mapping[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
