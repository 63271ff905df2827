"""A guard in memory, for tests that start services by the hundred."""

from provlog.server.guard import GuardRecord, ReleasedHead


class MemoryGuard:
    """A `Guard` whose record every service of a test shares."""

    def __init__(self) -> None:
        self._heads: dict[str, ReleasedHead] = {}

    @property
    def shared(self) -> bool:
        """False, like a file's."""
        return False

    @property
    def failures(self) -> int:
        """None ever."""
        return 0

    async def prepare(self) -> None:
        """Return: it can be relied on."""

    async def read(self, origin: str) -> ReleasedHead | None:
        """Return the newest released head."""
        return self._heads.get(origin)

    async def inspect(self, origin: str) -> GuardRecord | None:
        """Return all that is recorded."""
        head = self._heads.get(origin)
        return None if head is None else GuardRecord(head)

    async def retire(self, origin: str, head: ReleasedHead, successor: str) -> bool:
        """Return False: nothing is retired here."""
        return False

    async def recall(self, origin: str) -> ReleasedHead | None:
        """Return the newest released head."""
        return self._heads.get(origin)

    async def replace(
        self, origin: str, known: ReleasedHead | None, head: ReleasedHead
    ) -> bool:
        """Record `head` if `known` is what is recorded; tell whether it was."""
        if known is not None and head.size <= known.size:
            raise ValueError("the guard only advances")
        if self._heads.get(origin) != known:
            return False
        self._heads[origin] = head
        return True

    async def flush(self) -> None:
        """Return: nothing outlives the test."""

    def flush_age(self) -> float:
        """Return 0."""
        return 0.0

    def size(self, origin: str) -> int | None:
        """Return the size that is recorded."""
        head = self._heads.get(origin)
        return None if head is None else head.size

    def describe(self, origin: str) -> str:
        """Return where the record stands, for messages."""
        return "memory"

    async def close(self) -> None:
        """Return: nothing is open."""
