"""Issuers' keys: fetched seldom, whoever asks, and kept while they are good."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from provlog.merkle.errors import MalformedError
from provlog.server.issuer_keys import (
    BETWEEN,
    LIFETIME,
    LONGEST,
    FileKeys,
    KeysUnavailableError,
    KnownKeys,
    RemoteKeys,
)
from support.fake_set_transmitter import FakeTransmitter, fake_transmitter
from support.sets import JWKS, key_set, make_key


class Clock:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def fake() -> AsyncIterator[FakeTransmitter]:
    async with fake_transmitter() as running:
        yield running


def names(known: KnownKeys) -> list[str | None]:
    return [key.kid for key in known.keys]


async def test_keys_are_fetched_again_when_they_are_old(fake: FakeTransmitter) -> None:
    clock = Clock()
    source = RemoteKeys(fake.jwks_url, clock)
    assert names(await source.keys("key-1")) == ["key-1"]
    clock.now += LIFETIME - 1
    await source.keys("key-1")
    await source.keys(None)
    assert fake.key_requests == 1
    clock.now += 1
    await source.keys("key-1")
    assert fake.key_requests == 2


async def test_a_key_that_is_no_longer_shown_is_no_longer_taken(
    fake: FakeTransmitter,
) -> None:
    clock = Clock()
    source = RemoteKeys(fake.jwks_url, clock)
    await source.keys("key-1")
    fake.rotate()
    clock.now += LIFETIME
    assert "key-1" not in names(await source.keys("key-1"))


async def test_old_keys_are_used_for_a_day_while_no_newer_can_be_had(
    fake: FakeTransmitter,
) -> None:
    clock = Clock()
    source = RemoteKeys(fake.jwks_url, clock)
    await source.keys("key-1")
    fake.key_answers = [web.Response(status=500) for _ in range(3)]
    clock.now += LIFETIME
    assert names(await source.keys("key-1")) == ["key-1"]
    clock.now += LONGEST
    with pytest.raises(KeysUnavailableError):
        await source.keys("key-1")
    assert fake.key_requests == 3
    clock.now += BETWEEN
    with pytest.raises(KeysUnavailableError):
        await source.keys("key-1")
    clock.now += BETWEEN
    assert names(await source.keys("key-1")) == ["key-1"]


async def test_current_keys_are_fetched_after_they_were_asked_for(
    fake: FakeTransmitter,
) -> None:
    clock = Clock()
    source = RemoteKeys(fake.jwks_url, clock)
    assert (await source.keys(None)).current
    clock.now += BETWEEN
    assert not (await source.keys(None)).current
    assert (await source.keys(None, current=True)).current
    assert fake.key_requests == 2
    clock.now += 1
    with pytest.raises(KeysUnavailableError):
        await source.keys(None, current=True)


async def test_an_unknown_key_is_asked_for_no_more_than_once_a_minute(
    fake: FakeTransmitter,
) -> None:
    clock = Clock()
    source = RemoteKeys(fake.jwks_url, clock)
    await source.keys("key-1")
    clock.now += BETWEEN
    for _ in range(50):
        # Once it was asked for, what there is is all there is to say for this moment.
        try:
            assert "unheard" not in names(await source.keys("unheard"))
        except KeysUnavailableError:
            clock.now += 1
    assert fake.key_requests == 2
    assert names(await source.keys("key-1")) == ["key-1"]


async def test_a_request_that_is_given_up_does_not_end_the_fetch(
    fake: FakeTransmitter,
) -> None:
    fake.hold = asyncio.Event()
    source = RemoteKeys(fake.jwks_url, Clock())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await source.keys("key-1")
    waiting = asyncio.create_task(source.keys("key-1"))
    await asyncio.wait_for(fake.keys_asked.wait(), 10)
    fake.hold.set()
    assert names(await waiting) == ["key-1"]
    assert fake.key_requests == 1


async def test_a_fetch_under_way_ends_when_the_source_is_closed(
    fake: FakeTransmitter,
) -> None:
    fake.hold = asyncio.Event()
    source = RemoteKeys(fake.jwks_url, Clock())
    waiting = asyncio.create_task(source.keys("key-1"))
    await asyncio.wait_for(fake.keys_asked.wait(), 10)
    await source.close()
    with pytest.raises((asyncio.CancelledError, KeysUnavailableError)):
        await waiting


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=404),
        lambda: web.Response(status=302, headers={"Location": "/jwks"}),
        lambda: web.Response(body=b"<html>"),
        lambda: web.Response(body=b"[]"),
        lambda: web.Response(body=b"{" + b" " * 300_000),
        lambda: web.Response(body=b'{"keys":[' + b"{}," * 99 + b"{}]}"),
        lambda: web.Response(status=204),
    ],
    ids=["absent", "redirect", "page", "array", "long", "many", "nothing"],
)
async def test_an_answer_that_is_no_key_set_says_nothing_of_a_token(
    answer: object, fake: FakeTransmitter
) -> None:
    assert callable(answer)
    fake.key_answers = [answer()]
    source = RemoteKeys(fake.jwks_url, Clock())
    with pytest.raises(KeysUnavailableError) as refused:
        await source.keys("key-1")
    assert fake.url not in str(refused.value)


async def test_nobody_there_says_nothing_of_a_token() -> None:
    with pytest.raises(KeysUnavailableError):
        await RemoteKeys("http://127.0.0.1:9/jwks", Clock()).keys(None)


async def test_a_file_is_read_again_when_it_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(JWKS)
    source = FileKeys(path)
    assert len(names(await source.keys("anything"))) == 3
    path.write_bytes(key_set(make_key("ES256", "new")))
    os.utime(path, ns=(1, 1))
    assert names(await source.keys("anything")) == ["new"]
    path.write_bytes(b"{}")
    with pytest.raises(KeysUnavailableError):
        await source.keys("new")
    path.unlink()
    with pytest.raises(KeysUnavailableError):
        await source.keys("new")


def test_a_file_without_keys_is_none_to_begin_with(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(b"{}")
    with pytest.raises(MalformedError):
        FileKeys(tmp_path / "keys.json")
