"""Management over HTTP: logs, tokens and sources, each change an entry."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from provlog.merkle.receipts import verify_receipt
from provlog.merkle.trust import Trust
from provlog.server.tokens import mint_token
from support.events import event_json
from support.instances import SOURCE, Reply, Served, served


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


async def _post(log: Served, path: str, body: object, role: str = "admin") -> Reply:
    return await log.post(body, role=role, media_type="application/json", path=path)


async def _create_token(log: Served, **body: object) -> Reply:
    return await _post(log, "/logs/main/tokens", body)


async def _use(log: Served, method: str, path: str, text: str, body: Any = None) -> int:  # noqa: ANN401
    headers = {"Authorization": f"Bearer {text}"}
    async with log.client.request(method, path, headers=headers, json=body) as answer:
        return answer.status


async def test_a_created_log_takes_events_under_its_own_key(log: Served) -> None:
    reply = await _post(log, "/logs", {"name": "hr", "public": True})
    made = reply.json()
    assert reply.status == 201
    assert (made["name"], made["origin"]) == ("hr", "log.example.com/hr")
    assert (made["public"], made["size"]) == (True, 1)
    created = await _post(
        log, "/logs/hr/tokens", {"roles": ["submitter"], "sources": ["*"]}
    )
    text = created.json()["token"]
    headers = {"Authorization": f"Bearer {text}"}
    async with log.client.post(
        "/logs/hr/events", json=event_json(), headers=headers
    ) as answer:
        receipt = verify_receipt(
            await answer.read(), Trust.from_log_key(made["log_key"])
        )
    assert receipt.origin == "log.example.com/hr"
    assert await _use(log, "POST", "/logs/main/events", text, event_json()) == 404
    listed = (await log.get("/logs", role="admin")).json()["logs"]
    assert [each["name"] for each in listed] == ["hr", "main"]
    assert listed[0]["size"] == receipt.checkpoint.checkpoint.size
    assert (await log.get("/logs/hr", role=None)).json() == listed[0]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": 7}, "/name"),
        ({"name": "Upper"}, "/name"),
        ({"name": "../up"}, "/name"),
        ({"name": "a", "origin": "with blank"}, "/origin"),
        ({"name": "a", "origin": 7}, "/origin"),
        ({"name": "a", "public": "yes"}, "/public"),
        ({"name": "a", "secret": 1}, "/secret"),
    ],
)
async def test_a_log_that_cannot_be_is_refused(
    log: Served, body: object, pointer: str
) -> None:
    reply = await _post(log, "/logs", body)
    assert (reply.status, reply.slug) == (422, "invalid-request")
    assert reply.json()["pointer"] == pointer


async def test_a_taken_name_or_origin_is_a_conflict(log: Served) -> None:
    for body in ({"name": "main"}, {"name": "x", "origin": log.log.origin}):
        reply = await _post(log, "/logs", body)
        assert (reply.status, reply.slug) == (409, "conflict")
        assert str(log.made.instance.folder).encode() not in reply.body


async def test_only_an_admin_of_all_logs_creates_one(log: Served) -> None:
    text = (await _create_token(log, roles=["admin"])).json()["token"]
    assert await _use(log, "POST", "/logs", text, {"name": "new"}) == 403
    assert await _use(log, "GET", "/logs", text) == 200
    assert (await _post(log, "/logs", {"name": "new"}, role="auditor")).status == 403


async def test_an_admin_of_one_log_sees_that_one(log: Served) -> None:
    await _post(log, "/logs", {"name": "other"})
    text = (await _create_token(log, roles=["admin"])).json()["token"]
    headers = {"Authorization": f"Bearer {text}"}
    async with log.client.get("/logs", headers=headers) as answer:
        logs = (await answer.json())["logs"]
    assert [each["name"] for each in logs] == ["main"]
    assert await _use(log, "GET", "/logs/other/tokens", text) == 404


async def test_a_token_is_shown_once_and_recorded(log: Served) -> None:
    reply = await _create_token(
        log,
        roles=["submitter"],
        sources=[SOURCE, "urn:b"],
        note="Okta",
        rate=2.5,
        expires="2999-01-01T01:00:00+01:00",
    )
    made = reply.json()
    assert reply.status == 201
    assert (made["sources"], made["note"], made["rate"]) == (
        [SOURCE, "urn:b"],
        "Okta",
        2.5,
    )
    assert (made["expires"], made["all_logs"]) == ("2999-01-01T00:00:00.000Z", False)
    assert await _use(
        log, "POST", "/logs/main/events", made["token"], event_json()
    ) == (201)
    listed = (await log.get("tokens", role="admin")).json()["tokens"]
    assert made["id"] in [each["id"] for each in listed]
    secret = made["token"].split("_", 2)[2].encode()  # which may hold "_" itself
    assert secret not in (await log.get("tokens", role="admin")).body
    entry = await log.get(f"entries/{made['index']}", role="auditor")
    receipt = verify_receipt(entry.body, log.made.trust)
    assert receipt.entry.body["action"] == "token.create"
    assert secret not in entry.body
    assert secret not in log.made.instance.database.read_bytes()
    opened: Any = receipt.disclosures["token"].value
    assert opened["id"] == made["id"]
    by: Any = receipt.disclosures["by"].value
    assert by["id"] == log.made.tokens["admin"].split("_")[1]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/roles"),
        ({"roles": []}, "/roles"),
        ({"roles": "admin"}, "/roles"),
        ({"roles": ["root"]}, "/roles"),
        ({"roles": ["submitter"]}, "/roles"),
        ({"roles": ["monitor"], "sources": [SOURCE]}, "/roles"),
        ({"roles": ["monitor", 1]}, "/roles/1"),
        ({"roles": ["submitter"], "sources": [SOURCE, "a\nb"]}, "/sources/1"),
        ({"roles": ["monitor"], "note": "x" * 201}, "/note"),
        ({"roles": ["monitor"], "note": "\x1b[31m"}, "/note"),
        ({"roles": ["monitor"], "rate": 0}, "/rate"),
        ({"roles": ["monitor"], "rate": True}, "/rate"),
        ({"roles": ["monitor"], "rate": 1e300}, "/rate"),
        ({"roles": ["monitor"], "expires": "2001-01-01T00:00:00Z"}, "/expires"),
        ({"roles": ["monitor"], "expires": "soon"}, "/expires"),
        ({"roles": ["monitor"], "logs": ["main"]}, "/logs"),
    ],
)
async def test_a_token_that_cannot_be_is_refused(
    log: Served, body: dict[str, object], pointer: str
) -> None:
    size = log.log.released.size
    reply = await _create_token(log, **body)
    assert (reply.status, reply.slug) == (422, "invalid-request")
    assert reply.json()["pointer"] == pointer
    assert log.log.released.size == size


async def test_a_revoked_token_opens_nothing_from_then_on(log: Served) -> None:
    made = (await _create_token(log, roles=["monitor"])).json()
    assert await _use(log, "GET", "/logs/main/checkpoint", made["token"]) == 200
    admin, path = log.made.tokens["admin"], f"/logs/main/tokens/{made['id']}"
    size = log.log.released.size
    assert await _use(log, "DELETE", path, admin) == 200
    assert await _use(log, "GET", "/logs/main/checkpoint", made["token"]) == 401
    assert log.log.released.size == size + 1
    # Once more changes nothing.
    assert await _use(log, "DELETE", path, admin) == 200
    assert log.log.released.size == size + 1
    listed = (await log.get("tokens", role="admin")).json()["tokens"]
    [mine] = [each for each in listed if each["id"] == made["id"]]
    assert mine["revoked"] is not None


async def test_a_token_beyond_ones_logs_cannot_be_revoked(log: Served) -> None:
    local = (await _create_token(log, roles=["admin"])).json()["token"]
    everywhere = log.made.tokens["admin"].split("_")[1]
    path = "/logs/main/tokens"
    assert await _use(log, "DELETE", f"{path}/{everywhere}", local) == 403
    assert await _use(log, "DELETE", f"{path}/000000000000", local) == 404
    other = await log.service.create_log("other", "log.example/o", public=False)
    foreign = mint_token(logs=[other.id], roles=["monitor"], now=0)
    await log.service.store_token(other, foreign.record, "test")
    assert await _use(log, "DELETE", f"{path}/{foreign.record.id}", local) == 404
    monitor = log.made.tokens["monitor"].split("_")[1]
    assert await _use(log, "DELETE", f"{path}/{monitor}", local) == 200
    assert (await log.get("checkpoint", role="monitor")).status == 401


async def test_revoking_is_noted_in_every_log_the_token_reached(log: Served) -> None:
    other = await log.service.create_log("other", "log.example/o", public=False)
    both = mint_token(logs=[log.log.id, other.id], roles=["monitor"], now=0)
    await log.service.store_token(log.log, both.record, "test")
    sizes = log.log.released.size, other.released.size
    path = f"/logs/main/tokens/{both.record.id}"
    assert await _use(log, "DELETE", path, log.made.tokens["admin"]) == 200
    assert (log.log.released.size, other.released.size) == (sizes[0] + 1, sizes[1] + 1)


async def test_a_source_is_registered_once_and_never_changes(log: Served) -> None:
    source = {"uri": "urn:okta:b", "ns": "acme", "connector": "okta"}
    statuses = [(await _post(log, "/logs/main/sources", source)).status for _ in "ab"]
    assert statuses == [201, 200]
    reply = await _post(log, "/logs/main/sources", {**source, "ns": "other"})
    assert (reply.status, reply.slug) == (409, "conflict")
    reply = await _post(log, "/logs/main/sources", {"uri": "urn:plain"})
    assert reply.json() == {"uri": "urn:plain", "ns": "urn:plain", "connector": None}
    listed = (await log.get("sources", role="admin")).json()["sources"]
    assert source in listed
    assert len(listed) == 3
    assert log.log.released.size == 3


async def test_a_registered_namespace_is_that_of_the_events(log: Served) -> None:
    await _post(log, "/logs/main/sources", {"uri": "urn:b", "ns": "shared"})
    created = await _create_token(log, roles=["submitter"], sources=["urn:b"])
    headers = {"Authorization": f"Bearer {created.json()['token']}"}
    async with log.client.post(
        "/logs/main/events", json=event_json(source="urn:b"), headers=headers
    ) as answer:
        receipt = verify_receipt(await answer.read(), log.made.trust)
    target: Any = receipt.disclosures["target"].value
    assert target["ns"] == "shared"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/uri"),
        ({"uri": 'a"b'}, "/uri"),
        ({"uri": "x" * 257}, "/uri"),
        ({"uri": "a", "ns": "é"}, "/ns"),
        ({"uri": "a", "connector": "csv"}, "/connector"),
        ({"uri": "a", "more": 1}, "/more"),
        ({"uri": "a", "alice@example.com": 1}, ""),
    ],
)
async def test_a_source_that_cannot_be_is_refused(
    log: Served, body: object, pointer: str
) -> None:
    reply = await _post(log, "/logs/main/sources", body)
    assert (reply.status, reply.slug) == (422, "invalid-request")
    assert reply.json()["pointer"] == pointer
    assert b"alice" not in reply.body


async def test_a_management_body_is_one_json_object(log: Served) -> None:
    path = "/logs/main/sources"
    for body in (b"{", b"[]", b'{"uri":"a","uri":"b"}', b""):
        reply = await _post(log, path, body)
        assert (reply.status, reply.slug) == (400, "malformed")
    reply = await log.post(
        {"uri": "a"}, role="admin", media_type="text/json", path=path
    )
    assert (reply.status, reply.slug) == (415, "unsupported-media-type")
