"""libfaketime: a wall clock that a test sets, for programs that know nothing of it."""

import os
from collections.abc import Mapping
from pathlib import Path

_LIBRARIES = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib64/faketime/libfaketime.so.1"),
    Path("/usr/lib/faketime/libfaketime.so.1"),
)


class FakedTime:
    """A clock that is off by what a file says; the steady clocks stay as they are.

    `variables` belong into the environment of whoever is to be deceived.
    """

    def __init__(self, file: Path) -> None:
        library = _library()
        assert library is not None, "program: faketime is not installed"
        self._file = file
        self.variables: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    @staticmethod
    def lacks() -> str | None:
        """Return why no clock can be set here, None where one can."""
        return None if _library() else "program: faketime is not installed"

    def step(self, seconds: float) -> None:
        """Set the clock so far from the real one, at once."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{seconds:+.0f}\n")
        # Whoever reads it meanwhile sees the old clock or the new one.
        beside.rename(self._file)


def _library() -> Path | None:
    chosen = os.environ.get("PROVLOG_TEST_FAKETIME")
    candidates = [Path(chosen)] if chosen else _LIBRARIES
    return next((each for each in candidates if each.exists()), None)
