"""What is known of a log's witnesses, for `witnesses show` and the next start.

``<log>.json`` in DIR/witnessed is written by the process that asks, now and then. It is
worth nothing but the question that it saves: a lost one is made anew.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from provlog.server.witnessing import folder
from provlog.server.witnessing.witness import Witness

logger = logging.getLogger(__name__)

MAX_STATE: Final = 1 << 20
KEEP_SECONDS: Final = 2.0


class Seen(msgspec.Struct, frozen=True):
    """What is known of one witness; times are POSIX seconds.

    `cosigned` is the time of its newest cosignature by each of its names.
    """

    names: list[str]
    url: str
    size: int | None
    state: str
    detail: str
    answered: float | None
    seconds: float | None
    cosigned: dict[str, int]


class State(msgspec.Struct, frozen=True):
    """What is known of all witnesses of the log `origin`, at the time `written`."""

    origin: str
    written: float
    witnesses: list[Seen]

    def sizes(self) -> dict[str, int]:
        """Return the sizes that witnesses know, by label."""
        return {
            each.names[0]: each.size
            for each in self.witnesses
            if each.names and each.size is not None and each.size >= 0
        }


def state_path(state: Path, log: str) -> Path:
    """Return the file of a log."""
    return state / f"{log}.json"


def write_state(path: Path, origin: str, witnesses: Sequence[Witness]) -> None:
    """Write down what is known now; `OSError` where that cannot be done."""
    seen = [
        Seen(
            [*each.endpoint.names.values()],
            each.endpoint.submission,
            each.known,
            each.state,
            each.detail,
            each.answered,
            each.seconds,
            dict(each.cosigned),
        )
        for each in witnesses
    ]
    data = msgspec.json.encode(State(origin, time.time(), seen))
    folder.replace(path, data + b"\n", durable=False)


def read_state(path: Path, origin: str | None = None) -> State | None:
    """Return what was written down, None where that is nothing of this log."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STATE + 1)
        if len(data) > MAX_STATE:
            return None
        state = msgspec.json.decode(data, type=State)
    except (OSError, msgspec.MsgspecError):
        return None
    return state if origin is None or state.origin == origin else None


class StateKeeper:
    """Writes down what is known of a log's witnesses, now and then."""

    def __init__(self, path: Path, origin: str, witnesses: Sequence[Witness]) -> None:
        self._path = path
        self._origin = origin
        self._witnesses = witnesses
        self._kept = -KEEP_SECONDS

    def keep(self) -> None:
        """Write it down, unless that was done a moment ago; a failure is logged."""
        if time.monotonic() - self._kept < KEEP_SECONDS:
            return
        self._kept = time.monotonic()
        try:
            write_state(self._path, self._origin, self._witnesses)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error.strerror)
