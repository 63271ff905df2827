"""The alarms of one log on disk: what was told is told once, whatever happens here."""

import json
from pathlib import Path
from typing import Final

from provlog.client.errors import UsageError
from provlog.client.memory import write_private
from provlog.client.monitoring.alarms import Alarms
from provlog.merkle.encoding import loads_json, require_members
from provlog.merkle.errors import MalformedError

MAX_FILE: Final = 4 << 20


class AlarmFile:
    """Where the alarms of `origin` are kept; mode 0600, replaced as a whole."""

    def __init__(self, path: Path, origin: str) -> None:
        self.path = path
        self._origin = origin
        self._written: str | None = None

    def load(self, alarms: Alarms) -> None:
        """Take up what is kept; raises `UsageError` for a file that is damaged.

        It says which logs are convicted, so that it is not passed over in silence.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_FILE)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}") from None
        try:
            names = ("v", "origin", "alarms")
            state = require_members(loads_json(data, "alarms"), names, (), "alarms")
            if state["v"] != 1 or state["origin"] != self._origin:
                raise MalformedError("alarms: of another log")
            alarms.restore(state["alarms"])
        except MalformedError as error:
            raise UsageError(
                f"{self.path}: damaged ({error}); move it away, and what it knew of "
                "lasting alarms with it"
            ) from None

    def save(self, alarms: Alarms) -> None:
        """Write the alarms if they changed; raises `UsageError` where it cannot."""
        value = {"v": 1, "origin": self._origin, "alarms": alarms.to_json()}
        text = json.dumps(value)
        if text == self._written:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.path, text.encode())
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}") from None
        self._written = text
