"""Deliveries that are signed over their raw bytes, in place of a token."""

import asyncio
import base64
import hmac
import io
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import aiohttp
import pytest

from provlog.merkle.disclosures import parse_disclosure
from provlog.server.http.addresses import parse_network
from provlog.server.http.context import CROWD, HttpSettings
from provlog.server.reader import LogReader
from provlog.server.source_settings import HookSettings, SettingsBook, SourceSettings
from provlog.server.storage.base import SourceRecord
from provlog.server.tokens import mint_token
from support.instances import Reply, Served, served
from support.okta import USER, okta_record

SOURCE = "urn:okta:signed"
PATH = f"/logs/main/hooks/{quote(SOURCE, safe='')}"
SECRET = "a-secret-that-two-share"
BODY = json.dumps([okta_record(USER)]).encode()
Encoding = Literal["hex", "base64"]


def signature(body: bytes, secret: str = SECRET) -> bytes:
    return hmac.digest(secret.encode(), body, "sha256")


def sign(log: Served, encoding: Encoding = "hex", prefix: str = "") -> Path:
    """Have the source's deliveries signed; return the secret's file."""
    secret = log.made.instance.folder / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    hook = HookSettings("X-Signature", "secret", encoding, prefix)
    settings = SourceSettings(secret.with_name("one.toml"), SOURCE, hook=hook)
    log.service.settings = SettingsBook({("main", SOURCE): settings})
    return secret


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        source = SourceRecord(SOURCE, "acme", "okta")
        await running.service.register_source(running.log, source, "test")
        yield running


async def deliver(
    log: Served, *signatures: str, body: bytes = BODY, authorization: str | None = None
) -> Reply:
    headers = [("X-Signature", each) for each in signatures]
    if authorization is not None:
        headers.append(("Authorization", authorization))
    async with log.client.post(PATH, data=io.BytesIO(body), headers=headers) as answer:
        return Reply(answer.status, answer.headers, await answer.read())


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("prefix", ["", "sha256="])
async def test_a_delivery_that_is_signed_as_agreed_is_logged(
    encoding: Encoding, prefix: str, log: Served
) -> None:
    sign(log, encoding, prefix)
    digest = signature(BODY)
    shown = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    body = json.dumps({"data": {"events": [okta_record(USER)]}}).encode()
    refused = await deliver(log, prefix + shown, body=body)
    assert refused.status == 401
    digest = signature(body)
    shown = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    taken = await deliver(log, prefix + shown, body=body)
    assert (taken.status, json.loads(taken.body)["logged"]) == (200, 1)


async def test_the_entry_says_that_it_came_signed_and_names_no_token(
    log: Served,
) -> None:
    sign(log)
    assert (await deliver(log, signature(BODY).hex().upper())).status == 200
    reader = LogReader(log.log, log.service.storage)
    entry = await reader.entry(log.log.released.size - 1)
    found = map(parse_disclosure, entry.disclosures or ())
    members = {disclosure.name: disclosure.value for disclosure in found}
    ingest = members["ingest"]
    assert isinstance(ingest, dict)
    assert ingest["authentication"] == "hmac"
    assert "token" not in ingest


async def test_what_is_not_signed_as_agreed_is_refused_and_changes_nothing(
    log: Served,
) -> None:
    sign(log)
    size, right = log.log.released.size, signature(BODY).hex()
    token = mint_token(
        logs=[log.log.id], roles=["hook"], sources=[SOURCE], now=log.service.clock.now()
    )
    await log.service.store_token(log.log, token.record, "test")
    for answer in (
        await deliver(log),
        await deliver(log, ""),
        await deliver(log, signature(BODY, "another").hex()),
        await deliver(log, right, body=BODY + b" "),
        await deliver(log, right[:-1]),
        await deliver(log, right, right),
        await deliver(log, "é" + right),
        await deliver(log, right * 100),
        await deliver(log, base64.b64encode(signature(BODY)).decode()),
        # A token does not stand in for the signature.
        await deliver(log, authorization=f"Bearer {token.text}"),
    ):
        assert answer.status == 401
        assert SECRET.encode() not in answer.body
    assert log.log.released.size == size + 1


async def test_a_secret_is_replaced_without_a_restart(log: Served) -> None:
    secret = sign(log)
    secret.write_text("another")
    assert (await deliver(log, signature(BODY).hex())).status == 401
    assert (await deliver(log, signature(BODY, "another").hex())).status == 200


async def test_a_secret_that_cannot_be_read_is_the_operator_s_to_mend(
    log: Served, caplog: pytest.LogCaptureFixture
) -> None:
    secret = sign(log)
    secret.unlink()
    answer = await deliver(log, signature(BODY).hex())
    assert answer.status == 503
    assert b"secret" not in answer.body
    assert f"a delivery was not taken: {secret}: No such file" in caplog.text
    secret.touch(0o600)
    secret.write_text(SECRET)
    assert (await deliver(log, signature(BODY).hex())).status == 200


async def test_only_the_source_with_settings_is_opened_by_a_signature(
    log: Served,
) -> None:
    sign(log)
    body, headers = BODY, {"X-Signature": signature(BODY).hex()}
    for path in ("/logs/main/hooks/urn%3Aother", "/logs/other/hooks/urn%3Aokta"):
        sent = io.BytesIO(body)
        async with log.client.post(path, data=sent, headers=headers) as answer:
            assert answer.status == 401


async def test_strangers_take_no_room_of_the_provider_s(tmp_path: Path) -> None:
    # What they send is not known to be theirs before all of it is there.
    limits = HttpSettings(
        body_bytes=2 << 20,
        hook_seconds=20,
        trusted_proxies=(parse_network("127.0.0.0/8"),),
    )
    begun, end = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"["
        begun.set()
        await end.wait()

    async with served(tmp_path, settings=limits) as log:
        source = SourceRecord(SOURCE, "acme", "okta")
        await log.service.register_source(log.log, source, "test")
        sign(log)

        async def send() -> None:
            headers = {
                "X-Forwarded-For": "192.0.2.7",
                "Content-Length": str((1 << 20) + 1000),
            }
            with suppress(aiohttp.ClientError):
                await log.client.post(PATH, data=slowly(), headers=headers)

        stranger = asyncio.create_task(send())
        await begun.wait()
        async with asyncio.timeout(10):
            while log.app[CROWD]._room.taken.count == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        answer = await deliver(log, signature(BODY).hex())
        end.set()
        stranger.cancel()
        await asyncio.gather(stranger, return_exceptions=True)
        assert answer.status == 200
