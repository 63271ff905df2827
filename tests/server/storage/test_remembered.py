"""What PostgreSQL's storage keeps at hand is never what was so before a revocation."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from provlog.server.storage.base import TokenRecord
from provlog.server.storage.postgres.schema import create_database
from provlog.server.storage.postgres.storage import PostgresStorage
from provlog.server.storage.rows import Row
from provlog.server.tokens import mint_token
from support.services import now_ms
from support.written_logs import WrittenLog

pytestmark = pytest.mark.needs("postgres")


class Late(PostgresStorage):
    """A storage whose answers are held back while `held` is set."""

    held: asyncio.Event | None = None
    answered: asyncio.Event

    async def fetch(self, statement: str, *values: object) -> Sequence[Row]:
        rows = await super().fetch(statement, *values)
        if self.held is not None:
            self.answered.set()
            await self.held.wait()
        return rows


async def write(log: WrittenLog, storage: Late, token: TokenRecord, at: int) -> None:
    """Store a token, or revoke it at a time that is not 0."""
    extension = log.extension(log.entries([b"{admin}"]))
    revoked = {token.id: at} if at else {}
    tokens = () if at else (token,)
    await log.commit(storage, replace(extension, tokens=tokens, revoked_tokens=revoked))


async def test_a_token_that_was_asked_for_before_its_revocation_is_not_kept(
    postgres_url: str,
) -> None:
    await create_database(postgres_url)
    storage = Late(postgres_url)
    try:
        await storage.open()
        log = await WrittenLog.create(storage)
        token = mint_token(logs=None, roles=["monitor"], now=now_ms()).record
        await write(log, storage, token, 0)
        storage.held, storage.answered = asyncio.Event(), asyncio.Event()
        asking = asyncio.create_task(storage.token(token.id))
        await storage.answered.wait()
        await write(log, storage, token, 7)
        storage.held.set()
        assert await asking == token
        assert await storage.token(token.id) == replace(token, revoked=7)
    finally:
        await storage.close()
