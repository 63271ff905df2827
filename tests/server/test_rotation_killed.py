"""A rotation and a freeze are killed at every durable step, and go on from there.

Each call is made in a process that was forked for it and kills itself at the n-th point
where something becomes durable; n grows until it gets through.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from provlog.merkle.errors import MerkleError
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server.errors import FrozenError
from provlog.server.instance import Instance
from provlog.server.key_changes import (
    KeyState,
    announce_key,
    freeze,
    known_keys,
    prepare_key,
    prepared_keys,
    retire_keys,
)
from provlog.server.log import Log
from provlog.server.service import Service
from provlog.server.storage.sqlite import SqliteTransaction
from support.checked_instance import check
from support.rotations import followed, signers
from support.services import SOURCE, append, draft, make_instance, running

Step: TypeAlias = Callable[[Service, Log], Awaitable[object]]
MOST = 60
REPLACED = KeyState.REPLACED


async def _prepare(_: Service, log: Log) -> object:
    return await prepare_key(log)


async def _announce(service: Service, log: Log) -> object:
    return await announce_key(service, log, None, "test")


async def _retire(_: Service, log: Log) -> object:
    return await retire_keys(log, destroy=True)


async def _freeze(service: Service, log: Log) -> object:
    return await freeze(service, log, None, "test")


def _die_at(point: int) -> None:
    """Let this process kill itself before one of the acts that make things durable.

    Nothing differs on disk between the end of one and the beginning of the next.
    """
    passed = 0

    def pass_by() -> None:
        nonlocal passed
        if passed == point:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    def around(act: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **named: object) -> object:
            pass_by()
            return act(*arguments, **named)

        return wrapped

    for name in ("fsync", "pwrite", "replace", "unlink"):
        setattr(os, name, around(getattr(os, name)))
    commit = around(SqliteTransaction._commit)
    SqliteTransaction._commit = commit  # type: ignore[assignment,method-assign]


def _killed(instance: Instance, step: Step, point: int) -> bool:
    """Make a call that dies at a point; tell whether it died there."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            asyncio.run(_call(instance, step, point))
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL)
    return code != 0


async def _call(instance: Instance, step: Step, point: int | None) -> None:
    async with running(instance) as (service, log):
        if point is not None:
            _die_at(point)
        await step(service, log)


@pytest.fixture
def base(tmp_path: Path) -> Instance:
    """Return an instance whose log has a few entries."""

    async def make() -> Instance:
        instance = await make_instance(tmp_path / "base")
        async with running(instance) as (service, log):
            await service.source(log, SOURCE, "test")
            await append(service, log, draft(log, "a"), draft(log, "b"))
        return instance

    return asyncio.run(make())


def _copy(base: Instance, to: Path) -> Instance:
    shutil.copytree(base.folder.parent, to)
    return Instance(to / base.folder.name, to / base.guard.name)


async def _look(instance: Instance) -> tuple[list[KeyState], bool]:
    """Judge a log as an outsider does; return its keys' states, and whether it ended.

    It takes entries, unless it ended; and every key that is not retired signs.
    """
    async with running(instance) as (service, log):
        states = [each.state for each in known_keys(log)]
        ended = log.announced.frozen is not None
        try:
            await append(service, log, draft(log, "next"))
        except FrozenError:
            assert ended
        found = await followed(service, log)
        assert len(found.keys) == len(states) - 1
        assert (found.freeze is not None) == ended
        note = log.note(log.released)
        signing = [each for each in states if each in (KeyState.SIGNING, REPLACED)]
        assert len(signers(note)) == len(signing)
        first = Trust.from_log_key(log.record.log_key)
        try:
            verify_checkpoint(note.encode(), first)
        except MerkleError:
            assert states[0] in (KeyState.RETIRED, KeyState.DESTROYED)
        return states, ended


def _kill_at_each_point(base: Instance, step: Step, folder: Path) -> set[str]:
    """Kill a step at each point and do it again; return which states were seen."""
    seen = set()
    for point in range(MOST):
        instance = _copy(base, folder / str(point))
        was_killed = _killed(instance, step, point)
        seen.add(repr(asyncio.run(_look(instance))))
        if not was_killed:
            assert point > 2, "nothing was durable"
            return seen
        asyncio.run(_call(instance, step, None))
        seen.add(repr(asyncio.run(_look(instance))))
        assert check(instance) == []
    raise AssertionError(f"it is not done after {MOST} points")


def test_a_rotation_goes_on_from_wherever_it_was_killed(
    base: Instance, tmp_path: Path
) -> None:
    first = repr(([KeyState.SIGNING], False))
    both = repr(([REPLACED, KeyState.SIGNING], False))
    assert _kill_at_each_point(base, _prepare, tmp_path / "prepare") == {first}
    asyncio.run(_call(base, _prepare, None))
    asyncio.run(_require_prepared(base))
    assert _kill_at_each_point(base, _announce, tmp_path / "announce") == {first, both}
    asyncio.run(_call(base, _announce, None))
    retired = repr(([KeyState.RETIRED, KeyState.SIGNING], False))
    gone = repr(([KeyState.DESTROYED, KeyState.SIGNING], False))
    found = _kill_at_each_point(base, _retire, tmp_path / "retire")
    assert found == {both, retired, gone}


async def _require_prepared(instance: Instance) -> None:
    async with running(instance) as (_, log):
        assert len(prepared_keys(log)) == 1


def test_a_log_ends_or_does_not_wherever_the_freeze_was_killed(
    base: Instance, tmp_path: Path
) -> None:
    open_, ended = (repr(([KeyState.SIGNING], each)) for each in (False, True))
    assert _kill_at_each_point(base, _freeze, tmp_path / "freeze") == {open_, ended}
