"""Who may ask for what: tokens, roles, rates, and logs that are not there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provlog.server.cli.common import parse_log_rates
from provlog.server.errors import ConfigurationError
from provlog.server.http import submit
from provlog.server.intake.cloudevents import BATCH, Submission
from provlog.server.rates import LogRates
from provlog.server.tokens import mint_token
from support.events import event_json
from support.instances import SOURCE, Reply, Served, served

READ_BY_MONITORS = (
    "tile/0/000.p/2",
    "tile/entries/000.p/2",
    "proofs/inclusion?index=1",
    "proofs/range?start=0&end=1",
    "entries/1",
)
READ_BY_FOLLOWERS = ("checkpoint", "proofs/consistency?from=1&to=2")
FOUND_BY_ID = (
    "entries?source=urn:okta:acme&id=9f2c",
    "proofs/inclusion?source=urn:okta:acme&id=9f2c",
)
MANAGED = ("tokens", "sources")
ROLES = ("submitter", "monitor", "auditor", "privacy", "admin")


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        await running.post(event_json())
        yield running


async def _add_token(log: Served, **changes: object) -> str:
    """Store a submitter's token with changes to it, and return its text."""
    options = {"logs": [log.log.id], "roles": ["submitter"], "sources": [SOURCE]}
    minted = mint_token(now=log.service.clock.now(), **{**options, **changes})  # type: ignore[arg-type]
    await log.service.store_token(log.log, minted.record, "test")
    return minted.text


async def _post_with(log: Served, text: str, **headers: str) -> Reply:
    async with log.client.post(
        "/logs/main/events",
        json=event_json(),
        headers={"Authorization": f"Bearer {text}", **headers},
    ) as answer:
        return Reply(answer.status, answer.headers, await answer.read())


@pytest.mark.parametrize(
    ("paths", "roles"),
    [
        (READ_BY_MONITORS, ("monitor", "auditor")),
        (READ_BY_FOLLOWERS, ("monitor", "auditor", "submitter")),
        (FOUND_BY_ID, ("auditor", "submitter")),
        (MANAGED, ("admin",)),
        (("/logs/main",), ROLES),
        (("/logs",), ("admin",)),
    ],
)
async def test_each_role_reads_what_is_meant_for_it(
    log: Served, paths: tuple[str, ...], roles: tuple[str, ...]
) -> None:
    for path in paths:
        for role in ROLES:
            reply = await log.get(path, role=role)
            assert (path, role, reply.status) == (
                path,
                role,
                200 if role in roles else 403,
            )
            if role not in roles:
                assert reply.slug == "forbidden"


async def test_only_submitters_submit(log: Served) -> None:
    for role in ROLES:
        reply = await log.post(event_json(id=role), role=role)
        assert reply.status == (201 if role == "submitter" else 403)


async def test_nothing_is_read_without_a_token(log: Served) -> None:
    paths = (
        *READ_BY_MONITORS,
        *READ_BY_FOLLOWERS,
        *FOUND_BY_ID,
        *MANAGED,
        "/logs/main",
    )
    for path in paths:
        reply = await log.get(path, role=None)
        assert (path, reply.status, reply.slug) == (path, 401, "unauthenticated")
        assert reply.headers["WWW-Authenticate"] == 'Bearer realm="provlog"'


async def test_unknown_wrong_expired_and_revoked_tokens_look_alike(
    log: Served,
) -> None:
    good = log.made.tokens["submitter"]
    expired = await _add_token(log, expires=log.service.clock.now())
    revoked = await _add_token(log)
    assert (await _post_with(log, revoked)).status == 200
    await log.service.revoke_token(log.log, revoked.split("_")[1], "test")
    unknown = "plt_000000000000_" + good.rpartition("_")[2]
    wrong = good[:-1] + ("A" if good[-1] != "A" else "B")
    replies = [
        await _post_with(log, text)
        for text in (unknown, wrong, expired, revoked, "", "x" * 100, good + " ")
    ]
    assert {(reply.status, reply.body) for reply in replies[:-1]} == {
        (401, replies[0].body)
    }
    assert 'error="invalid_token"' in replies[0].headers["WWW-Authenticate"]


async def test_another_scheme_is_no_token(log: Served) -> None:
    token = log.made.tokens["submitter"]
    for scheme, status in (("Basic", 401), ("bearer", 200), ("BEARER", 200)):
        reply = await _post_with(log, "", Authorization=f"{scheme} {token}")
        assert (scheme, reply.status) == (scheme, status)


async def test_an_unknown_log_and_one_out_of_reach_look_alike(log: Served) -> None:
    await log.service.create_log("other", "log.example.com/other", public=False)
    for path in ("", "/checkpoint", "/tile/0/000", "/entries/0", "/tokens"):
        there = await log.get(f"/logs/other{path}", role="monitor")
        nowhere = await log.get(f"/logs/nowhere{path}", role="monitor")
        assert (there.status, there.slug) == (404, "not-found")
        assert there.body == nowhere.body
        for name in ("other", "nowhere"):
            assert (await log.get(f"/logs/{name}{path}", role=None)).status == 401
    reply = await log.post(event_json(), path="/logs/other/events")
    assert (reply.status, reply.slug) == (404, "not-found")


async def test_a_public_log_is_read_by_anybody(tmp_path: Path) -> None:
    async with served(tmp_path, public=True) as log:
        await log.post(event_json())
        for path in (*READ_BY_MONITORS, *READ_BY_FOLLOWERS, "/logs/main"):
            for role in (None, "admin", "privacy"):
                assert (path, (await log.get(path, role=role)).status) == (path, 200)
        assert (await log.get("entries/1", role=None)).json()["disclosures"] == []
        for path in (*FOUND_BY_ID, *MANAGED):
            assert (path, (await log.get(path, role=None)).status) == (path, 401)
        headers = {"Authorization": "Bearer plt_nothing"}
        async with log.client.get("/logs/main/checkpoint", headers=headers) as answer:
            assert answer.status == 401


async def test_a_token_of_another_log_opens_nothing_in_a_public_one(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, public=True) as log:
        await log.post(event_json())
        other = await log.service.create_log("other", "log.example/o", public=False)
        auditor = mint_token(logs=[other.id], roles=["auditor"], now=0)
        await log.service.store_token(other, auditor.record, "test")
        headers = {"Authorization": f"Bearer {auditor.text}"}
        async with log.client.get("/logs/main/entries/1", headers=headers) as answer:
            body = await answer.json()
        assert (answer.status, body["disclosures"]) == (200, [])
        assert "openings" not in body


async def test_a_submitter_finds_only_its_own_source(log: Served) -> None:
    for path in ("entries", "proofs/inclusion"):
        reply = await log.get(f"{path}?source=urn:not:mine&id=1", role="submitter")
        assert (reply.status, reply.slug) == (403, "forbidden")


async def test_a_token_over_its_rate_is_told_when_to_come_back(log: Served) -> None:
    text = await _add_token(log, rate=2.0)
    before = log.log.released.size
    # Repetitions count as well: they cost the server the same.
    assert [(await _post_with(log, text)).status for _ in range(2)] == [200, 200]
    reply = await _post_with(log, text)
    assert (reply.status, reply.slug) == (429, "rate-limited")
    assert int(reply.headers["Retry-After"]) >= 1
    assert (await log.post(event_json())).status == 200
    assert log.log.released.size == before


async def test_an_exhausted_token_is_refused_before_anything_is_read(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await _add_token(log, rate=0.01)
    assert (await _post_with(log, text)).status == 200

    def unread(*_: object) -> None:
        raise AssertionError("read all the same")

    monkeypatch.setattr(submit, "read_body", unread)
    assert (await _post_with(log, text)).status == 429


async def test_a_batch_over_its_rate_is_cut_and_not_read(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await _add_token(log, rate=5.0)
    headers = {"Authorization": f"Bearer {text}", "Content-Type": BATCH}
    statuses = []
    for unread in (False, True):
        if unread:
            monkeypatch.delattr(Submission, "decode")
        async with log.client.post(
            "/logs/main/events", data=b"[1,2,3]", headers=headers
        ) as answer:
            statuses.append(answer.status)
    assert statuses == [200, 429]


async def test_a_record_counts_by_its_events(log: Served) -> None:
    text = await _add_token(log, rate=5.0)
    headers = {"Authorization": f"Bearer {text}"}
    url = f"/logs/main/events?format=okta&source={SOURCE}"
    users = [{"id": f"u{n}", "type": "User"} for n in range(60)]
    async with log.client.post(url, json={"target": users}, headers=headers) as answer:
        assert len((await answer.json())["results"]) == 60
    reply = await _post_with(log, text)
    assert reply.status == 429
    assert int(reply.headers["Retry-After"]) >= 9


async def test_a_batch_counts_by_its_events(log: Served) -> None:
    text = await _add_token(log, rate=5.0)
    size = log.log.released.size
    headers = {
        "Authorization": f"Bearer {text}",
        "Content-Type": "application/cloudevents-batch+json",
    }
    statuses = []
    for first in (0, 4):
        events = [event_json(id=f"r{first + each}") for each in range(4)]
        async with log.client.post(
            "/logs/main/events", json=events, headers=headers
        ) as answer:
            statuses.append(answer.status)
    assert statuses == [200, 429]
    assert log.log.released.size == size + 4


async def test_a_log_over_its_rate_refuses_whoever_sends(log: Served) -> None:
    log.service.log_rates = LogRates(named={"main": 2})
    assert (await log.post(event_json(id="a"))).status == 201
    assert (await log.post(event_json(id="b"), role="submitter+auditor")).status == 201
    size = log.log.released.size
    reply = await log.post(event_json(id="c"))
    assert (reply.status, reply.slug) == (429, "rate-limited")
    assert int(reply.headers["Retry-After"]) >= 1
    assert log.log.released.size == size


@pytest.mark.parametrize("text", ["", "x", "main=", "0", "-1", "nan", "1e3", "main=0"])
def test_a_log_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="rate"):
        parse_log_rates([text])


def test_log_rates_are_read_for_one_log_and_for_all_others() -> None:
    assert parse_log_rates(["500", "main=2000.5"]) == LogRates(500, {"main": 2000.5})
    for repeated in (["1", "2"], ["a=1", "a=1"]):
        with pytest.raises(ConfigurationError, match="repeated"):
            parse_log_rates(repeated)
