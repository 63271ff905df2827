"""Comparing with real witnesses and monitors: what they show, and what two saw."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp

from provlog.client import VolatileMemory
from provlog.client.comparing_places import Caller
from provlog.client.comparing_run import Comparison, compare
from provlog.client.monitoring.clocks import SystemClock
from provlog.client.monitoring.listening import Listener
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.merkle.witness_messages import AddCheckpoint
from support.comparers import grown
from support.lying_log import LyingLog, serving
from support.witnesses import ServedWitness, serve_witness


async def cosign(witness: ServedWitness, log: LyingLog) -> None:
    """Have a witness that knows nothing of the log yet cosign its newest checkpoint."""
    body = AddCheckpoint(0, (), log.note()).format()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{witness.url}/add-checkpoint", data=body) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def held(
    log: LyingLog, url: str, *witnesses: ServedWitness, more: Sequence[str] = ()
) -> Comparison:
    """Compare the log with what its witnesses show, under a policy that names them."""
    lines = [f"log {log.vkey}"]
    for place, witness in enumerate(witnesses):
        lines += [f"witness w{place} {witness.vkeys[0]}"]
    policy = "\n".join([*lines, "quorum none", ""])
    trust = Trust.from_policy(policy)
    memory = VolatileMemory()
    caller = Caller(trust, trust, memory, "main", url, None, 0.0, insecure=False)
    urls = [f"{url.rstrip('/')}/logs/main", *(each.url for each in witnesses), *more]
    return await compare(urls, lambda _: [], caller)


async def test_witnesses_of_one_log_saw_one_history(tmp_path: Path) -> None:
    log = grown(LyingLog(), "a", 4)
    async with (
        serve_witness(tmp_path / "one", log.vkey, name="one.example") as one,
        serve_witness(tmp_path / "two", log.vkey, name="two.example") as two,
    ):
        await cosign(one, log)
        longer = grown(log, "b", 3)
        await cosign(two, longer)
        with serving(longer) as served:
            found = await held(longer, served.url, one, two)
    assert found.verdict == "consistent", found
    shown = [each.newest for each in found.sources]
    assert [each.size for each in shown if each] == [8, 5, 8]
    cosigned = [
        {c.witness for c in each.cosignatures.values()} for each in shown if each
    ]
    # The log and the second witness show the same head: it is cosigned for both.
    assert cosigned == [{"w1"}, {"w0"}, {"w1"}]


async def test_a_log_that_shows_each_witness_another_history_is_caught(
    tmp_path: Path,
) -> None:
    log = LyingLog()
    async with (
        serve_witness(tmp_path / "one", log.vkey, name="one.example") as one,
        serve_witness(tmp_path / "two", log.vkey, name="two.example") as two,
    ):
        ours, theirs = grown(log, "a", 5), grown(log, "b", 3)
        await cosign(one, ours)
        await cosign(two, theirs)
        with serving(ours) as served:
            found = await held(ours, served.url, one, two)
    assert found.verdict == "split"
    [split] = found.board.splits
    # Each was honest, and shown one history only.
    assert split.witnesses() == set()
    assert found.sources[2].newest is not None
    assert found.relation(found.sources[2].newest) == "other history"


async def test_what_a_monitor_verified_is_found_where_it_shows_it() -> None:
    log = grown(LyingLog(), "a", 5)
    signed = verify_checkpoint(log.note(4), log.trust)
    followed: Any = [SimpleNamespace(origin=log.origin, signed=signed)]
    listener = Listener(lambda: followed, dict, SystemClock())
    async with listener.serving("127.0.0.1", 0) as monitor:
        with serving(log) as served:
            found = await held(log, served.url, more=[monitor])
    assert found.verdict == "consistent", found
    assert [each.newest.size for each in found.sources if each.newest] == [6, 4]
