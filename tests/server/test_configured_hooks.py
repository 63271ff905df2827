"""Deliveries that are read by their source's settings, and what is cut out of them."""

import io
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from provlog.merkle.disclosures import parse_disclosure
from provlog.server.errors import ConfigurationError
from provlog.server.reader import LogReader
from provlog.server.service import Service
from provlog.server.source_settings import SettingsBook, SourceSettings
from provlog.server.storage.base import SourceRecord
from provlog.server.tokens import mint_token
from support.auth0 import auth0_call
from support.generic import MAPPING, TYPES, generic_record
from support.instances import Reply, Served, served

SOURCE = "urn:hr:acme"
AUTH0 = "urn:auth0:acme"
SECRET = "S3CRET-of-hers"
MAPPED = SourceSettings(Path("hr.toml"), SOURCE, mapping=MAPPING, types=TYPES)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running_log:
        for uri, connector in ((SOURCE, "generic"), (AUTH0, "auth0")):
            source = SourceRecord(uri, uri, connector)
            await running_log.service.register_source(running_log.log, source, "test")
        running_log.service.settings = SettingsBook({("main", SOURCE): MAPPED})
        yield running_log


async def deliver(log: Served, body: bytes, source: str = SOURCE) -> Reply:
    """Deliver as the source's provider; return the answer."""
    return await send(
        log, "hook", f"/logs/main/hooks/{quote(source, safe='')}", body, source
    )


async def send(log: Served, role: str, path: str, body: bytes, source: str) -> Reply:
    """Post with a new token for this role and source; return the answer."""
    now = log.service.clock.now()
    token = mint_token(logs=[log.log.id], roles=[role], sources=[source], now=now)
    await log.service.store_token(log.log, token.record, "test")
    headers = {
        "Authorization": f"Bearer {token.text}",
        "Content-Type": "application/json",
    }
    async with log.client.post(path, data=io.BytesIO(body), headers=headers) as answer:
        return Reply(answer.status, answer.headers, await answer.read())


async def opened(log: Served, back: int = 1) -> dict[str, Any]:
    """Return the members of one of the newest entries."""
    reader = LogReader(log.log, log.service.storage)
    entry = await reader.entry(log.log.released.size - back)
    found = map(parse_disclosure, entry.disclosures or ())
    return {disclosure.name: disclosure.value for disclosure in found}


async def test_a_delivery_is_cut_and_read_as_the_settings_say(log: Served) -> None:
    items = [generic_record(people=[]), generic_record(no=43, people=[])]
    body = json.dumps({"batch": {"items": items}}).encode()
    for logged, repeated in ((2, 0), (0, 2)):
        answer = await deliver(log, body)
        assert answer.status == 200
        assert answer.json() == {"logged": logged, "repeated": repeated, "erased": 0}
    members = await opened(log, back=2)
    assert members["event"]["native_type"] == "role given"
    assert members["ingest"]["connector"] == "generic"
    assert members["ingest"]["connector_version"].startswith("1:")
    assert members["context"] == {"request_id": "t-1", "ticket": "CHG-1"}


async def test_without_settings_the_operator_is_asked_and_nothing_is_taken(
    log: Served,
) -> None:
    log.service.settings = SettingsBook()
    size = log.log.released.size
    answer = await deliver(log, json.dumps(generic_record()).encode())
    assert answer.status == 503
    path = f"/logs/main/events?format=generic&source={quote(SOURCE, safe='')}"
    refused = await send(log, "submitter", path, b"[{}]", SOURCE)
    assert (refused.status, refused.slug) == (400, "malformed")
    assert log.log.released.size == size + 2  # those of the tokens


async def test_a_server_does_not_start_with_a_mapping_that_is_wrong(
    log: Served,
) -> None:
    folder = log.made.instance.folder / "connect"
    folder.mkdir()
    (folder / "hr.toml").write_text(f'source = "{SOURCE}"\n[mapping]\ntype = "what"\n')
    with pytest.raises(ConfigurationError, match="no JSON pointer"):
        async with Service.of(log.made.instance):
            pass


async def test_a_secret_of_a_delivery_gets_nowhere(log: Served) -> None:
    path = "/api/v2/users/auth0%7C7"
    record = json.dumps(auth0_call("patch", path, {"password": SECRET})).encode()
    assert (await deliver(log, record, AUTH0)).json()["logged"] == 1
    members = await opened(log)
    assert SECRET not in json.dumps(members)
    assert members["original"]["redacted"] == ["/data/details/request/body/password"]
    kept = members["original"]["body"]
    assert json.loads(kept)["data"]["details"]["request"]["path"] == path
    # Neither does what would confirm a guess at it.
    assert sha256(record).hexdigest() not in json.dumps(members)


@pytest.mark.parametrize(
    "body",
    [
        f'{{"password":"{SECRET}',
        f"password={SECRET}&user=ann",
        f'["x", {{"data": "{{\\"token\\": \\"{SECRET}\\"}}"}}]',
    ],
)
async def test_what_is_no_record_is_cut_all_the_same(body: str, log: Served) -> None:
    assert (await deliver(log, body.encode(), AUTH0)).status == 200
    assert SECRET not in json.dumps(await opened(log))
