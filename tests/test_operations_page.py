"""Every command of docs/operations.md, run in order by real processes.

The page is played as stories that share nothing, each on machines of its own. A block
that no story knows how to run is a failure, and so is a text that is not what a command
prints.
"""

import asyncio
from pathlib import Path

import pytest

from provlog.server.guard.store_url import StoreUrl
from support.fake_okta import fake_okta, okta_bytes
from support.postgres import Cluster
from support.runbook import PLAY, RunbookError, steps
from support.stories import EVENTS, Story
from support.vectors import REPOSITORY

STEPS = steps(REPOSITORY / "docs" / "operations.md")
ALONE = ("alone",)
PROXY = ("proxy",)
POSTGRES = ("db", "standby", "old", "new")
SEVERAL = ("one", "two", "three")
OKTA = "https://acme.okta.com"
TOKEN = "a-token-of-okta-s"

pytestmark = pytest.mark.needs("program:bash", "program:curl")


async def test_a_log_on_one_machine(tmp_path: Path) -> None:
    async with fake_okta(authorization=f"SSWS {TOKEN}") as okta:
        okta.store(okta_bytes())
        await asyncio.to_thread(play_alone, tmp_path, okta.url)
    assert {each.status for each in okta.asked} == {200}


def play_alone(folder: Path, okta: str) -> None:
    with Story(folder, ALONE) as story:
        story.hosts[OKTA] = okta
        token = folder / "alone/etc/provlog/okta.token"
        token.touch(0o600)
        token.write_text(TOKEN)
        story.play(STEPS)


@pytest.mark.needs("program:nginx")
def test_a_server_behind_a_proxy(tmp_path: Path) -> None:
    with Story(tmp_path, PROXY) as story:
        story.play(STEPS)


@pytest.mark.needs("postgres")
def test_a_log_in_postgresql(tmp_path: Path) -> None:
    with Story(tmp_path, POSTGRES) as story:
        story.add_cluster("db", Cluster.create(tcp=True).start())
        story.play(STEPS)


@pytest.mark.needs("postgres", "object-store")
def test_a_log_on_several_machines(tmp_path: Path, bucket: StoreUrl) -> None:
    with Story(tmp_path, SEVERAL) as story:
        cluster = Cluster.create(tcp=True).start()
        story.add_cluster("db", cluster)
        # The roles and the database, which the page makes once for both ways.
        cluster.execute(next(step.code for step in STEPS if step.kind == "sql"))
        story.hosts["s3://provlog-guard/"] = f"s3://{bucket.bucket}/"
        story.play(STEPS)


def test_every_block_is_on_a_machine_that_a_test_has() -> None:
    named = {name for step in STEPS for name in step.machines}
    assert named == {*ALONE, *PROXY, *POSTGRES, *SEVERAL}
    assert {step.code for step in STEPS if step.kind == PLAY} == EVENTS.keys()


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


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("```sh\nfalse\n```\n", "false"),
        ("```sh\necho one\n```\n\n```text\ntwo\n```\n", "prints:\none"),
        ("```console\n$ false\n$ echo $?\n0\n```\n", "prints:\n1"),
    ],
)
def test_a_command_that_does_something_else_is_a_failure(
    code: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"<!-- on one -->\n\n{code}")
    expected = f"(?s)line 3, on one: .*{said}"
    with (
        Story(tmp_path / "story", ["one"]) as story,
        pytest.raises(AssertionError, match=expected),
    ):
        story.play(steps(path))
