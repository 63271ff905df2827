"""POST /add: bytes in, the index of their entry out, where it was asked for."""

from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

from provlog.merkle.receipts import verify_receipt
from provlog.merkle.tiles import MAX_ENTRY_SIZE
from provlog.server.http.app import HttpSettings, create_app
from provlog.server.service import Service
from support.instances import (
    SOURCE,
    Client,
    Reply,
    RunnerServer,
    Served,
    make_instance,
    served,
)

BYTES = b"\xff any bytes\x00"


@asynccontextmanager
async def taking(folder: Path, source: str = SOURCE) -> AsyncIterator[Served]:
    """Serve an instance that takes bytes as events of a source.

    Without the API's description, which is of what is always there.
    """
    made = await make_instance(folder)
    async with Service.of(made.instance) as service:
        log = await service.log("main")
        assert log is not None
        app = create_app(service, HttpSettings(compat_add=source))
        client: Client
        async with TestClient(RunnerServer(app)) as client:
            yield Served(made, service, log, app, client)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with taking(tmp_path) as running:
        yield running


async def add(
    log: Served, body: bytes = BYTES, headers: Mapping[str, str] | None = None
) -> Reply:
    bearer = log.bearer("submitter") if headers is None else headers
    async with log.client.post("/logs/main/add", data=body, headers=bearer) as got:
        return Reply(got.status, got.headers, await got.read())


async def test_bytes_become_an_event_and_the_answer_is_its_index(log: Served) -> None:
    reply = await add(log)
    assert (reply.status, reply.body) == (200, b"1\n")
    entry = await log.get("/logs/main/entries/1", role="auditor")
    receipt = verify_receipt(entry.body, log.made.trust)
    assert receipt.entry.body["type"] == "other.raw"
    assert receipt.entry.body["source"] == SOURCE
    original = receipt.disclosures["original"].value
    assert isinstance(original, dict)
    assert b64decode(str(original["body_base64"])) == BYTES
    event = receipt.disclosures["event"].value
    assert isinstance(event, dict)
    assert event["id"] == f"sha256:{sha256(BYTES).hexdigest()}"


async def test_the_same_bytes_have_one_entry(log: Served) -> None:
    answers = [(await add(log, each)).body for each in (BYTES, b"other", BYTES)]
    assert answers == [b"1\n", b"2\n", b"1\n"]


async def test_it_takes_what_a_tlog_entry_can_hold_and_no_more(log: Served) -> None:
    assert (await add(log, bytes(MAX_ENTRY_SIZE))).status == 200
    assert (await add(log, bytes(MAX_ENTRY_SIZE + 1))).slug == "too-large"
    assert (await add(log, b"")).slug == "malformed"


async def test_it_takes_a_submitter_s_token_alone(log: Served) -> None:
    assert (await add(log, headers={})).status == 401
    assert (await add(log, headers=log.bearer("auditor"))).status == 403


async def test_a_token_for_other_sources_cannot_write_it(tmp_path: Path) -> None:
    async with taking(tmp_path, "urn:another:source") as log:
        assert (await add(log)).slug == "forbidden"


async def test_without_the_option_there_is_no_such_route(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        assert (await add(log)).status == 404
