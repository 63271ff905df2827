"""Every command of docs/operations.md, run in order by real processes.

The page is played as stories that share nothing, each on machines of its own. A block
that no story knows how to run is a failure, and so is a text that is not what a command
prints.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from provlog.server.guard.store_url import StoreUrl
from support.fake_okta import fake_okta, okta_bytes
from support.machines import Machine
from support.older_databases import make_older, make_older_in_postgres
from support.pages import matches
from support.postgres import Cluster
from support.proxies import Proxy
from support.runbook import RunbookError, Step, steps
from support.standby import Standby
from support.vectors import REPOSITORY
from support.warm_commands import warm_commands

PAGE = REPOSITORY / "docs" / "operations.md"
STORIES = {
    "sqlite": ("alone",),
    "proxy": ("proxy",),
    "postgres": ("db", "standby", "old", "new"),
    "several": ("one", "two"),
}
OKTA = "https://acme.okta.com"
TOKEN = "a-token-of-okta-s"
INIT = "provlog-server init --dir /var/lib/provlog --origin log.example.com/main"

pytestmark = pytest.mark.needs("program:bash", "program:curl")


class Story:
    """One story's machines and databases while it is played."""

    def __init__(self, name: str, folder: Path) -> None:
        self.hosts: dict[str, str] = {}
        self.stack = ExitStack()
        commands = self.stack.enter_context(warm_commands(folder / "commands"))
        self.machines = {
            each: Machine(folder / each, commands, self.hosts) for each in STORIES[name]
        }
        for each, machine in self.machines.items():
            self.hosts[f"{each}.example.com:/"] = f"{machine.folder}/"
        self.clusters: dict[str, Cluster] = {}

    def __enter__(self) -> "Story":
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.machines.values():
            machine.end()
        self.stack.close()

    def add_cluster(self, name: str, cluster: Cluster) -> None:
        """Let a cluster that runs be reached by the name of its machine."""
        self.clusters[name] = self.stack.enter_context(cluster)
        self.hosts[f"{name}.example.com"] = f"127.0.0.1:{cluster.port}"

    def play(self) -> None:
        """Run all steps of the page that are on this story's machines."""
        for step in steps(PAGE):
            if step.kind == "end":
                self._end()
            for name in step.machines:
                if name in self.machines and step.kind != "end":
                    try:
                        getattr(self, f"_{step.kind}")(step, name)
                    except AssertionError as error:
                        where = f"{PAGE.name}, line {step.line}, on {name}"
                        raise AssertionError(f"{where}: {error}") from error

    def _sh(self, step: Step, name: str) -> None:
        printed = self.machines[name].run(step.code)
        if step.prints is not None and not matches(printed, step.prints):
            raise AssertionError(f"it prints:\n{printed}")

    def _console(self, step: Step, name: str) -> None:
        for command, expected in typed(step.code):
            printed = self.machines[name].type(command)
            if not matches(printed, expected):
                raise AssertionError(f"{command} prints:\n{printed}")

    def _sql(self, step: Step, name: str) -> None:
        cluster = self.clusters[name]
        names = cluster.execute("SELECT datname FROM pg_database").splitlines()
        cluster.execute(step.code, "provlog" if "provlog" in names else "postgres")

    def _nginx(self, step: Step, name: str) -> None:
        machine = self.machines[name]
        part, port = machine.moved(step.code), machine.ports[443]
        self.stack.enter_context(
            Proxy(machine.folder / "nginx", part, port, machine.pair)
        )

    def _play(self, step: Step, name: str) -> None:
        EVENTS[step.code](self, name)

    def _end(self, *_: object) -> None:
        for machine in self.machines.values():
            machine.stop()


def typed(code: str) -> Iterator[tuple[str, str]]:
    """Yield what is typed in a terminal, and what it is said to print."""
    before, *parts = re.split(r"^\$ ", code, flags=re.M)
    assert before == "", before
    for part in parts:
        lines = part.splitlines(keepends=True)
        count = 1
        while lines[count - 1].endswith("\\\n"):
            count += 1
        yield "".join(lines[:count]), "".join(lines[count:])


def serving(story: Story, name: str) -> None:
    """The servers run, as they do all the time."""
    story.machines[name].run("systemctl start provlog\n")


def growth(story: Story, name: str) -> None:
    """Something more is logged and released."""
    create = "provlog-server source create --dir /var/lib/provlog urn:hr:later\n"
    story.machines[name].run(create)


def older(story: Story, name: str) -> None:
    """The database is one that an older version made."""
    if name in story.clusters:
        make_older_in_postgres(story.clusters[name], "provlog")
    else:
        make_older(story.machines[name].folder / "var/lib/provlog/provlog.db")


def public_instance(story: Story, name: str) -> None:
    """An instance is there, whose log is public, and is served."""
    story.machines[name].run(f"{INIT} --source urn:hr:acme --public\n")
    serving(story, name)


def private_instance(story: Story, name: str) -> None:
    """An instance is there."""
    story.machines[name].run(f"{INIT} --source urn:hr:acme\n")


def standby(story: Story, name: str) -> None:
    """The database has a standby that follows."""
    made = Standby.of(story.clusters[name], synchronous=False, tcp=True)
    story.add_cluster("standby", made)


def primary_gone(story: Story, name: str) -> None:
    """The primary of a standby that has it all is gone."""
    made = story.clusters[name]
    assert isinstance(made, Standby)
    made.wait_caught_up()
    made.primary.kill()


EVENTS: dict[str, Callable[[Story, str], None]] = {
    "serving": serving,
    "growth": growth,
    "older database": older,
    "public instance": public_instance,
    "private instance": private_instance,
    "standby": standby,
    "primary gone": primary_gone,
}


async def test_a_log_on_one_machine(tmp_path: Path) -> None:
    with Story("sqlite", tmp_path) as story:
        async with fake_okta(authorization=f"SSWS {TOKEN}") as okta:
            okta.store(okta_bytes())
            story.hosts[OKTA] = okta.url
            token = tmp_path / "alone/etc/provlog/okta.token"
            token.touch(0o600)
            token.write_text(TOKEN)
            await asyncio.to_thread(story.play)
    assert {each.status for each in okta.asked} == {200}


@pytest.mark.needs("program:nginx")
def test_a_server_behind_a_proxy(tmp_path: Path) -> None:
    with Story("proxy", tmp_path) as story:
        story.play()


@pytest.mark.needs("postgres")
def test_a_log_in_postgresql(tmp_path: Path) -> None:
    with Story("postgres", tmp_path) as story:
        story.add_cluster("db", Cluster.create(tcp=True).start())
        story.play()


@pytest.mark.needs("postgres", "object-store")
def test_a_log_on_several_machines(tmp_path: Path, bucket: StoreUrl) -> None:
    with Story("several", tmp_path) as story:
        story.add_cluster("db", Cluster.create(tcp=True).start())
        story.clusters["db"].execute(roles())
        story.hosts["s3://provlog-guard/"] = f"s3://{bucket.bucket}/"
        story.play()


def roles() -> str:
    """Return the page's first statements: roles, and a database."""
    return next(step.code for step in steps(PAGE) if step.kind == "sql")


def test_every_block_belongs_to_a_story() -> None:
    known = {name for names in STORIES.values() for name in names}
    found = steps(PAGE)
    assert {name for step in found for name in step.machines} == known
    assert {step.code for step in found if step.kind == "play"} == EVENTS.keys()


@pytest.mark.parametrize(
    "page",
    [
        "```sh\ntrue\n```\n",
        "<!-- on one -->\n```\ntrue\n```\n",
        "<!-- on one -->\n```python\npass\n```\n",
        "<!-- on one -->\n```sql\nSELECT 1\n```\n```text\n1\n```\n",
        "<!-- on one -->\n## Another chapter\n```sh\ntrue\n```\n",
        "<!-- on one -->\n- a list\n  ```sh\n  true\n  ```\n",
    ],
)
def test_a_block_that_nobody_runs_is_an_error(page: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(page)
    with pytest.raises(RunbookError):
        steps(path)
