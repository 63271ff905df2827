"""A hook whose issuer shows its keys behind a URL: fetched seldom, never guessed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.fake_set_transmitter import fake_transmitter
from support.set_hooks import Hook, hooked, refusal
from support.sets import claims_of, make_key, sign


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Hook]:
    async with hooked(tmp_path) as made:
        yield made


async def test_keys_behind_a_url_are_fetched_once_and_again_when_they_rotate(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provlog.server.issuer_keys.BETWEEN", 0.0)
    async with fake_transmitter() as fake:
        hook.configure(jwks_url=fake.jwks_url)
        for number in range(3):
            token = fake.make(f"jti-{number}")
            assert await fake.push(hook.url, token, hook.secret) == 202
        assert fake.key_requests == 1
        fake.rotate()
        assert await fake.push(hook.url, fake.make("jti-new"), hook.secret) == 202
        assert fake.key_requests == 2


async def test_an_unknown_key_is_asked_for_once_a_minute_and_not_refused_unasked(
    hook: Hook,
) -> None:
    async with fake_transmitter() as fake:
        hook.configure(jwks_url=fake.jwks_url)
        assert (await hook.post(fake.make("one"))).status == 202
        fake.rotate()
        replies = await asyncio.gather(
            *(hook.post(fake.make(f"jti-{number}")) for number in range(20))
        )
        # Within the minute nothing can be said of the key: the tokens come again.
        assert {each.status for each in replies} == {503}
        assert all(int(each.headers["Retry-After"]) >= 1 for each in replies)
        assert fake.key_requests == 1


async def test_keys_without_names_that_rotate_refuse_no_token(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fake_transmitter(keys=[make_key("ES256")]) as fake:
        hook.configure(jwks_url=fake.jwks_url)
        assert (await hook.post(fake.make("one"))).status == 202
        fake.keys = [make_key("ES256")]
        # The keys at hand are older than the token, and may not be asked for yet.
        assert (await hook.post(fake.make("two"))).status == 503
        monkeypatch.setattr("provlog.server.issuer_keys.BETWEEN", 0.0)
        assert (await hook.post(fake.make("two"))).status == 202
        stranger = sign(claims_of(), "ES256", make_key("ES256"))
        assert refusal(await hook.post(stranger)) == "invalid_key"
        assert fake.key_requests == 3


async def test_a_false_signature_under_a_known_name_speaks_for_itself(
    hook: Hook,
) -> None:
    async with fake_transmitter() as fake:
        hook.configure(jwks_url=fake.jwks_url)
        assert (await hook.post(fake.make("one"))).status == 202
        forged = sign(claims_of(), "ES256", make_key("ES256", "key-1"))
        assert refusal(await hook.post(forged)) == "invalid_key"
        assert fake.key_requests == 1


async def test_many_at_once_wait_for_one_fetch(hook: Hook) -> None:
    async with fake_transmitter(hold=asyncio.Event()) as fake:
        hook.configure(jwks_url=fake.jwks_url)
        tokens = [fake.make(f"jti-{each}") for each in range(9)]
        asked = [asyncio.create_task(hook.post(token)) for token in tokens]
        await asyncio.wait_for(fake.keys_asked.wait(), 10)
        assert fake.hold is not None
        fake.hold.set()
        assert {(await each).status for each in asked} == {202}
        assert fake.key_requests == 1


async def test_keys_out_of_reach_refuse_no_token(hook: Hook) -> None:
    async with fake_transmitter() as fake:
        hook.configure(jwks_url=fake.jwks_url)
        token = fake.make("one")
    assert (await hook.post(token)).slug == "unavailable"
    reply = await hook.many({"one": token})
    assert reply.slug == "unavailable"
    # What can be said of others is said.
    reply = await hook.many({"one": token, "two": "not a token"})
    assert reply.status == 202
    assert reply.json()["ack"] == []
    assert set(reply.json()["setErrs"]) == {"two"}
