"""The demo's watchers: a monitor that follows the log, and checks of what is stored."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from provlog.merkle.tiles import TILE_WIDTH
from support.altering import altered, place_in
from support.checked_instance import unprotected
from support.commands import COMMAND, Commands
from support.demo_steps import DemoError, Json, count, held, lines, require, shown
from support.servers import Server, run_server_command

CHANGED = 128
"""The entry that is changed: in a full tile, which a server does not read at its start.

A change at the right edge is found before anything is served.
"""


class Follower:
    """`provlog monitor` as a process of its own, with a memory of its own."""

    def __init__(self, server: Server, folder: Path) -> None:
        commands = Commands(server, folder, "monitor")
        self._output = folder / "monitor.jsonl"
        self._errors = folder / "errors.txt"
        # Into files: a pipe would have to be read while the demo does something else.
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [*COMMAND, "monitor", "--json", "--pause", "0.1"],
                env=commands.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def await_size(self, size: int, seconds: float = 20.0) -> list[Json]:
        """Return all it said once it has seen the log with `size` entries."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None
            # A line is there in full once its end is.
            whole, _, _ = self._output.read_text().rpartition("\n")
            reports = lines(whole)
            if reports and reports[-1].get("size") == size:
                return reports
            require(not ended, f"the monitor has ended: {whole}{self._said()}")
            time.sleep(0.02)
        raise DemoError(f"the monitor never saw {size} entries: {whole}")

    def check_growth(self, size: int) -> None:
        """Hold it to have seen growth from 1 to `size` and nothing else; end it."""
        reports = self.await_size(size)
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=20)
        require((code, self._said()) == (0, ""), f"monitor: {code}: {self._said()}")
        reports = lines(self._output.read_text())
        require_growth(reports, size)
        times = count(len(reports) - 1, "time")
        held(f"the monitor saw growth only: {times}, from 1 to {size} entries")

    def _said(self) -> str:
        return self._errors.read_text().strip()


def require_growth(reports: Sequence[Json], size: int) -> None:
    """Require that a monitor reported growth from 1 to `size`, each from the last."""
    other = [each for each in reports if each["event"] != "grown"]
    require(not other, f"the monitor saw something else: {other[:1]}")
    sizes = [each["size"] for each in reports]
    before = [each.get("before") for each in reports]
    require(sizes[:1] == [1] and sizes[-1] == size, f"the monitor saw {sizes}")
    require(sizes == sorted(set(sizes)), f"the monitor saw {sizes}")
    require(before[1:] == sizes[:-1], f"a gap: it saw {sizes} after {before}")


def check_stored(server: Server) -> None:
    """Show that `fsck` finds nothing wrong with what an honest log stores."""
    done = run_server_command("fsck", "--dir", server.folder, "--json")
    require(done.returncode == 0, f"fsck of an honest log: {done.stdout}{done.stderr}")
    [size] = json.loads(done.stdout)["logs"].values()
    held(f"fsck re-read all {size} entries and found nothing wrong")


def audit_honest(server: Server, folder: Path) -> None:
    """Show that `audit` finds nothing wrong with an honest log that is served."""
    done = Commands(server, folder, "monitor").run("audit", "--json")
    require(done.returncode == 0, f"audit of an honest log: {done.stdout}{done.stderr}")
    end = lines(done.stdout)[-1]
    require(end["ok"], f"audit of an honest log: {end}")
    held(f"audit recomputed all {end['size']} entries from their leaves")


def check_changed_copy(server: Server, base: Path) -> None:
    """Change a leaf in a copy of what is stored: `fsck` and `audit` must name it."""
    copy = changed_copy(server, base / "copy")
    fsck_names_the_entry(copy)
    audit_names_the_entry(copy, base / "monitor")


def changed_copy(server: Server, base: Path) -> Server:
    """Return a copy of a stopped server with one byte of one leaf changed.

    As somebody does who may write to the database: behind the server's back, past all
    triggers, which stand there again afterwards. The leaf stays canonical JSON.
    """
    folder, guard = base / server.folder.name, base / server.guard.name
    shutil.copytree(server.folder, folder)
    shutil.copytree(server.guard, guard)
    with unprotected(folder / "provlog.db") as connection:
        [(leaf,)] = connection.execute(
            "SELECT leaf FROM entries WHERE idx = ?", (CHANGED,)
        )
        place = place_in(leaf, json.loads(leaf)["members"]["event"])
        connection.execute(
            "UPDATE entries SET leaf = ? WHERE idx = ?", (altered(leaf, place), CHANGED)
        )
        require(connection.changes() == 1, "the leaf is not changed")
    held(f"entry {CHANGED} changed at byte {place} of {len(leaf)}, a digest's letter")
    options = ("--guard", str(guard), "--selfcheck", "0")
    return Server(folder, guard, server.origin, server.log_key, server.tokens, options)


def fsck_names_the_entry(copy: Server) -> None:
    """Show that `fsck` names the changed entry."""
    done = run_server_command(
        "fsck", "--dir", copy.folder, "--guard", copy.guard, "--json"
    )
    require(done.returncode == 1, f"fsck: {done.returncode}: {done.stderr.strip()}")
    found = json.loads(done.stdout)["findings"]
    named = {each["key"] for each in found if each["table"] == "entries"}
    require(named == {str(CHANGED)}, f"fsck names {named}, not entry {CHANGED} alone")
    held(f"fsck names entry {CHANGED} and no other, exit code 1")
    for each in found:
        shown("said", f"{each['table']} {each['key']}: {each['what']}")


def audit_names_the_entry(copy: Server, folder: Path) -> None:
    """Show that `audit` names the changed entry, and no other, at a server with it."""
    require(CHANGED < TILE_WIDTH, "the changed entry stands in no full tile")
    with copy:
        held("a server on the copy starts: its checkpoint is as good as before")
        done = Commands(copy, folder, "monitor").run("audit", "--json")
    require(done.returncode == 1, f"audit: {done.returncode}: {done.stderr.strip()}")
    found = [each for each in lines(done.stdout) if each["event"] == "finding"]
    named = {each["index"] for each in found if "index" in each}
    require(named == {CHANGED}, f"audit names {named}, not entry {CHANGED} alone")
    held(f"audit names entry {CHANGED} and no other, exit code 1")
    for each in found:
        shown("said", f"{each['place']}: {each['problem']}")
