"""Real PostgreSQL clusters for tests, which can be killed and started again.

They flush what they acknowledge, like one in production. Whatever becomes of the tests,
nothing stays: a process of its own waits for the end of this one and removes what is
left (`support.postgres_processes`).
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import IO, Literal, Self
from urllib.parse import quote

from support import postgres_processes
from support.postgres_binaries import account, environment, program, run

SUPERUSER = "postgres"
# Members of this role have to show their password, all others are trusted.
_WITH_PASSWORD = "with_password"
_ACCESS = f"""\
local all +{_WITH_PASSWORD} scram-sha-256
host all +{_WITH_PASSWORD} 127.0.0.1/32 scram-sha-256
local all all trust
host all all 127.0.0.1/32 trust
local replication all trust
"""
_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "fsync": "on",
        "synchronous_commit": "on",
        "shared_buffers": "16MB",
        "max_connections": "200",
        "max_wal_size": "192MB",
        "jit": "off",
        # In files of the cluster's own folder, which go with it when it is killed.
        "dynamic_shared_memory_type": "mmap",
        "log_line_prefix": "'%m [%p] %d %u '",
    }
)
_SIGNALS = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_SOCKET_PORT = 5432
_MEMORY = Path("/dev/shm")
_ROOM = 2 * 1024**3
# Below the ports that connections to elsewhere take, one of which might take a killed
# server's before it is started again.
_PORTS = range(20_000, 32_000)
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_ANSWER_SECONDS = 30.0

_numbers = count(1)


@cache
def _workplace(place: Path) -> Path:
    """Return this process's folder in a place, which goes when the process does."""
    folder = Path(tempfile.mkdtemp(prefix="provlog-pg-", dir=place))
    folder.chmod(0o711)
    # What it reads ends when we do: the end that we hold is never closed before.
    its_end, _ = os.pipe()
    program = postgres_processes.__file__
    watching = subprocess.Popen(
        [sys.executable, "-I", "-S", program, str(folder)],
        stdin=its_end,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # ^C in the terminal is not for it
    )
    os.close(its_end)
    watching.returncode = 0  # it outlives us; said so that nobody warns of it
    return folder


def _place(*, disk: bool) -> Path:
    """Return where clusters are: in memory where there is room, or on the disk.

    A killed process loses nothing that it has written, to memory or to a disk, and
    flushing to a disk that others use is ten times as slow. Not where TMPDIR says: the
    path of a socket has to fit 107 bytes, and PostgreSQL's user has to reach it.
    """
    if disk or not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ROOM:
        return Path("/tmp")
    return _MEMORY


class Cluster:
    """A PostgreSQL server and its data, in a folder of its own.

    `create` makes one; it listens on a Unix socket in its folder and, if `tcp`, on a
    port of 127.0.0.1 that stays the same from start to start. Whoever measures asks for
    a `disk`, so that a flush is one; others may get memory instead. A context manager
    that removes it at the end. Not to be used by two threads at once.
    """

    def __init__(self, *, tcp: bool = False, disk: bool = False) -> None:
        self.folder = _workplace(_place(disk=disk)) / str(next(_numbers))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.port = _free_port() if tcp else _SOCKET_PORT
        self.tcp = tcp
        self.process: subprocess.Popen[bytes] | None = None
        # Added to its environment when it is started.
        self.variables: Mapping[str, str] = {}
        self.folder.mkdir(mode=0o711)
        account().own(self.folder)

    @classmethod
    def create(
        cls,
        settings: Mapping[str, str] | None = None,
        *,
        tcp: bool = False,
        disk: bool = False,
    ) -> Self:
        """Return a new cluster, not started, with an identity of its own.

        `settings` are lines of postgresql.conf. It is flushed in what it does later,
        not while it is made.
        """
        made = cls(tcp=tcp, disk=disk)
        options = ["--no-sync", "--auth=trust", "--locale=C", "--encoding=UTF8"]
        options += [f"--username={SUPERUSER}", f"--pgdata={made.data}"]
        run([program("initdb"), *options])
        chosen = {**_SETTINGS, **(settings or {})}
        with (made.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {text}\n" for name, text in chosen.items())
        (made.data / "pg_hba.conf").write_text(_ACCESS)
        return made

    def start(self) -> Self:
        """Start the server and return once it takes connections.

        Raises `RuntimeError` with the end of its log if it does not.
        """
        assert self.process is None, "it runs"
        with self.log.open("ab") as log:
            self.process = self._spawn(log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"it did not start: {self.log_text()[-2000:]}")
            time.sleep(0.01)
        return self

    def _spawn(self, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        """Start the postmaster with what belongs to this place, not to its data."""
        own = {
            "cluster_name": str(self.folder),
            "unix_socket_directories": str(self.folder),
            "listen_addresses": "127.0.0.1" if self.tcp else "",
            "port": str(self.port),
        }
        options = [part for pair in own.items() for part in ("-c", "=".join(pair))]
        return subprocess.Popen(
            # The data's folder comes first: `postgres_processes` looks for it there.
            [program("postgres"), "-D", self.data, *options],
            user=account().user,
            group=account().group,
            extra_groups=account().extra_groups,
            cwd="/",
            env=environment() | dict(self.variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # ^C in the terminal is not for it
        )

    def _is_ready(self) -> bool:
        """Return whether it takes connections, by what the postmaster wrote down."""
        assert self.process is not None
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) < 8 or int(lines[0]) != self.process.pid:
            return False  # the file of the one before it, which was killed
        return lines[7].strip() in ("ready", "standby")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server as `pg_ctl stop` does, and wait for its end.

        `immediate` leaves the recovery to the next start. One that does not end in time
        is killed (`subprocess.TimeoutExpired`).
        """
        assert self.process is not None, "it does not run"
        self.process.send_signal(_SIGNALS[mode])
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None

    def kill(self) -> None:
        """Kill all its processes at one moment (SIGKILL), and wait for their end."""
        assert self.process is not None, "it does not run"
        postgres_processes.kill_below(self.folder)
        self.process.wait()
        self.process = None

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Stop the server and start it again."""
        self.stop(mode)
        self.start()

    def freeze(self) -> None:
        """Let its processes stand still (SIGSTOP): connections stay, without answer."""
        postgres_processes.signal_below(self.folder, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its processes go on."""
        postgres_processes.signal_below(self.folder, signal.SIGCONT)

    def remove(self) -> None:
        """End the server if it runs, and remove the cluster."""
        postgres_processes.remove(self.folder)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def __enter__(self) -> Self:
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        self.remove()

    def dsn(
        self,
        database: str = "postgres",
        user: str = SUPERUSER,
        password: str | None = None,
    ) -> str:
        """Return the postgresql:// URL of a database, as asyncpg and libpq take it."""
        return dsn([self], database, user, password)

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Run statements as superuser, each its own transaction; return what they give.

        Rows are lines and their columns are separated by `|`. Raises `RuntimeError`
        with psql's message if one fails. Waits for the server: not for use on the event
        loop of what the server has to wait for.
        """
        done = subprocess.run(
            [program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", self.dsn(database)],
            env=environment(),
            input=sql,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.removesuffix("\n")

    def await_answer(self, sql: str, answer: str) -> None:
        """Return once a query gives an answer; `TimeoutError` if it never does."""
        deadline = time.monotonic() + _ANSWER_SECONDS
        while (given := self.execute(sql)) != answer:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{sql}: {given!r} instead of {answer!r}")
            time.sleep(0.02)

    def create_database(
        self, owner: str = SUPERUSER, template: str = "template1"
    ) -> str:
        """Create a database, empty or a copy of a template; return its name."""
        name = f"provlog_{secrets.token_hex(4)}"
        self.execute(f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, and end the connections to it."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def create_role(self, prefix: str = "role", password: str | None = None) -> str:
        """Create a role that may log in and nothing else; return its name.

        With a password it has to show it; without, it is let in.
        """
        name = f"{prefix}_{secrets.token_hex(4)}"
        self.execute(f"CREATE ROLE {name} LOGIN")
        if password is not None:
            known = f"SELECT FROM pg_roles WHERE rolname = '{_WITH_PASSWORD}'"
            self.execute(
                f"DO $$ BEGIN IF NOT EXISTS ({known}) THEN "
                f"CREATE ROLE {_WITH_PASSWORD}; END IF; END $$;"
                f"ALTER ROLE {name} PASSWORD '{password}';"
                f"GRANT {_WITH_PASSWORD} TO {name}"
            )
        return name

    def configure(self, **settings: str) -> None:
        """Change settings that a reload can change, in the data, and reload."""
        for name, text in settings.items():
            literal = text.replace("'", "''")
            self.execute(f"ALTER SYSTEM SET {name} = '{literal}'")
        self.execute("SELECT pg_reload_conf()")

    def log_text(self) -> str:
        """Return what it has logged, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def dsn(
    clusters: Sequence[Cluster],
    database: str = "postgres",
    user: str = SUPERUSER,
    password: str | None = None,
    **parameters: str,
) -> str:
    """Return a URL that names several hosts: all of them by sockets, or all by ports.

    `parameters` are further ones, such as `target_session_attrs`.
    """
    who = user if password is None else f"{user}:{quote(password, safe='')}"
    if all(cluster.tcp for cluster in clusters):
        hosts = ",".join(f"127.0.0.1:{cluster.port}" for cluster in clusters)
    else:
        assert not any(cluster.tcp for cluster in clusters), "sockets and ports"
        hosts = ""
        folders = ",".join(str(cluster.folder) for cluster in clusters)
        parameters = {"host": folders, **parameters}
    query = "&".join(f"{name}={text}" for name, text in parameters.items())
    return f"postgresql://{who}@{hosts}/{database}{'?' if query else ''}{query}"


def _free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    # Not from the shared generator, which hypothesis seeds alike in every worker.
    for port in secrets.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise OSError("no free port found")
