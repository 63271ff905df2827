"""Rules on entries while a log is followed: each new entry is judged, and once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from provlog.client.monitoring import ruling
from provlog.client.monitoring.full_state import Todo
from provlog.client.monitoring.ruling import Ruling
from provlog.client.monitoring.symptoms import PATIENCE
from support.lying_log import LyingLog, Served, event
from support.monitored import HandClock, Monitored, grown, log_config, monitored

RULES = """
[[rule]]
name = "bob-grants"
severity = "critical"
types = ["role.assign"]
actor_in = ["name:bob@*"]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


@pytest.fixture
async def watched(
    served: Served, log: LyingLog, rules: Path, tmp_path: Path
) -> AsyncIterator[Monitored]:
    grown(log, 3)
    config = log_config(served, log, full=True, rules=rules)
    async with monitored(tmp_path, [config]) as running:
        yield running


async def judged(running: Monitored) -> list[int]:
    """Return the entries that rules found something in, after one more look."""
    running.clock.pass_by(1)
    await running.first.look()
    await running.first.read()
    found = [each for each in running.alerts if each.kind == "rule"]
    for each in found:
        running.alerts.remove(each)
    return [int(str(each.details["index"])) for each in found]


async def test_what_comes_is_judged_once_and_what_was_there_is_not(
    watched: Monitored, log: LyingLog
) -> None:
    assert await judged(watched) == []
    grown(log, 2)
    log.append(event(id="other", type="account.create"))
    assert await judged(watched) == [4, 5]
    assert await judged(watched) == []
    grown(log, 1)
    assert await judged(watched) == [7]
    # Only what a rule concerns was fetched and opened.
    asked = [each for each in log.paths() if "GET entries/" in each]
    assert asked == ["GET entries/4", "GET entries/5", "GET entries/7"]


async def test_a_restart_neither_judges_again_nor_forgets(
    served: Served, log: LyingLog, rules: Path, tmp_path: Path
) -> None:
    clock = HandClock()
    config = [log_config(served, log, full=True, rules=rules)]
    async with monitored(tmp_path, config, clock) as running:
        assert await judged(running) == []
        grown(log, 1)
        assert await judged(running) == [1]
    grown(log, 2)
    async with monitored(tmp_path, config, clock) as running:
        assert await judged(running) == [2, 3]


async def test_entries_that_cannot_be_had_wait_and_that_is_said(
    watched: Monitored, log: LyingLog, served: Served
) -> None:
    assert await judged(watched) == []
    grown(log, 2)
    hidden = log.receipt

    def receipt(index: int, size: int | None = None) -> object:
        if index == 5:
            raise web.HTTPForbidden
        return hidden(index, size)

    log.receipt = receipt  # type: ignore[method-assign,assignment]
    assert await judged(watched) == [4]
    assert watched.first.followed.present.keys() == {"rules"}
    watched.clock.pass_by(PATIENCE)
    assert await judged(watched) == []
    [alert] = watched.alerts
    assert (alert.kind, alert.severity) == ("rules", "warning")
    assert "entry 5 cannot be judged" in alert.text
    # What is new of the log is read all the same.
    grown(log, 1)
    await judged(watched)
    assert watched.first.followed.read_size == 7
    log.receipt = hidden  # type: ignore[method-assign]
    assert await judged(watched) == [5, 6]


async def test_there_is_room_for_so_many_that_wait_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch, log: LyingLog, rules: Path
) -> None:
    from provlog.client.entry_rules import read_rules

    monkeypatch.setattr(ruling, "MAX_PENDING", 2)
    grown(log, 4)

    async def nobody(index: int) -> None:
        raise AssertionError(index)

    judge = Ruling(read_rules(rules), nobody, log.origin)  # type: ignore[arg-type]
    todo = judge.note(Todo(1), 0, log.leaves)
    assert todo == Todo(5, (1, 2), 2)
    # The same bundle again, as its next form begins with it.
    assert judge.note(todo, 0, log.leaves) == todo
    assert Todo.from_json(todo.to_json()) == todo
