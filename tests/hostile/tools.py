"""Every tool that a log can lie to, run as its users run it, and what it says.

Commands run in this process, since starting an interpreter for each would take most of
the time; what they print, and their exit codes, are those of `provlog`.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from hostile.liar import HONEST, Liar, Telltale
from hostile.worlds import KNOWN, WITNESS, event_id
from provlog.client import AsyncClient, Client, FileMemory, Outbox, comparing_places
from provlog.client.cli import cli
from provlog.client.errors import ClientError, UnavailableError
from provlog.client.fetching import LogReader
from provlog.client.outbox import sender
from provlog.client.reading import Reader
from provlog.merkle.errors import MerkleError
from provlog.merkle.trust import Trust
from support.services import SOURCE

PATIENT: Final = 20.0
HURRIED: Final = 0.2
"""How long a tool waits for one answer here, in seconds; that is never waited for
where there is one."""
FINE: Final = 0
CAUGHT: Final = 1

_numbers = itertools.count(1)


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
        return sorted((self.state / "evidence").glob("*.json"))

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


def events(count: int) -> list[dict[str, Any]]:
    """Return the first events of a source that is new."""
    number = next(_numbers)
    return [
        {
            "specversion": "1.0",
            "id": f"lie-{place}",
            "source": f"urn:hr:{number}",
            "type": "role.assign",
            "time": "2026-11-21T17:53:55.516Z",
            "sequence": str(place),
            "data": {
                "actor": {"id": "00u1", "type": "user"},
                "target": {"id": f"00u{place}", "type": "user"},
            },
        }
        for place in range(1, count + 1)
    ]


def submit(desk: Desk) -> Outcome:
    """Submit two events with `provlog submit`, or two records of a provider."""
    if desk.liar.lie.records:
        return _submit_records(desk)
    path = desk.folder / "events.ndjson"
    path.write_text("".join(json.dumps(each) + "\n" for each in events(2)))
    return desk.command("submit", path, role="submitter")


def _submit_records(desk: Desk) -> Outcome:
    source = f"urn:okta:{next(_numbers)}"
    path = desk.folder / "records.ndjson"
    path.write_text("".join(json.dumps(each) + "\n" for each in records(2)))
    options = ["--format", "okta", "--source", source]
    return desk.command("submit", path, *options, role="submitter")


def records(count: int) -> list[dict[str, Any]]:
    """Return records as Okta's system log has them."""
    return [
        {
            "uuid": f"00000000-0000-0000-0000-{place:012}",
            "published": "2026-11-21T17:53:55.516Z",
            "eventType": "user.lifecycle.create",
            "outcome": {"result": "SUCCESS"},
            "actor": {"id": "00u1", "type": "User"},
            "target": [{"id": f"00u{place}", "type": "User"}],
            "debugContext": {"debugData": {"reason": "joiner"}},
        }
        for place in range(1, count + 1)
    ]


async def _submit_one(desk: Desk) -> None:
    async with AsyncClient(**desk.client(), patience=0.0) as client:
        await client.submit(events(1)[0])


def async_client(desk: Desk) -> Outcome:
    """Submit an event with `AsyncClient.submit`."""
    try:
        asyncio.run(_submit_one(desk))
    except MerkleError as error:
        return Outcome(CAUGHT, str(error))
    except ClientError as error:
        return Outcome(3 if isinstance(error, UnavailableError) else 2, str(error))
    return Outcome(FINE, "")


def outbox(desk: Desk) -> Outcome:
    """Put two events into an `Outbox`, and see them sent, or in trouble."""
    box = Outbox(desk.folder / "spool", **desk.client())
    box.start()
    try:
        box.put_many(events(2))
        trouble = _sent(box)
        failed = box.failed()
    except MerkleError as error:
        return Outcome(CAUGHT, str(error))
    finally:
        box.__exit__(Exception, Exception(), None)
    if trouble is not None:
        return Outcome(3, trouble)
    details = [each.failure.detail for each in failed if each.failure is not None]
    return Outcome(2 if failed else FINE, "; ".join(details))


def _sent(box: Outbox) -> str | None:
    """Return None once all is sent, or what keeps it from that."""
    deadline = time.monotonic() + PATIENT
    while time.monotonic() < deadline:
        with contextlib.suppress(UnavailableError):
            box.flush(0.05)
            return None
        trouble = box.status().trouble
        # One that has stopped raises at the next flush.
        if trouble is not None and not trouble.startswith("stopped: "):
            return trouble
    raise TimeoutError


def checkpoint(desk: Desk) -> Outcome:
    """Print the newest checkpoint."""
    return desk.command("checkpoint", role="monitor")


def entry(desk: Desk) -> Outcome:
    """Fetch an entry, with an auditor's token."""
    lie = desk.liar.lie
    asked = [str(lie.index)]
    if lie.lookup:
        asked = ["--source", SOURCE, "--id", event_id(lie.index)]
    return desk.command("entry", *asked, role="auditor")


def proof(desk: Desk) -> Outcome:
    """Have it proved that an entry stands in the log."""
    return desk.command("proof inclusion", str(desk.liar.lie.index), role="monitor")


def monitor(desk: Desk) -> Outcome:
    """Look at the log once."""
    return desk.command("monitor", "--once", role="monitor")


def audit(desk: Desk) -> Outcome:
    """Recompute the whole log."""
    return desk.command("audit", role="monitor")


def gaps(desk: Desk) -> Outcome:
    """Ask what the sources of the log did not send."""
    return desk.command("gaps", "--late", "3650d", "--silent", "3650d", role="monitor")


def verify(desk: Desk) -> Outcome:
    """Verify, offline, the receipt that the log hands out for an entry."""
    before, handed = desk.liar.told, desk.liar.lie.handed
    data = _handed_out(desk)
    if handed is not None:
        desk.liar.told, data = 1, handed(desk.liar.world)
    if data is None:
        # There is nothing to look at.
        desk.liar.told = before
        return Outcome(FINE, "")
    path = desk.folder / "entry.receipt.json"
    path.write_bytes(data)
    return desk.command("verify", path)


def _handed_out(desk: Desk) -> bytes | None:
    """Return whatever the log says is the receipt of an entry, None for no answer."""
    host, _, port = desk.liar.url.removeprefix("http://").partition(":")
    token = desk.liar.world.tokens["auditor"]
    asking = HTTPConnection(host, int(port), timeout=HURRIED)
    try:
        asking.request(
            "GET",
            f"/logs/{desk.liar.lie.log}/entries/{desk.liar.lie.index}",
            headers={"Authorization": f"Bearer {token}"},
        )
        answer = asking.getresponse()
        whole = answer.status == 200 and answer.length is not None
        whole &= "Content-Encoding" not in answer.headers
        return answer.read() if whole else None
    except (OSError, HTTPException):
        return None
    finally:
        asking.close()


def compare(desk: Desk) -> Outcome:
    """Hold the log's head against the one that somebody else saw."""
    if desk.liar.lie.log != "main":
        # There is nobody else who saw it.
        return Outcome(FINE, "")
    theirs = desk.folder / "theirs.checkpoint"
    theirs.write_bytes(desk.liar.world.notes[KNOWN])
    return desk.command("compare", theirs, role="monitor")


TOOLS: Final[dict[str, Callable[[Desk], Outcome]]] = {
    "submit": submit,
    "AsyncClient": async_client,
    "Outbox": outbox,
    "checkpoint": checkpoint,
    "entry": entry,
    "proof": proof,
    "verify": verify,
    "monitor": monitor,
    "audit": audit,
    "gaps": gaps,
    "compare": compare,
}
"""By the name that the catalogue calls them by."""


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
