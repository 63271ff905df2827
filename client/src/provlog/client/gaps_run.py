"""One pass over a log's sources: everything that is told of them was verified first.

The leaves are downloaded, and held against the checkpoint, as an audit does it: one
that was dropped, moved or changed is found out before a word is said of any source.
"""

import json
import os
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from provlog.client.auditing import Auditor
from provlog.client.auditing_run import downloads, missed_size, newest_checkpoint
from provlog.client.chain import split_entries
from provlog.client.errors import UsageError, printable
from provlog.client.fetching import LogReader
from provlog.client.memory import FileMemory, write_private
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import JsonValue, loads_json, require_members
from provlog.merkle.errors import ContentError, MalformedError
from provlog.merkle.source_fold import Scope, SourceFold
from provlog.merkle.tiles import TILE_WIDTH, Bundle
from provlog.merkle.trust import SignedCheckpoint, Trust

MAX_RESUME = 256 << 20
"""The largest file that is read to go on from, in bytes."""

_VERSION = 1
_NAMED = 5


@dataclass(frozen=True, slots=True)
class SourcePass:
    """A pass that is about to run: over which log, and from where on."""

    signed: SignedCheckpoint
    auditor: Auditor
    fold: SourceFold
    resume: "ResumeFile | None"
    missed: int | None = None


class ResumeFile:
    """Where a pass left off, so that the next one reads only what is new. Mode 0600.

    It is of one log and one scope. What it says was verified when it was written; what
    is read from there on has to lead to the root of the checkpoint that is read to, or
    nothing is told.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(
        self, checkpoint: Checkpoint, scope: Scope
    ) -> tuple[Auditor, SourceFold] | None:
        """Return what a pass goes on with; None without a file, or with a larger log's.

        Raises `UsageError` where the file is another log's or scope's, or damaged, and
        where a new one could not be written.
        """
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_RESUME + 1)
        except FileNotFoundError:
            # Hours may lie before `save`: what will fail there is better told now.
            if not os.access(self._path.absolute().parent, os.W_OK):
                raise UsageError(
                    f"{self._path}: its folder is not there, or not to be written to"
                ) from None
            return None
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror}") from None
        try:
            return self._read(data, checkpoint, scope)
        except (MalformedError, ValueError, TypeError) as error:
            why = str(error) if isinstance(error, MalformedError) else "damaged"
            raise UsageError(
                f"{self._path}: cannot be gone on from ({why}): it may be of another"
                " log or of other options; give another file, or remove it"
            ) from None

    def _read(
        self, data: bytes, checkpoint: Checkpoint, scope: Scope
    ) -> tuple[Auditor, SourceFold] | None:
        digest, _, text = data.partition(b"\n")
        if digest != sha256(text).hexdigest().encode():
            raise MalformedError("not as it was written")
        names = ("v", "origin", "auditor", "fold")
        state = require_members(loads_json(text, "state"), names, (), "state")
        if (state["v"], state["origin"]) != (_VERSION, checkpoint.origin):
            raise MalformedError("of another log")
        fold = SourceFold.from_json(scope, state["fold"])
        if fold.size >= checkpoint.size:
            return None
        auditor = Auditor.from_json(checkpoint, state["auditor"])
        if auditor.done != fold.size or auditor.total:
            raise MalformedError("half of it is missing")
        return auditor, fold

    def save(self, state: dict[str, JsonValue]) -> None:
        """Write a state of `_state`, whole or not at all; raises `UsageError`."""
        text = json.dumps(state).encode()
        try:
            digest = sha256(text).hexdigest().encode()
            write_private(self._path, digest + b"\n" + text)
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror}") from None


async def begin_pass(
    reader: LogReader,
    trust: Trust,
    memory: FileMemory,
    scope: Scope,
    resume: ResumeFile | None = None,
) -> SourcePass:
    """Return a pass up to the log's newest checkpoint, which has been verified.

    It goes on where the last one with the same file left off. Raises `UsageError` as
    `ResumeFile.load` does.
    """
    signed, heads = await newest_checkpoint(reader, trust, memory)
    missed = missed_size(signed, heads)
    known = None if resume is None else resume.load(signed.checkpoint, scope)
    if known is None:
        fresh = Auditor(signed.checkpoint), SourceFold(scope)
        return SourcePass(signed, *fresh, resume, missed)
    return SourcePass(signed, *known, resume, missed)


async def run_pass(
    run: SourcePass,
    reader: LogReader,
    *,
    parallel: int,
    on_progress: Callable[[int], None],
) -> SourceFold:
    """Return the reports on all sources, once every leaf of them is known to be true.

    Raises `ContentError`, which names the first things that are wrong, if any is.
    """
    auditor, fold = run.auditor, run.fold
    last = -(-run.signed.checkpoint.size // TILE_WIDTH) - 1
    state: dict[str, JsonValue] | None = None
    async with aclosing(downloads(auditor.remaining(), reader, parallel)) as parts:
        async for part, served in parts:
            if isinstance(part, Bundle) and part.index == last and run.resume:
                # The last bundle will most often have grown when the next pass begins.
                state = _state(run)
            done = auditor.done
            auditor.feed(part, served.data, served.trouble)
            if isinstance(part, Bundle) and not auditor.total:
                for leaf in split_entries(served.data or b"", part.width):
                    fold.add(leaf)
            on_progress(auditor.done - done)
    auditor.finish()
    auditor.require_signer(run.signed)
    if auditor.total:
        raise _wrong(auditor)
    if run.resume is not None and state is not None:
        run.resume.save(state)
    return fold


def _state(run: SourcePass) -> dict[str, JsonValue]:
    return {
        "v": _VERSION,
        "origin": run.signed.checkpoint.origin,
        "auditor": run.auditor.to_json(),
        "fold": run.fold.to_json(),
    }


def _wrong(auditor: Auditor) -> ContentError:
    named = [
        f"{each.place}: {printable(each.problem)}" for each in auditor.findings[:_NAMED]
    ]
    more = auditor.total - len(named)
    if more:
        named.append(f"and {more} more; provlog audit names them")
    return ContentError("the log is not what it signed: " + "; ".join(named))
