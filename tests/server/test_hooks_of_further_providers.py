"""Keycloak's and OneLogin's own deliveries, by the whole server."""

import hmac
import io
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.encoding import JsonValue
from provlog.server.reader import LogReader
from provlog.server.source_settings import SettingsBook, read_source
from provlog.server.storage.base import SourceRecord
from provlog.server.tokens import mint_token
from support import keycloak, onelogin
from support.instances import Reply, Served, served
from support.keycloak import admin_event, by_webhook
from support.onelogin import webhook_record

SECRET = "a-secret-that-two-share"
DELIVERY = json.dumps(by_webhook(admin_event())).encode()


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        for uri, name in ((keycloak.SOURCE, "keycloak"), (onelogin.SOURCE, "onelogin")):
            source = SourceRecord(uri, "acme", name)
            await running.service.register_source(running.log, source, "test")
        yield running


def sign(log: Served) -> None:
    """Have Keycloak's deliveries signed, as its page says."""
    folder = log.made.instance.connect
    folder.mkdir()
    secret = folder / "keycloak.hmac"
    secret.touch(0o600)
    secret.write_text(SECRET)
    path = folder / "keycloak.toml"
    path.write_text(
        f'source = "{keycloak.SOURCE}"\n[hook]\nhmac_header = "X-Keycloak-Signature"\n'
        'hmac_secret_file = "keycloak.hmac"\n'
    )
    settings = read_source(path)
    log.service.settings = SettingsBook({("main", keycloak.SOURCE): settings})


async def deliver(
    log: Served, source: str, body: bytes, headers: Mapping[str, str]
) -> Reply:
    path = f"/logs/main/hooks/{quote(source, safe='')}"
    sent = {"Content-Type": "application/json", **headers}
    async with log.client.post(path, data=io.BytesIO(body), headers=sent) as answer:
        return Reply(answer.status, answer.headers, await answer.read())


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Return the header of the extension: the HMAC in small hexadecimal digits."""
    digest = hmac.digest(secret.encode(), body, "sha256")
    return {"X-Keycloak-Signature": digest.hex()}


async def members(log: Served, index: int) -> dict[str, JsonValue]:
    reader = LogReader(log.log, log.service.storage)
    entry = await reader.entry(index)
    found = map(parse_disclosure, entry.disclosures or ())
    return {str(disclosure.name): disclosure.value for disclosure in found}


async def test_a_signed_delivery_of_keycloak_s_is_one_entry(log: Served) -> None:
    sign(log)
    answer = await deliver(log, keycloak.SOURCE, DELIVERY, signed(DELIVERY))
    assert (answer.status, json.loads(answer.body)["logged"]) == (200, 1)
    found = await members(log, log.log.released.size - 1)
    assert found["original"] == {
        "media_type": "application/json",
        "body": DELIVERY.decode(),
    }
    ingest = found["ingest"]
    assert isinstance(ingest, dict)
    assert (ingest["connector"], ingest["authentication"]) == ("keycloak", "hmac")
    again = await deliver(log, keycloak.SOURCE, DELIVERY, signed(DELIVERY))
    assert json.loads(again.body) == {"logged": 0, "repeated": 1, "erased": 0}


async def test_another_uid_of_a_second_webhook_makes_no_second_entry(
    log: Served,
) -> None:
    sign(log)
    await deliver(log, keycloak.SOURCE, DELIVERY, signed(DELIVERY))
    other = json.dumps({**by_webhook(admin_event()), "uid": "another"}).encode()
    answer = await deliver(log, keycloak.SOURCE, other, signed(other))
    assert json.loads(answer.body) == {"logged": 0, "repeated": 1, "erased": 0}


async def test_what_is_not_signed_by_keycloak_is_refused_and_changes_nothing(
    log: Served,
) -> None:
    sign(log)
    size = log.log.released.size
    altered = DELIVERY.replace(b"USER", b"user")
    for body, headers in (
        (DELIVERY, {}),
        (DELIVERY, signed(DELIVERY, "another")),
        (altered, signed(DELIVERY)),
        (DELIVERY, {"X-Signature": signed(DELIVERY)["X-Keycloak-Signature"]}),
        (DELIVERY, {"Authorization": f"Bearer {SECRET}"}),
    ):
        answer = await deliver(log, keycloak.SOURCE, body, headers)
        assert answer.status == 401
        assert SECRET.encode() not in answer.body
    assert log.log.released.size == size


async def test_a_batch_of_onelogin_s_is_taken_with_its_token(log: Served) -> None:
    token = mint_token(
        logs=[log.log.id],
        roles=["hook"],
        sources=[onelogin.SOURCE],
        now=log.service.clock.now(),
    )
    await log.service.store_token(log.log, token.record, "test")
    batch = [webhook_record(13, uuid="one"), webhook_record(17, uuid="two")]
    right = {"Authorization": f"Bearer {token.text}"}
    body = json.dumps(batch).encode()
    answer = await deliver(log, onelogin.SOURCE, body, right)
    assert (answer.status, json.loads(answer.body)["logged"]) == (200, 2)
    lines = b"\n".join(json.dumps(each).encode() for each in batch)
    answer = await deliver(log, onelogin.SOURCE, lines, right)
    assert json.loads(answer.body) == {"logged": 0, "repeated": 2, "erased": 0}
    for headers in ({}, {"Authorization": "Bearer plt_another"}):
        answer = await deliver(log, onelogin.SOURCE, body, headers)
        assert answer.status == 401


async def test_a_body_that_is_no_delivery_is_a_record_of_its_own(log: Served) -> None:
    sign(log)
    for body in (b"", b"neither", b"[{}, 7", b'"text"'):
        answer = await deliver(log, keycloak.SOURCE, body, signed(body))
        assert (answer.status, json.loads(answer.body)["logged"]) == (200, 1), body
