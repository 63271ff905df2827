"""One run of an audit: download in parallel, feed the auditor, remember how far it is.

Parts are fetched ahead of the one that is being checked, a fixed number of them, so
that memory is bounded by that number times the largest part, however long the log.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from provlog.client.auditing import Auditor
from provlog.client.auditing_parts import Finding, Part
from provlog.client.errors import UsageError
from provlog.client.fetching import LogReader, Served
from provlog.client.heads import Heads
from provlog.client.memory import FileMemory, write_private
from provlog.merkle.encoding import JsonValue, loads_json, require_members
from provlog.merkle.errors import MerkleError
from provlog.merkle.tiles import Bundle
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

MAX_STATE = 16 << 20
SAVE_SECONDS = 2.0

OnFindings = Callable[[Sequence[Finding]], None]
OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit that is about to run: of which checkpoint, and from where on.

    `missed` is the size of the newest checkpoint that is known, where the log serves an
    older one: what came between is in no audit of what it serves.
    """

    signed: SignedCheckpoint
    auditor: Auditor
    state: "StateFile"
    missed: int | None = None


class StateFile:
    """Where an unfinished run of one log's audit stands. Of mode 0600.

    It is bound to the checkpoint that the run holds the log against, and it is worth
    nothing but time: what is no state of this log counts as none.
    """

    def __init__(self, path: Path, trust: Trust) -> None:
        self.path = path
        # Without the policy: the checkpoint was believed when the run began.
        self._trust = trust.any_key()

    def load(self) -> tuple[SignedCheckpoint, Auditor] | None:
        """Return checkpoint and auditor of the unfinished run, None without one."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_STATE)
            state = require_members(
                loads_json(data, "state"), ("v", "note", "auditor"), (), "state"
            )
            signed = verify_checkpoint(str(state["note"]).encode(), self._trust)
            auditor = Auditor.from_json(signed.checkpoint, state["auditor"])
        except (OSError, MerkleError, ValueError, TypeError):
            return None
        return (signed, auditor) if state["v"] == 1 else None

    def save(self, signed: SignedCheckpoint, auditor: Auditor) -> None:
        """Write down where the run is; to be called between two bundles."""
        value: dict[str, JsonValue] = {
            "v": 1,
            "note": signed.note.decode("utf-8"),
            "auditor": auditor.to_json(),
        }
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.path, json.dumps(value).encode())
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}") from None

    def clear(self) -> None:
        """Forget the run: it has finished."""
        self.path.unlink(missing_ok=True)


async def begin_audit(
    reader: LogReader, trust: Trust, memory: FileMemory, *, fresh: bool = False
) -> Audit:
    """Return an audit of the log's newest checkpoint, or of an unfinished run's.

    Either one is verified, and consistent with the newest one that is remembered and
    with the newest that the log serves. `fresh` forgets an unfinished run.
    """
    signed, heads = await newest_checkpoint(reader, trust, memory)
    path = memory.path("audits", trust.origin, "audit.json")
    state = StateFile(path, reader.keys.trust)
    unfinished = None if fresh else state.load()
    missed = missed_size(signed, heads)
    if unfinished is None:
        return Audit(signed, Auditor(signed.checkpoint), state, missed)
    await heads.accept(unfinished[0])
    return Audit(*unfinished, state, missed)


async def run_audit(
    audit: Audit,
    reader: LogReader,
    *,
    parallel: int,
    on_findings: OnFindings,
    on_progress: OnProgress,
) -> None:
    """Check everything that is left; findings are told as they are made.

    `on_progress` is called with the number of entries checked since its last call. If
    this raises, or the process dies, another run goes on from near there.
    """
    auditor, saved_at = audit.auditor, time.monotonic()
    try:
        async with aclosing(downloads(auditor.remaining(), reader, parallel)) as parts:
            async for part, served in parts:
                if (
                    isinstance(part, Bundle)
                    and time.monotonic() - saved_at > SAVE_SECONDS
                ):
                    audit.state.save(audit.signed, auditor)
                    saved_at = time.monotonic()
                done = auditor.done
                on_findings(auditor.feed(part, served.data, served.trouble))
                on_progress(auditor.done - done)
    except BaseException:
        if auditor.done < audit.signed.checkpoint.size:
            audit.state.save(audit.signed, auditor)
        raise
    on_findings(auditor.finish())
    on_findings(auditor.require_signer(audit.signed))
    audit.state.clear()


async def newest_checkpoint(
    reader: LogReader, trust: Trust, memory: FileMemory
) -> tuple[SignedCheckpoint, Heads]:
    """Return the log's newest checkpoint, verified, and what knows of others.

    It is consistent with the newest one that is remembered, and remembered itself. What
    the log announces of its keys and its end is followed first.
    """
    keys = reader.keys
    heads = Heads(trust, memory, reader.consistency, reader.inclusion)
    keys.remember_in(memory)
    keys.listen(heads.follow)
    await keys.recall()
    await keys.look()
    signed = await reader.checkpoint()
    await heads.accept(signed)
    await heads.save()
    return signed, heads


def missed_size(signed: SignedCheckpoint, heads: Heads) -> int | None:
    """Return the size of the newest checkpoint that is known; None if that is it."""
    newest = heads.newest
    if newest is None or newest.checkpoint.size <= signed.checkpoint.size:
        return None
    return newest.checkpoint.size


async def downloads(
    parts: Iterator[Part], reader: LogReader, parallel: int
) -> AsyncGenerator[tuple[Part, Served]]:
    """Yield the parts as they are served, in their order, `parallel` ahead at most.

    To be closed by whoever leaves it early: that ends what is under way.
    """
    fetched: deque[tuple[Part, asyncio.Task[Served]]] = deque()
    try:
        _fill(fetched, parts, reader, parallel)
        while fetched:
            part, task = fetched.popleft()
            yield part, await task
            _fill(fetched, parts, reader, parallel)
    finally:
        for _, task in fetched:
            task.cancel()
        await asyncio.gather(*(task for _, task in fetched), return_exceptions=True)


def _fill(
    fetched: deque[tuple[Part, asyncio.Task[Served]]],
    waiting: Iterator[Part],
    reader: LogReader,
    parallel: int,
) -> None:
    while len(fetched) < parallel:
        part = next(waiting, None)
        if part is None:
            return
        fetched.append((part, asyncio.create_task(reader.part(part))))
