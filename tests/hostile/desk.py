"""One user of a log, and how that one runs commands here.

Commands run in this process, since starting an interpreter for each would take most of
the time; what they print, and their exit codes, are those of `provlog`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from hostile.liar import HONEST, Liar, Telltale
from hostile.worlds import WITNESS
from provlog.client import Client, FileMemory, comparing_places
from provlog.client.cli import cli
from provlog.client.fetching import LogReader
from provlog.client.outbox import sender
from provlog.client.reading import Reader
from provlog.merkle.trust import Trust

PATIENT: Final = 20.0
HURRIED: Final = 0.2
"""How long a tool waits for one answer here, in seconds; that is never waited for
where there is one."""
FINE: Final = 0
CAUGHT: Final = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tool ended: the exit code of the command, or what stands for it."""

    code: int
    text: str


class Desk:
    """One user: where the log is said to be, what is believed of it, and a memory."""

    def __init__(self, liar: Liar, folder: Path, seen: bytes | None) -> None:
        self.liar = liar
        self.folder = folder
        self.state = folder / "state"
        self.log_key = liar.world.log_keys[liar.lie.log]
        folder.mkdir(parents=True)
        if seen is not None:
            memory = FileMemory(self.state)
            memory.replace(liar.world.origin, self.log_key, None, seen)
        if liar.lie.taught:
            self._learn()

    def _learn(self) -> None:
        """Hear the truth once: head, keys and end of the log are then remembered."""
        lie, self.liar.lie = self.liar.lie, replace(self.liar.lie, tell=HONEST.tell)
        assert self.command("monitor", "--once", role="monitor").code == FINE
        self.liar.lie = lie

    @property
    def policy(self) -> str:
        """The log, and one witness without whom nothing of it is believed."""
        witness = f"witness w1 {WITNESS.key.vkey()}"
        return f"log {self.log_key}\n{witness}\nquorum w1\n"

    @property
    def trust(self) -> Trust:
        """What the user believes in."""
        if self.liar.lie.cosigned:
            return Trust.from_policy(self.policy)
        return Trust.from_log_key(self.log_key)

    @property
    def evidence(self) -> list[Path]:
        """The files that are to convict the log."""
        return sorted((self.state / "evidence").glob("*.inconsistency.json"))

    def command(self, name: str, *arguments: str | Path, role: str = "") -> Outcome:
        """Return how a command of `provlog` ended."""
        trusted = ["--log-key", self.log_key]
        if self.liar.lie.cosigned:
            path = self.folder / "policy"
            path.write_text(self.policy)
            trusted = ["--policy", str(path)]
        asked = []
        if role:
            asked = ["--url", self.liar.url, "--log", self.liar.lie.log]
            asked += ["--token", self.liar.world.tokens[role]]
            asked += ["--patience", "0"]
        line = [*name.split(), *map(str, arguments), *trusted, *asked]
        # `verify` knows by it which keys the log has announced.
        done = CliRunner(env={"PROVLOG_STATE": str(self.state)}).invoke(cli, line)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Outcome(done.exit_code, done.output)

    def client(self) -> dict[str, Any]:
        """Return how `AsyncClient` and `Outbox` are made for a submitter."""
        lie, world = self.liar.lie, self.liar.world
        return {
            "url": self.liar.url,
            "trust": self.trust,
            "log": lie.log,
            "token": world.tokens["submitter"],
            "memory": FileMemory(self.state),
            "timeout": HURRIED if lie.hurried else PATIENT,
        }


@contextmanager
def waiting(lie: Telltale) -> Iterator[None]:
    """Let all tools wait for an answer as the lie asks for, and hardly try again."""
    seconds = HURRIED if lie.hurried else PATIENT
    with pytest.MonkeyPatch.context() as patch:
        for each in (Reader, Client):
            defaults = each.__init__.__kwdefaults__
            assert defaults is not None
            patch.setitem(defaults, "timeout", seconds)
        patch.setattr(LogReader.__init__, "__defaults__", (seconds,))
        patch.setattr(comparing_places, "_ATTEMPT_SECONDS", seconds)
        patch.setattr(sender, "FIRST_PAUSE", 0.01)
        patch.setattr(sender, "POLL_SECONDS", 0.02)
        patch.setattr("provlog.client.outbox.box.PATIENCE", 0.0)
        yield
