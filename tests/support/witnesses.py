"""Real witnesses: `provlog-server witness` as a process, and one within the test."""

import json
import selectors
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from click.testing import CliRunner

from provlog.merkle.keys import VerifierKey
from provlog.server.cli import commands
from provlog.server.cli.bound import listen_on
from provlog.server.cli.sites import serve_plain
from provlog.server.cli.witness_serving import open_witness
from provlog.server.clock import Clock
from provlog.server.metrics import Metrics
from provlog.server.witness.cosigning import Witness
from provlog.server.witness.keys import FOLDER, KeyFolder
from provlog.server.witness.roll import add_log
from provlog.server.witness.schema import create_database
from provlog.server.witness.serving import create_witness_app, create_witness_runner
from provlog.server.witness.store import DATABASE
from support.leaks import OUTPUT, WATCH
from support.servers import COMMAND, environment

NAME = "witness.example.com/w1"


def note_keys(folder: Path) -> None:
    """Take a witness's keys for secrets that nothing may show."""
    for path in (folder / FOLDER).iterdir():
        WATCH.note_text(f"key {path.name}", path.read_text().strip().split("+", 4)[4])


def witness_command(*arguments: str, code: int = 0) -> str:
    """Run `provlog-server witness`, which has to end with `code`; return its output.

    In this process: a new one takes a second to load what it needs.
    """
    done = CliRunner().invoke(commands, ["witness", *arguments])
    assert done.exit_code == code, (done.output, done.exception)
    WATCH.saw(OUTPUT, "witness", done.output)
    return done.stdout


@dataclass
class WitnessProcess:
    """A witness's folder and, while it runs, the process that serves it.

    `listen` may be fixed so that a later start takes the same port; after the first
    start it is, unless a test sets it anew.
    """

    folder: Path
    name: str
    vkeys: Sequence[str]
    options: Sequence[str] = ()
    listen: str = "127.0.0.1:0"
    url: str = ""
    metrics_url: str = ""
    process: "subprocess.Popen[str] | None" = field(default=None, repr=False)
    _errors: IO[str] | None = field(default=None, repr=False)

    @classmethod
    def init(cls, folder: Path, name: str = NAME, *options: str) -> Self:
        """Make a witness in a folder that is not there yet; it is not started.

        `options` are those of `witness init`, such as `--ed25519-only`.
        """
        where = ("--dir", str(folder), "--name", name, "--json")
        made = json.loads(witness_command("init", *where, *options))
        note_keys(folder)
        return cls(folder, name, made["generations"][0]["vkeys"])

    @property
    def keys(self) -> list[VerifierKey]:
        """The verifier keys that it was made with."""
        return [VerifierKey.parse(each) for each in self.vkeys]

    def add_log(self, vkey: str, *options: str) -> None:
        """Have it know a log, at once if it runs; `options` as of `witness log add`."""
        self.command("log", "add", *options, vkey)

    def command(self, group: str, name: str, *arguments: str) -> str:
        """Run a command on its folder; return what it printed."""
        where = ("--dir", str(self.folder))
        return witness_command(group, name, *where, *arguments)

    def start(self) -> Self:
        """Start it and return once it listens."""
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  read at its end
        arguments = ["--dir", str(self.folder), "--json", "--listen", self.listen]
        arguments += ["--metrics", "127.0.0.1:0", *self.options]
        self.process = subprocess.Popen(
            [*COMMAND, "witness", "serve", *arguments],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = selector.select(30) and self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"it did not start: {self.stop(signal.SIGKILL)}")
        said = json.loads(str(line))
        self.url, self.metrics_url = said["url"], said["metrics_url"]
        self.vkeys = said["vkeys"]
        self.listen = self.url.partition("://")[2]
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it; return its exit code and what it said."""
        assert self.process is not None
        assert self.process.stdout is not None
        assert self._errors is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process.stdout.close()
        self._errors.seek(0)
        text = self._errors.read()
        self._errors.close()
        self.process = None
        note_keys(self.folder)
        WATCH.saw(OUTPUT, "witness serve", text)
        return code, text

    def kill(self) -> None:
        """End it as a power failure ends it."""
        self.stop(signal.SIGKILL)

    def restart(self) -> Self:
        """Kill it if it runs, and start it again on the same port."""
        if self.process is not None:
            self.kill()
        return self.start()

    def __enter__(self) -> Self:
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()


@dataclass(frozen=True, slots=True)
class ServedWitness:
    """A witness within the test's own event loop, and where it is reached."""

    folder: Path
    url: str
    witness: Witness
    metrics: Metrics

    @property
    def vkeys(self) -> list[str]:
        """The verifier keys that sign."""
        return self.witness.vkeys()

    @property
    def keys(self) -> list[VerifierKey]:
        """The same, parsed."""
        return [VerifierKey.parse(each) for each in self.vkeys]

    def add_log(
        self, vkey: str, origin: str | None = None, rate: int | None = None
    ) -> None:
        """Have it know a log, from the next request on."""
        add_log(self.witness.store, vkey, origin, rate, "")


def make_witness(folder: Path, name: str = NAME, *, ed25519_only: bool = False) -> None:
    """Make a witness in a folder, without a process."""
    folder.mkdir(mode=0o700)
    KeyFolder(folder).create(name, ed25519_only=ed25519_only)
    create_database(folder / DATABASE)
    note_keys(folder)


@asynccontextmanager
async def serve_witness(
    folder: Path,
    *vkeys: str,
    name: str = NAME,
    ed25519_only: bool = False,
    lists: Sequence[Path] = (),
    clock: Clock | None = None,
) -> AsyncIterator[ServedWitness]:
    """Serve a witness that knows logs by these keys, on a free port of the loopback.

    It is made in the folder if there is none. Logs whose origin is not their key's name
    are added with `add_log`.
    """
    if not (folder / DATABASE).exists():
        make_witness(folder, name, ed25519_only=ed25519_only)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        witness = open_witness(folder, tuple(lists), metrics, clock)
        stack.push_async_callback(witness.close)
        app = create_witness_app(witness, metrics)
        runner = create_witness_runner(app, metrics, shutdown_timeout=1.0)
        bound = await listen_on(("127.0.0.1", 0))
        url = await serve_plain(stack, runner, bound)
        served = ServedWitness(folder, url, witness, metrics)
        for each in vkeys:
            served.add_log(each)
        yield served
