"""Where the reading of every entry of one log stands, across restarts.

The file is worth time, not trust: whatever it says, what is read from there on has to
lead to the root of a checkpoint, or it counts as not read. What is no state of this log
counts as none, and everything is read anew.
"""

import contextlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from provlog.client.auditing import Auditor
from provlog.client.auditing_parts import MAX_LISTED, Finding, read_findings
from provlog.client.errors import UsageError
from provlog.client.memory import write_private
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import JsonValue, loads_json, require_members
from provlog.merkle.errors import MalformedError

MAX_STATE: Final = 16 << 20
MAX_PENDING: Final = 10_000

_MEMBERS = ("v", "origin", "size", "recorded", "verified", "progress", "broken", "todo")


@dataclass(frozen=True, slots=True)
class Todo:
    """What rules on entries have still to judge.

    `start` is the first entry that none of them looked at, None before the first
    pass; `pending` are entries before it that some rule concerns, in order; `skipped`
    counts those there was no room for.
    """

    start: int | None = None
    pending: tuple[int, ...] = ()
    skipped: int = 0

    def to_json(self) -> JsonValue:
        """Return it for `from_json`."""
        return [self.start, list(self.pending), self.skipped]

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Return what `to_json` returned, or raise `MalformedError`."""
        if not isinstance(value, list) or len(value) != 3:
            raise MalformedError("state: nothing to judge")
        start, pending, skipped = value
        if not isinstance(pending, list) or len(pending) > MAX_PENDING:
            raise MalformedError("state: no list of entries")
        indexes = tuple(_whole(each) or 0 for each in pending)
        return cls(_whole(start), indexes, _whole(skipped) or 0)


@dataclass(frozen=True, slots=True)
class FullState:
    """What was read and verified, and how far a pass is that has not ended.

    `size` is that of the newest tree of which every entry was read, `verified` the
    auditor's state at the last bundle before its end, `progress` that of a pass under
    way. `broken` are rules of the log that its own entries break: those stay. `todo`
    is what rules on entries have still to judge.
    """

    origin: str
    size: int = 0
    recorded: int | None = None
    verified: JsonValue = None
    progress: JsonValue = None
    broken: tuple[Finding, ...] = ()
    todo: Todo = field(default_factory=lambda: Todo())

    def begin(self, checkpoint: Checkpoint) -> tuple[Auditor, Todo]:
        """Return an auditor of the checkpoint that goes on from as far as possible.

        And what rules had to judge when it was there.
        """
        with contextlib.suppress(MalformedError, ValueError, TypeError):
            progress = require_members(self.progress, ("auditor", "todo"), (), "state")
            auditor = Auditor.from_json(checkpoint, progress["auditor"])
            return auditor, Todo.from_json(progress["todo"])
        with contextlib.suppress(MalformedError, ValueError, TypeError):
            return Auditor.from_json(checkpoint, self.verified), self.todo
        return Auditor(checkpoint), self.todo

    def under_way(self, auditor: Auditor, todo: Todo) -> Self:
        """Return the state with a pass that has come as far as `auditor`."""
        progress: dict[str, JsonValue] = {
            "auditor": without_findings(auditor),
            "todo": todo.to_json(),
        }
        return replace(self, progress=progress)

    def with_broken(self, findings: list[Finding]) -> Self:
        """Return the state with those findings that it has not got yet."""
        known = {(each.place, each.problem) for each in self.broken}
        new = [each for each in findings if (each.place, each.problem) not in known]
        return replace(self, broken=(*self.broken, *new)[:MAX_LISTED])

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state for `FullFile`."""
        return {
            "v": 1,
            "origin": self.origin,
            "size": self.size,
            "recorded": self.recorded,
            "verified": self.verified,
            "progress": self.progress,
            "broken": [[f.place, f.problem, f.index] for f in self.broken],
            "todo": self.todo.to_json(),
        }


class FullFile:
    """The file of a `FullState`, replaced as a whole after a flush; mode 0600."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin

    def load(self) -> FullState:
        """Return the state, an empty one where there is none that can be used."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_STATE)
            return _read(loads_json(data, "state"), self._origin)
        except (OSError, MalformedError):
            return FullState(self._origin)

    def save(self, state: FullState) -> None:
        """Write the state; raises `UsageError` where it cannot be written."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path, json.dumps(state.to_json()).encode())
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror}") from None


def _read(value: JsonValue, origin: str) -> FullState:
    state = require_members(value, _MEMBERS, (), "state")
    if state["v"] != 1 or state["origin"] != origin:
        raise MalformedError("state: of another log")
    return FullState(
        origin,
        _whole(state["size"]) or 0,
        _whole(state["recorded"]),
        state["verified"],
        state["progress"],
        tuple(read_findings(state["broken"])),
        Todo.from_json(state["todo"]),
    )


def without_findings(auditor: Auditor) -> dict[str, JsonValue]:
    """Return an auditor's state; what it found is found again, or kept elsewhere."""
    return {**auditor.to_json(), "total": 0, "findings": []}


def _whole(value: JsonValue) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise MalformedError("state: a member is no whole number")
    return value
