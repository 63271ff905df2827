"""A page of commands played as a story, on machines and databases of its own."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from support.machines import Machine
from support.older_databases import make_older, make_older_in_postgres
from support.pages import matches
from support.postgres import Cluster
from support.proxies import Proxy
from support.runbook import END, PLAY, Step
from support.standby import Standby
from support.warm_commands import warm_commands

_INIT: Final = (
    "provlog-server init --dir /var/lib/provlog --origin log.example.com/main"
    " --source urn:hr:acme"
)
_DATABASE: Final = "provlog"


class Story:
    """Machines and databases while a page is played on them; a context manager.

    `hosts` are what the page's names of hosts and places stand for.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.hosts: dict[str, str] = {}
        self.clusters: dict[str, Cluster] = {}
        self._names = names
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        commands = self._stack.enter_context(warm_commands(self.folder / "commands"))
        self.machines = {
            name: Machine(self.folder / name, commands, self.hosts)
            for name in self._names
        }
        for name, machine in self.machines.items():
            self.hosts[f"{name}.example.com:/"] = f"{machine.folder}/"
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.machines.values():
            machine.end()
        self._stack.close()

    def add_cluster(self, name: str, cluster: Cluster) -> None:
        """Let a cluster be reached by a machine's name; it is removed in the end."""
        self.clusters[name] = self._stack.enter_context(cluster)
        self.hosts[f"{name}.example.com"] = f"127.0.0.1:{cluster.port}"

    def play(self, steps: Sequence[Step]) -> None:
        """Run those steps of a page, in order, that are on this story's machines.

        Servers end where a section does. Raises `AssertionError` with the line where
        something fails, or prints something else than the page says.
        """
        for step in steps:
            if step.kind == END:
                self._end()
            for name in step.machines:
                if name in self.machines:
                    try:
                        self._run(step, name)
                    except AssertionError as error:
                        where = f"line {step.line}, on {name}"
                        raise AssertionError(f"{where}: {error}") from error

    def _run(self, step: Step, name: str) -> None:
        machine = self.machines[name]
        if step.kind == PLAY:
            EVENTS[step.code](self, name)
        elif step.kind == "sh":
            _hold(step.code, machine.run(step.code), step.prints)
        elif step.kind == "console":
            for command, said in _typed(step.code):
                _hold(command, machine.type(command), said)
        elif step.kind == "sql":
            self._query(step.code, self.clusters[name])
        else:
            part, port = machine.moved(step.code), machine.ports[443]
            proxy = Proxy(machine.folder / "nginx", part, port, machine.pair)
            self._stack.enter_context(proxy)

    def _query(self, sql: str, cluster: Cluster) -> None:
        """Run statements as superuser, in the log's database if there is one."""
        names = cluster.execute("SELECT datname FROM pg_database").splitlines()
        cluster.execute(sql, _DATABASE if _DATABASE in names else "postgres")

    def _end(self) -> None:
        for machine in self.machines.values():
            machine.stop()


def _hold(command: str, printed: str, said: str | None) -> None:
    if said is not None and not matches(printed, said):
        raise AssertionError(f"{command}prints:\n{printed}")


def _typed(code: str) -> Iterator[tuple[str, str]]:
    """Yield what is typed in a terminal, and what it is said to print."""
    before, *parts = re.split(r"^\$ ", code, flags=re.M)
    assert before == "", before
    for part in parts:
        lines = part.splitlines(keepends=True)
        count = 1
        while lines[count - 1].endswith("\\\n"):
            count += 1
        yield "".join(lines[:count]), "".join(lines[count:])


def _serve(story: Story, name: str) -> None:
    story.machines[name].run("systemctl start provlog\n")


def _grow(story: Story, name: str) -> None:
    create = "provlog-server source create --dir /var/lib/provlog urn:hr:later\n"
    story.machines[name].run(create)


def _make_older(story: Story, name: str) -> None:
    if name in story.clusters:
        make_older_in_postgres(story.clusters[name], _DATABASE)
    else:
        make_older(story.machines[name].folder / "var/lib/provlog/provlog.db")


def _serve_in_public(story: Story, name: str) -> None:
    story.machines[name].run(f"{_INIT} --public\n")
    _serve(story, name)


def _make_instance(story: Story, name: str) -> None:
    story.machines[name].run(f"{_INIT}\n")


def _follow(story: Story, name: str) -> None:
    made = Standby.of(story.clusters[name], synchronous=False, tcp=True)
    story.add_cluster("standby", made)


def _lose_primary(story: Story, name: str) -> None:
    standby = story.clusters[name]
    assert isinstance(standby, Standby)
    standby.wait_caught_up()
    standby.primary.kill()


EVENTS: Final[Mapping[str, Callable[[Story, str], None]]] = {
    "an instance": _make_instance,
    "a public instance is served": _serve_in_public,
    "it is served": _serve,
    "something more is released": _grow,
    "the database is an older one": _make_older,
    "a standby follows": _follow,
    "the primary is gone": _lose_primary,
}
"""What may happen on a machine between the blocks of a page."""
