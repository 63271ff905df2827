"""A real `provlog-server serve` in a process of its own, on free ports."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Self

from provlog.merkle.trust import Trust
from provlog.server.errors import ConfigurationError
from provlog.server.keyring import Keyring
from support.leaks import METRICS, OUTPUT, WATCH

COMMAND = [sys.executable, "-m", "provlog.server.cli"]


def environment() -> dict[str, str]:
    """Return this process's environment without what would configure provlog."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PROVLOG_")
    }


def run_server_command(
    *arguments: str | Path, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command `provlog-server` to its end, whatever that is.

    `variables` are added to its environment.
    """
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=environment() | dict(variables or {}),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    WATCH.note_tokens(done.stdout)  # which shows those it makes, once
    WATCH.saw(OUTPUT, f"provlog-server {arguments[0]}", done.stderr)
    return done


def provlog_server(
    *arguments: str | Path, variables: Mapping[str, str] | None = None
) -> str:
    """Run a management command, which has to succeed; return what it printed."""
    done = run_server_command(*arguments, variables=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Server:
    """An instance's folder and, while it runs, the process that serves it.

    `listen` may be fixed so that a later start takes the same port; `wrapper` is a
    command that runs the server, and has to leave it the process's own number;
    `variables` are added to its environment.
    """

    folder: Path
    guard: Path
    origin: str
    log_key: str
    tokens: dict[str, str]
    options: Sequence[str] = ()
    listen: str = "127.0.0.1:0"
    wrapper: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    metrics_url: str = ""
    metrics_urls: Sequence[str] = ()
    process: "subprocess.Popen[str] | None" = field(default=None, repr=False)
    _errors: IO[str] | None = field(default=None, repr=False)

    @classmethod
    def init(
        cls, base: Path, *options: str, variables: Mapping[str, str] | None = None
    ) -> Self:
        """Initialise an instance below `base`; by default any source may be written.

        `variables` are added to the environment then, and whenever it is served.
        """
        folder, guard = base / "data", base / "guard"
        chosen = options or ("--dev", "--source", "*")
        arguments = ["--dir", str(folder), "--guard", str(guard), "--json", *chosen]
        printed = provlog_server("init", *arguments, variables=variables)
        answer = json.loads(printed)
        known = (answer["origin"], answer["log_key"], answer["tokens"])
        return cls(folder, guard, *known, variables=variables or {})

    def another(self) -> "Server":
        """Return a further server of the same logs, which is not started."""
        return replace(
            self, url="", metrics_url="", process=None, _errors=None, wrapper=()
        )

    @property
    def trust(self) -> Trust:
        """Trust in the log's key."""
        return Trust.from_log_key(self.log_key)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    def start(self) -> Self:
        """Start serving and return once it listens."""
        self.spawn()
        self.await_start()
        return self

    def spawn(self) -> None:
        """Start the process, and do not wait for it to listen."""
        arguments = ["--dir", self.folder, "--json", "--listen", self.listen]
        arguments += ["--metrics", "127.0.0.1:0", *self.options]
        # Into a file: a pipe that nobody reads would hold up a server with much to say.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  read at its end
        self.process = subprocess.Popen(
            [*self.wrapper, *COMMAND, "serve", *map(str, arguments)],
            env=environment() | dict(self.variables),
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def await_start(self, seconds: float = 30.0) -> None:
        """Return once it listens; `RuntimeError` with its last words if it does not."""
        assert self.process is not None
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = selector.select(seconds) and self.process.stdout.readline()
        if not line:
            code, errors = self.stop(signal.SIGKILL)
            raise RuntimeError(f"the server did not start ({code}): {errors}")
        WATCH.saw(OUTPUT, "serve", str(line))
        announced = json.loads(line)
        self.url, self.metrics_url = announced["url"], announced["metrics_url"]
        self.metrics_urls = announced["metrics_urls"]

    def stop(
        self, number: signal.Signals = signal.SIGTERM, seconds: float = 30.0
    ) -> tuple[int, str]:
        """Send a signal, wait for the end, and return exit code and error output."""
        assert self.process is not None
        if number != signal.SIGKILL:  # which is to come when it comes
            self._show_metrics()
        self.process.send_signal(number)
        return self.await_end(seconds)

    def await_end(self, seconds: float = 30.0) -> tuple[int, str]:
        """Wait for the process to end and return exit code and error output.

        One that does not end in time is killed (`subprocess.TimeoutExpired`).
        """
        process, errors = self.process, self._errors
        assert process is not None
        assert errors is not None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            # A wrapper may live on, and hold the pipe open.
            printed = "" if self.wrapper else process.stdout.read()
            process.stdout.close()
            self.process = self._errors = None
            errors.seek(0)
            text = errors.read()
            errors.close()
            self._show_output(printed + text)
        return code, text

    def __enter__(self) -> Self:
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill it if it runs: after a test, however that went."""
        if self.process is not None:
            self._show_metrics()
            self.stop(signal.SIGKILL)

    def metrics_page(self, seconds: float = 10.0) -> str:
        """Return the text of its metrics."""
        url = f"{self.metrics_url}/metrics"
        with urllib.request.urlopen(url, timeout=seconds) as page:
            text: str = page.read().decode()
        return text

    def _show_metrics(self) -> None:
        """Let its metrics be searched, if it serves any; it may be stuck or dead."""
        if self.metrics_url:
            with contextlib.suppress(OSError):
                WATCH.saw(METRICS, "serve", self.metrics_page(2.0))

    def _show_output(self, text: str) -> None:
        """Let what it printed be searched, for its own secrets too."""
        with contextlib.suppress(ConfigurationError):  # a test may damage them
            for folder in (self.folder / "keys").glob("*"):
                Keyring(folder.parent).load(folder.name)
        WATCH.saw(OUTPUT, "serve", text)

    def metrics(self) -> dict[str, float]:
        """Return the samples of its metrics by name and labels."""
        lines = self.metrics_page().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}
