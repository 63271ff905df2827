"""A streaming standby of a cluster: one that follows, is cut off, and is promoted."""

from typing import Self

from support.postgres import SUPERUSER, Cluster
from support.postgres_binaries import program, run


class Standby(Cluster):
    """A physical copy of a running primary that replays what the primary writes.

    Once promoted it is a cluster like another, on the next timeline and with the
    primary's system identifier.
    """

    primary: Cluster
    slot: str

    @classmethod
    def of(cls, primary: Cluster, *, synchronous: bool, tcp: bool = False) -> Self:
        """Return a standby of a primary that runs; it has been started and follows.

        If `synchronous`, the primary acknowledges no commit from here on that the
        standby has not replayed (`synchronous_commit=remote_apply`), and waits while
        there is none. Otherwise what was committed since the standby was cut off is
        lost when it is promoted.
        """
        made = cls(tcp=tcp)
        made.primary = primary
        # A slot, so that the primary keeps what a standby that was cut off has missed.
        made.slot = f"standby_{made.folder.name}"
        options = ["--checkpoint=fast", "--no-sync", "--write-recovery-conf"]
        options += ["--create-slot", f"--slot={made.slot}"]
        source = f"host={primary.folder} port={primary.port} user={SUPERUSER}"
        options += [f"--pgdata={made.data}", f"--dbname={source}"]
        run([program("pg_basebackup"), *options])
        made.start()
        made.await_answer("SELECT count(*) FROM pg_stat_wal_receiver", "1")
        if synchronous:
            # After the copy was made: once promoted it must not wait for a standby.
            # A walreceiver goes by its cluster's name.
            primary.configure(
                synchronous_commit="remote_apply",
                synchronous_standby_names=f'"{made.folder}"',
            )
            primary.await_answer("SELECT sync_state FROM pg_stat_replication", "sync")
        return made

    def wait_caught_up(self) -> None:
        """Return once it has replayed all that the primary has written by now."""
        position = self.primary.execute("SELECT pg_current_wal_lsn()")
        self.await_answer(f"SELECT pg_last_wal_replay_lsn() >= '{position}'", "t")

    def cut_off(self) -> None:
        """Let it receive nothing more, as when the network between them is down."""
        self._known = self.execute("SHOW primary_conninfo")
        self.configure(primary_conninfo="")
        self.await_answer("SELECT count(*) FROM pg_stat_wal_receiver", "0")

    def reconnect(self) -> None:
        """Let one that was cut off follow again."""
        self.configure(primary_conninfo=self._known)
        self.await_answer("SELECT count(*) FROM pg_stat_wal_receiver", "1")

    def promote(self) -> None:
        """Make it a primary, on a new timeline; return once it takes writes.

        The former primary is left alone and would go on by itself: kill it before.
        """
        assert self.execute("SELECT pg_promote()") == "t", self.log_text()[-2000:]

    def forget(self) -> None:
        """Let the primary, which runs, no longer wait for this one nor keep its share.

        For a standby that does not follow any more.
        """
        self.primary.configure(synchronous_commit="on", synchronous_standby_names="")
        here = f"FROM pg_replication_slots WHERE slot_name = '{self.slot}'"
        self.primary.await_answer(f"SELECT active {here}", "f")
        self.primary.execute(f"SELECT pg_drop_replication_slot('{self.slot}')")
