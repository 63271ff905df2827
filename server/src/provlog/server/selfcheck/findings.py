"""What a check found: where it stands and what is wrong with it.

No text here ever holds personal data: keys are indexes, numbers, blinded ids, source
URIs and public token ids, and what stands in a row is never repeated.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, TypeAlias

MAX_KEPT: Final = 1000
"""How many findings are kept; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement.

    `log` is a log's name, None where the finding is about no single one; `key` names
    the row in its `table`, `column` the column that is wrong where that is known.
    """

    log: str | None
    table: str
    key: str | None
    column: str | None
    what: str

    def text(self) -> str:
        """Return the finding as one line."""
        place = [f"log {self.log}"] if self.log is not None else []
        row = self.table if self.key is None else f"{self.table} {self.key}"
        place.append(row)
        if self.column is not None:
            place.append(self.column)
        return f"{', '.join(place)}: {self.what}"

    def json(self) -> dict[str, str | None]:
        """Return the finding as a JSON object."""
        return asdict(self)


Report: TypeAlias = Callable[[str, int | str | None, str | None, str], None]
"""Takes table, key, column and what is wrong."""


class Findings:
    """Everything one pass found. `kept` are the first `MAX_KEPT`, `total` all."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.total = 0

    def of(self, log: str | None) -> Report:
        """Return what takes the findings about one log."""

        def report(
            table: str, key: int | str | None, column: str | None, what: str
        ) -> None:
            self.total += 1
            if len(self.kept) < MAX_KEPT:
                name = None if key is None else str(key)
                self.kept.append(Finding(log, table, name, column, what))

        return report
