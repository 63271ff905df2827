"""What PostgreSQL's rows are remembered as, where they change while they are read."""

from collections.abc import Callable, Sequence

import pytest

from provlog.server.storage.base import SourceRecord, TokenRecord
from provlog.server.storage.postgres.remembered import Remembered
from provlog.server.storage.postgres.storage import PostgresStorage
from provlog.server.storage.rows import Row, token_row

TOKEN = TokenRecord(
    "t", bytes(32), None, frozenset(["admin"]), (), "", None, 0, None, None
)


class SlowAnswers(PostgresStorage):
    """Is never connected: `rows` are read, and something happens before they come."""

    def __init__(
        self, rows: Sequence[Row], meanwhile: Callable[["SlowAnswers"], None]
    ) -> None:
        super().__init__("postgresql://localhost/none")
        self.rows = rows
        self.asked = 0
        self._meanwhile = meanwhile

    async def fetch(self, *_: object) -> Sequence[Row]:
        rows = self.rows
        self.asked += 1
        self._meanwhile(self)
        return rows

    def fail_over(self) -> None:
        """Leave the database for another one."""
        self.rows = []
        self._remembered = Remembered()


async def test_a_token_is_not_read_twice_in_a_row() -> None:
    storage = SlowAnswers([token_row(TOKEN)], lambda _: None)
    assert await storage.token(TOKEN.id) == await storage.token(TOKEN.id) == TOKEN
    assert storage.asked == 1


@pytest.mark.parametrize("kind", ["source", "token"])
async def test_what_was_read_in_a_database_that_is_left_is_not_remembered(
    kind: str,
) -> None:
    rows = [("urn:a", "ns", None)] if kind == "source" else [token_row(TOKEN)]
    storage = SlowAnswers(rows, SlowAnswers.fail_over)
    if kind == "source":
        assert await storage.source(1, "urn:a") == SourceRecord("urn:a", "ns", None)
        assert await storage.source(1, "urn:a") is None
    else:
        assert await storage.token(TOKEN.id) == TOKEN
        assert await storage.token(TOKEN.id) is None
