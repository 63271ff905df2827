"""Alerts on their way: kept in a file until their receiver has taken them.

A file holds what one way has still to deliver, in order. It is written as a whole
before an alert counts as put, and again when one was delivered: if we crash between
the delivery and that, it is delivered once more, under the same id.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from provlog.client.alerting.alerts import Alert
from provlog.client.errors import UsageError
from provlog.client.memory import write_private
from provlog.merkle.encoding import loads_json
from provlog.merkle.errors import MalformedError

MAX_WAITING: Final = 1000
MAX_FILE: Final = 64 << 20


class Backlog:
    """The alerts that wait for one way, oldest first; mode 0600. Not for two threads.

    Beyond `MAX_WAITING` the oldest of the least severe ones goes; `dropped` counts.
    Raises `UsageError` where the file cannot be read or written.
    """

    def __init__(self, path: Path, most: int = MAX_WAITING) -> None:
        self._path = path
        self._most = most
        self.dropped = 0
        self._waiting = _read(path)

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self, passed: int = 0) -> Alert | None:
        """Return the one that is next behind those that are passed, None if none is."""
        return self._waiting[passed] if passed < len(self._waiting) else None

    def put(self, alerts: Sequence[Alert]) -> None:
        """Keep more alerts; they are on disk when this returns."""
        self._waiting += alerts
        while len(self._waiting) > self._most:
            self._waiting.pop(self._least())
            self.dropped += 1
        self._write()

    def take(self, alert: Alert) -> None:
        """Forget one that was delivered."""
        if alert in self._waiting:
            self._waiting.remove(alert)
            self._write()

    def _least(self) -> int:
        for severity in ("info", "warning", "critical"):
            for place, each in enumerate(self._waiting):
                if each.severity == severity:
                    return place
        return 0

    def _write(self) -> None:
        value = [each.to_state() for each in self._waiting]
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path, json.dumps(value).encode())
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror}") from None


def _read(path: Path) -> list[Alert]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    try:
        value = loads_json(data, "alerts")
        if not isinstance(value, list):
            raise MalformedError("alerts: no list")
        return [Alert.from_state(each) for each in value]
    except MalformedError as error:
        raise UsageError(
            f"{path}: damaged ({error}); move it away, and with it the alerts that "
            "were not delivered yet"
        ) from None
