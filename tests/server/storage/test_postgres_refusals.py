"""What the commands say where PostgreSQL cannot be used: one line, and what to do."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

from provlog.server.cli import main
from support.leaks import OUTPUT, WATCH
from support.postgres import Cluster
from support.standby import Standby

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def new(tmp_path: Path) -> list[str]:
    """Return the options of `init` that say where."""
    return ["--dir", str(tmp_path / "d"), "--guard", str(tmp_path / "g"), "--dev"]


@dataclass(frozen=True, slots=True)
class Command:
    """`provlog-server`, run in this process, which has imported it."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int | str | None, str]:
        """Return exit code and error output."""
        self.monkeypatch.setattr(sys, "argv", ["provlog-server", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        WATCH.note_tokens(out)  # which shows those it makes, once
        WATCH.saw(OUTPUT, f"provlog-server {arguments[0]}", err)
        return ended.value.code, err

    def refused(self, code: int, *arguments: str) -> str:
        """Return the one line that a command ends with."""
        ended, errors = self.run(*arguments)
        assert ended == code, errors
        [line] = errors.splitlines()
        assert line.startswith("Error: ")
        assert "asyncpg" not in line
        return line


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return Command(monkeypatch, capsys)


def test_a_url_that_leads_nowhere(
    command: Command, postgres: Cluster, new: list[str]
) -> None:
    def init(code: int, url: str) -> str:
        return command.refused(code, "init", *new, "--database", url)

    nobody = "d at 127.0.0.1:1 cannot be reached: PostgreSQL: ConnectionRefusedError"
    assert nobody in init(3, "postgresql://u@127.0.0.1:1/d")
    assert "FileNotFoundError" in init(3, "postgresql://u@%2Fno%2Fwhere/d")
    assert "no usable URL" in init(2, "postgresql://u@h:port/d")
    assert "CREATE DATABASE" in init(2, postgres.dsn("no_such_database"))
    assert "refuses the user" in init(2, postgres.dsn(user="no_such_role"))
    separator = "&" if "?" in postgres.dsn() else "?"
    for option, words in (
        ("no_such_option=1", "PostgreSQL lacks"),
        ("sslmode=no_such_mode", "no such value"),
    ):
        assert words in init(2, f"{postgres.dsn()}{separator}{option}")


def test_rights_that_are_missing(
    command: Command, postgres: Cluster, tmp_path: Path, new: list[str]
) -> None:
    owner = postgres.create_role("owner", "right")
    server = postgres.create_role("server")
    database = postgres.create_database(owner)

    def init(url: str, *more: str) -> str:
        return command.refused(2, "init", *new, "--database", url, *more)

    url = postgres.dsn(database, owner, "right")
    assert "PGPASSWORD" in init(postgres.dsn(database, owner, "wrong"))
    assert "PGPASSWORD" in init(postgres.dsn(database, owner))
    assert "the database's owner" in init(postgres.dsn(database, server))
    assert "CREATE ROLE" in init(url, "--grant-to", "no_such_role")
    assert postgres.execute(r"\dn provlog", database) == ""
    made = command.run("init", *new, "--database", url, "--grant-to", server)
    assert made == (0, "")
    recorded = json.loads((tmp_path / "d" / "provlog.json").read_text())
    assert unquote(recorded["database"]) == postgres.dsn(database, server)
    again = [*new[:1], str(tmp_path / "e"), *new[2:]]
    line = command.refused(2, "init", *again, "--database", url)
    assert "holds a provlog already" in line

    def listing(code: int, url: str) -> str:
        place = ("--dir", str(tmp_path / "d"), "--database", url)
        return command.refused(code, "token", "list", *place)

    stranger = postgres.create_role("stranger")
    assert "--grant-to" in listing(2, postgres.dsn(database, stranger))
    other = postgres.create_database()
    assert "it holds no provlog" in listing(2, postgres.dsn(other))
    for role in (stranger, server):
        line = command.refused(
            2,
            *("migrate", "--dir", str(tmp_path / "d"), "--grant-to", stranger),
            *("--database", postgres.dsn(database, role)),
        )
        assert "the database's owner" in line
    assert command.run("token", "list", "--dir", str(tmp_path / "d")) == (0, "")


@pytest.fixture
def careless(postgres: Cluster) -> Iterator[Cluster]:
    """Yield a cluster that does not flush."""
    with Cluster.create({"fsync": "off"}) as made:
        yield made


def test_a_database_that_would_lose_what_it_acknowledged(
    command: Command, careless: Cluster, new: list[str]
) -> None:
    line = command.refused(2, "init", *new, "--database", careless.dsn())
    assert "fsync=on" in line
    with Standby.of(careless, synchronous=False) as standby:
        line = command.refused(3, "init", *new, "--database", standby.dsn())
        assert "name all hosts" in line
