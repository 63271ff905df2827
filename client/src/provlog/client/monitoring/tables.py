"""TOML tables, read strictly: every mistake is said with the file and the place."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from provlog.client.errors import UsageError, printable

MAX_CONFIG: Final = 1 << 20

_SPAN: Final = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)", re.ASCII)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Table:
    """One table of a configuration file; `place` says which to a person.

    Members are taken one by one, and `finish` refuses what nobody took. All of it
    raises `UsageError`. Paths are relative to the folder of the file.
    """

    def __init__(self, file: Path, place: str, values: Mapping[str, Any]) -> None:
        self._file = file
        self._place = place
        self._values = dict(values)
        self._names: list[str] = []

    @classmethod
    def read(cls, file: Path) -> "Table":
        """Return the whole of a file."""
        try:
            with file.open("rb") as opened:
                data = opened.read(MAX_CONFIG + 1)
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}") from None
        if len(data) > MAX_CONFIG:
            raise UsageError(f"{file}: larger than {MAX_CONFIG} bytes")
        try:
            return cls(file, "", tomllib.loads(data.decode("utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"{file}: not TOML: {printable(str(error))}") from None

    def fault(self, name: str, what: str) -> UsageError:
        """Return the error that says what is amiss with a member."""
        place = f"{self._place} " if self._place else ""
        return UsageError(f"{self._file}: {place}{name}: {what}")

    def text(self, name: str) -> str | None:
        """Return a text that is not empty, None where there is none."""
        value = self._take(name)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.fault(name, "not a text")
        return value

    def need(self, name: str) -> str:
        """Return a text that has to be there."""
        value = self.text(name)
        if value is None:
            raise self.fault(name, "missing")
        return value

    def choice(self, name: str, allowed: Sequence[str], default: str) -> str:
        """Return one of the texts that are allowed."""
        value = self.text(name) or default
        if value not in allowed:
            raise self.fault(name, f"not one of {', '.join(allowed)}")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false; false where it is left out."""
        value = self._take(name)
        if value not in (None, True, False) or type(value) is int:
            raise self.fault(name, "not true or false")
        return value is True

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        value = self._take(name)
        if value is None:
            return default
        if type(value) is not int or not least <= value <= most:
            raise self.fault(name, f"not a number from {least} to {most}")
        return value

    def span(self, name: str) -> float | None:
        """Return a span of time such as ``90s`` or ``24h``, in seconds."""
        value = self.text(name)
        if value is None:
            return None
        match = _SPAN.fullmatch(value)
        if match is None:
            raise self.fault(name, "write a span such as 90s, 30m, 24h or 7d")
        return int(match[1]) * _UNITS[match[2]]

    def path(self, name: str) -> Path | None:
        """Return a path, relative to the folder of the file."""
        value = self.text(name)
        return None if value is None else self._file.parent / value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; one text counts as a list of one."""
        value = self._take(name)
        found = [value] if isinstance(value, str) else value or []
        if not isinstance(found, list) or not all(isinstance(e, str) for e in found):
            raise self.fault(name, "not a list of texts")
        return tuple(found)

    def table(self, name: str) -> "Table | None":
        """Return a table inside of this one."""
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.fault(name, f"not a table: write [{name}]")
        place = f"{self._place}.{name}" if self._place else name
        return Table(self._file, place, value)

    def tables(self, name: str, most: int) -> list["Table"]:
        """Return a list of tables, at most `most`."""
        value = self._take(name)
        if value is None:
            return []
        is_list = isinstance(value, list) and all(isinstance(e, dict) for e in value)
        if not is_list or len(value) > most:
            raise self.fault(name, f"not tables: write [[{name}]], {most} at most")
        return [
            Table(self._file, f"{name} {number}", each)
            for number, each in enumerate(value, 1)
        ]

    def finish(self) -> None:
        """Refuse what nobody knows."""
        unknown = sorted(set(self._values) - set(self._names))
        if unknown:
            known = ", ".join(self._names)
            raise self.fault(printable(unknown[0]), f"none of {known}")

    def _take(self, name: str) -> Any:  # noqa: ANN401  TOML holds anything
        self._names.append(name)
        return self._values.get(name)
