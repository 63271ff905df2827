"""PostgreSQL for the rig: a cluster of its own, which campaigns may kill."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from chaos.engines import Database
from support.postgres import Cluster
from support.postgres_fixtures import lacking_postgres
from support.servers import Server

# A session that holds a head's row and waits for its client's next word.
_WRITING = """
SELECT a.client_port FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE l.granted AND l.relation = 'provlog.heads'::regclass
  AND l.mode IN ('RowShareLock', 'RowExclusiveLock')
  AND a.datname = current_database() AND a.wait_event_type = 'Client'
"""

_END = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{role}'
"""


class PostgresDatabase:
    """A database of a cluster, and the role that serves from it.

    The tables belong to the cluster's superuser; servers and `fsck` get no more rights
    than it takes.
    """

    def __init__(self, cluster: Cluster, name: str, role: str) -> None:
        self.cluster = cluster
        self.name = name
        self.role = role
        owner = cluster.dsn(name)
        self.options: Sequence[str] = ("--database", owner, "--grant-to", role)
        self.variables: Mapping[str, str] = {"PROVLOG_DATABASE": self.url()}

    def url(self, port: int | None = None) -> str:
        """Return where the servers find it, at another port if there is a relay."""
        where = f"127.0.0.1:{port or self.cluster.port}"
        return f"postgresql://{self.role}@{where}/{self.name}"

    def end_sessions(self) -> int:
        """End all sessions of the servers, as an administrator; return how many."""
        return int(self.cluster.execute(_END.format(role=self.role), self.name))

    def committed(self, server: Server) -> int:
        """Return the size of the newest committed head."""
        return int(self.cluster.execute("SELECT size FROM provlog.heads", self.name))

    def is_writing(self, server: Server) -> bool:
        """Ask PostgreSQL whose sessions hold the lock, and the kernel whose they are.

        Only of use while the server stands still.
        """
        assert server.process is not None
        ports = self.cluster.execute(_WRITING, self.name).split()
        return bool(_local_ports(server.process.pid).intersection(map(int, ports)))


class PostgresEngine:
    """PostgreSQL: one cluster for all instances of a campaign."""

    name = "postgres"
    goes_on = True

    def __init__(self) -> None:
        self.cluster: Cluster | None = None

    @staticmethod
    def lacks() -> str | None:
        """Return that there is no PostgreSQL here, where there is none."""
        return lacking_postgres()

    @contextmanager
    def database(self, folder: Path) -> Iterator[Database]:
        """Yield a new database; the cluster is started if it does not run."""
        if self.cluster is None:
            self.cluster = Cluster.create(tcp=True)
        if self.cluster.process is None:
            self.cluster.start()
        name = self.cluster.create_database()
        yield PostgresDatabase(self.cluster, name, self.cluster.create_role("server"))
        if self.cluster.process is not None:
            self.cluster.drop_database(name)

    def close(self) -> None:
        """Remove the cluster."""
        if self.cluster is not None:
            self.cluster.remove()
            self.cluster = None


def _local_ports(process: int) -> set[int]:
    """Return the local TCP ports of a process's connections."""
    held: set[str] = set()
    for each in Path(f"/proc/{process}/fd").iterdir():
        target = str(each.readlink())
        if target.startswith("socket:["):
            held.add(target[8:-1])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    return {int(row[1].partition(":")[2], 16) for row in rows if row[9] in held}
