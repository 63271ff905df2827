"""Every storage's logs, sources and tokens: registered once, and as they were."""

import asyncio
from dataclasses import replace

import pytest

from provlog.server.storage.base import (
    AlreadyExistsError,
    LogRecord,
    SourceRecord,
    Storage,
    TokenRecord,
)
from provlog.server.storage.postgres import remembered
from support.engines import Engine, new_record
from support.written_logs import WrittenLog, key_of, numbered


async def create(storage: Storage, record: LogRecord) -> int:
    async with storage.transaction() as transaction:
        number = await transaction.create_log(record)
        await transaction.commit()
        return number


async def test_name_and_origin_of_a_log_are_its_own(engine: Engine) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        record = new_record()
        number = await create(storage, record)
        unused = new_record()
        for taken in (
            record,
            replace(record, name=unused.name),
            replace(record, origin=unused.origin),
        ):
            with pytest.raises(AlreadyExistsError):
                await create(other, taken)
        assert await other.log(record.name) == replace(record, id=number)
        assert await create(other, unused) != number


async def test_of_two_that_make_one_log_at_once_one_does(engine: Engine) -> None:
    async with engine.opened() as one, engine.opened() as two:
        record = new_record()
        made = await asyncio.gather(
            *(create(storage, record) for storage in (one, two, one)),
            return_exceptions=True,
        )
        [number] = [each for each in made if isinstance(each, int)]
        failed = [type(each) for each in made if not isinstance(each, int)]
        assert failed == [AlreadyExistsError] * 2
        assert await two.log(record.name) == replace(record, id=number)


async def register(storage: Storage, log: WrittenLog, *sources: SourceRecord) -> None:
    extension = log.extension(log.entries([b"{admin}"]))
    index = len(log.leaves)
    registered = [(index, source) for source in sources]
    await log.commit(storage, replace(extension, sources=registered))


async def test_sources_are_registered_once_and_for_good(engine: Engine) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log, stranger = [await WrittenLog.create(storage) for _ in range(2)]
        sources = [
            SourceRecord("urn:a", "urn:a", None),
            SourceRecord("urn:B", "https://idp.example/", "okta"),
            SourceRecord("urn:a:b", "urn:a", "entra"),
        ]
        assert await other.source(log.id, "urn:a") is None
        await register(storage, log, *sources)
        for each in (storage, other):
            for source in sources * 2:
                assert await each.source(log.id, source.uri) == source
            assert await each.source(log.id, "urn") is None
            assert await each.source(stranger.id, "urn:a") is None
            assert await each.sources(stranger.id) == []
            by_uri = sorted(sources, key=lambda source: source.uri)
            assert await each.sources(log.id) == by_uri
            assert await each.registrations(log.id) == [(0, one) for one in by_uri]
        with pytest.raises(AlreadyExistsError):
            await register(other, log, replace(sources[0], ns="urn:other"))
        assert await storage.source(log.id, "urn:a") == sources[0]
        await register(other, stranger, replace(sources[0], ns="urn:other"))


def token(name: str, logs: frozenset[int] | None) -> TokenRecord:
    return TokenRecord(
        id=f"{new_record(name).name}",
        digest=key_of(name),
        logs=logs,
        roles=frozenset({"submitter", "auditor"}),
        sources=("urn:b", "urn:a"),
        note="for the tests' own: ~ \\ ü",
        rate=2.5,
        created=1_800_000_000_000,
        expires=None,
        revoked=None,
    )


async def store(storage: Storage, log: WrittenLog, *tokens: TokenRecord) -> None:
    extension = log.extension(log.entries([b"{admin}"]))
    await log.commit(storage, replace(extension, tokens=tokens))


async def revoke(storage: Storage, log: WrittenLog, token_id: str, at: int) -> None:
    extension = log.extension(log.entries([b"{admin}"]))
    await log.commit(storage, replace(extension, revoked_tokens={token_id: at}))


async def test_tokens_come_back_as_they_were(engine: Engine) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log, stranger = [await WrittenLog.create(storage) for _ in range(2)]
        mine = replace(token("b", frozenset({log.id, 10**9})), sources=("urn:a", "*"))
        mine = replace(mine, sources=tuple(sorted(mine.sources)))
        theirs = replace(token("a", frozenset({stranger.id})), sources=(), rate=None)
        everybody = replace(token("c", None), sources=("*",), expires=5, note="")
        await store(storage, log, mine, theirs, everybody)
        for each in (mine, theirs, everybody):
            assert await storage.token(each.id) == each
            assert await other.token(each.id) == each
        assert await other.token(mine.id + "x") is None
        known = {mine, theirs, everybody}
        assert known <= set(await other.tokens(None))
        reaching = [each for each in await other.tokens(log.id) if each in known]
        assert reaching == [mine, everybody]
        ids = [each.id for each in await storage.tokens(None)]
        assert ids == sorted(ids)


async def test_a_token_is_stored_once(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(1))
        first = replace(token("t", None), sources=())
        await store(storage, log, first)
        with pytest.raises(AlreadyExistsError):
            await store(storage, log, replace(first, note="another"))
        assert await storage.token(first.id) == first


async def test_a_revocation_counts_at_once_and_is_final(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.opened() as storage, engine.opened() as other:
        log = await WrittenLog.create(storage, numbered(1))
        known = replace(token("t", None), sources=())
        await store(storage, log, known)
        assert await storage.token(known.id) == known
        assert await other.token(known.id) == known
        await revoke(storage, log, known.id, 7)
        assert await storage.token(known.id) == replace(known, revoked=7)
        # Another process may have read it within this second.
        monkeypatch.setattr(remembered, "TOKEN_SECONDS", 0.0)
        assert await other.token(known.id) == replace(known, revoked=7)
        await revoke(other, log, known.id, 9)
        await revoke(other, log, "no-such-token", 9)
        assert await storage.token(known.id) == replace(known, revoked=7)


async def test_a_revocation_that_is_rolled_back_is_none(engine: Engine) -> None:
    async with engine.opened() as storage:
        log = await WrittenLog.create(storage, numbered(1))
        known = replace(token("t", None), sources=())
        await store(storage, log, known)
        async with storage.transaction() as transaction:
            extension = log.extension(log.entries([b"{admin}"]))
            await transaction.extend(replace(extension, revoked_tokens={known.id: 7}))
        assert await storage.token(known.id) == known
