"""What a provider meets at its hook: Okta's conversation, and what goes wrong in it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.encoding import JsonValue
from provlog.server.errors import UnavailableError
from provlog.server.http.app import HttpSettings
from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.problems import EventError
from provlog.server.intake.records import MAX_BATCH_BYTES, STEP_BYTES, cut_member
from provlog.server.reader import LogReader
from provlog.server.storage.base import SourceRecord
from provlog.server.tokens import MintedToken, mint_token
from support.events import event_json, json_values
from support.instances import Reply, Served, served
from support.okta import USER, okta_record
from support.vectors import REPOSITORY

SOURCE = "https://okta.example.com/acme"
EXAMPLE = (REPOSITORY / "docs" / "deliveries" / "okta-event-hook.json").read_bytes()
PATH = f"/logs/main/hooks/{quote(SOURCE, safe='')}"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, settings=HttpSettings(hook_seconds=5)) as running:
        source = SourceRecord(SOURCE, "acme", "okta")
        await running.service.register_source(running.log, source, "test")
        yield running


async def hook_token(
    log: Served, source: str = SOURCE, rate: float | None = None
) -> MintedToken:
    """Return a token that opens one source's hook."""
    now = log.service.clock.now()
    minted = mint_token(
        logs=[log.log.id], roles=["hook"], sources=[source], now=now, rate=rate
    )
    await log.service.store_token(log.log, minted.record, "test")
    return minted


async def speak(log: Served, request: bytes) -> Reply:
    """Send one request as it stands on a connection of its own; return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", log.client.port)
    writer.write(request)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
    status, *lines = head.rstrip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["Content-Length"]))
    writer.close()
    await writer.wait_closed()
    return Reply(int(status.split()[1]), headers, body)


def request_of(method: str, secret: str, *more: str, body: bytes = b"") -> bytes:
    """Return a request as Okta sends it."""
    lines = [
        f"{method} {PATH} HTTP/1.1",
        "Host: log.example.com",
        "User-Agent: Okta-Integrations",
        "Accept: application/json",
        "X-Okta-Request-Id: aSfDw-6bR2t0N0RkP4YpkAAAB3k",
        f"Authorization: {secret}",
        *more,
    ]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def deliver(log: Served, token: MintedToken, body: bytes) -> Reply:
    return await speak(log, request_of("POST", f"Bearer {token.text}", body=body))


def delivery(*records: JsonValue) -> bytes:
    return json.dumps({"data": {"events": list(records)}}).encode()


async def test_the_conversation_that_okta_documents(log: Served) -> None:
    secret = f"Bearer {(await hook_token(log)).text}"
    before = log.log.released.size

    challenge = "X-Okta-Verification-Challenge: Lx7_qk3DWm0vYh-2aR9tPzE"
    reply = await speak(log, request_of("GET", secret, challenge))
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json() == {"verification": "Lx7_qk3DWm0vYh-2aR9tPzE"}

    first = await speak(log, request_of("POST", secret, body=EXAMPLE))
    assert (first.status, first.json()["logged"]) == (200, 2)
    assert log.log.released.size == before + 2

    # Okta had no answer in time, or one that was lost, and delivers once more.
    again = await speak(log, request_of("POST", secret, body=EXAMPLE))
    assert again.status == 200
    assert again.json() == {"logged": 0, "repeated": 2, "erased": 0}
    assert log.log.released.size == before + 2


async def test_each_record_is_in_its_entry_byte_for_byte(log: Served) -> None:
    before = log.log.released.size
    assert (await deliver(log, await hook_token(log), EXAMPLE)).status == 200
    reader = LogReader(log.log, log.service.storage)
    for number, event in enumerate(json.loads(EXAMPLE)["data"]["events"]):
        entry = await reader.entry(before + 1 + number)
        opened = {
            disclosure.name: disclosure.value
            for disclosure in map(parse_disclosure, entry.disclosures or ())
        }
        original, ingest = opened["original"], opened["ingest"]
        assert isinstance(original, dict)
        assert isinstance(ingest, dict)
        assert str(original["body"]).encode() in EXAMPLE
        assert json.loads(str(original["body"])) == event
        assert ingest["authentication"] == "shared_secret"
        assert ingest["ns"] == "acme"


async def test_the_secret_may_come_without_its_scheme(log: Served) -> None:
    token = await hook_token(log)
    reply = await speak(log, request_of("POST", token.text, body=EXAMPLE))
    assert reply.status == 200


async def test_another_record_under_a_known_uuid_is_taken_as_well(log: Served) -> None:
    token = await hook_token(log)
    await deliver(log, token, delivery(okta_record(USER)))
    other = delivery(okta_record({**USER, "id": "00u77"}))
    assert (await deliver(log, token, other)).json()["logged"] == 1
    reply = await deliver(log, token, other)
    assert (reply.status, reply.json()["repeated"]) == (200, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"data": {"events": 1}}',
        b'{"data": {"events": [{}], "events": [{}]}}',
        b'{"data": {"events": [{}]}} and more',
        b"[]",
        b'{"data": []}',
        b'{"eventType": "com.okta.event_hook"}',
    ],
)
async def test_what_is_no_delivery_is_logged_as_it_is(log: Served, body: bytes) -> None:
    token = await hook_token(log)
    reply = await deliver(log, token, body)
    assert (reply.status, reply.json()["logged"]) == (200, 1)
    again = await deliver(log, token, body)
    assert (again.status, again.json()["repeated"]) == (200, 1)


async def test_a_delivery_without_records_is_no_error(log: Served) -> None:
    token = await hook_token(log)
    size = log.log.released.size
    reply = await deliver(log, token, b'{"data": {"events": []}}')
    assert (reply.status, log.log.released.size) == (200, size)


async def test_more_records_than_a_batch_may_have_are_taken(log: Served) -> None:
    token = await hook_token(log)
    records = [okta_record(uuid=f"u{number}") for number in range(1500)]
    reply = await deliver(log, token, delivery(*records))
    assert (reply.status, reply.json()["logged"]) == (200, 1500)


@pytest.mark.parametrize("value", ["", "x" * 1025, 'a"b', "caf\u00e9", None], ids=repr)
async def test_a_challenge_that_is_none_is_refused(
    log: Served, value: str | None
) -> None:
    secret = f"Bearer {(await hook_token(log)).text}"
    more = () if value is None else (f"X-Okta-Verification-Challenge: {value}",)
    reply = await speak(log, request_of("GET", secret, *more))
    assert (reply.status, reply.slug) == (400, "malformed")


async def test_nothing_opens_a_hook_but_its_own_secret(log: Served) -> None:
    other = await hook_token(log, "urn:okta:other")
    wrong = (await hook_token(log)).text[:-4] + "AAAA"
    for secret, status in (
        ("", 401),
        ("Bearer", 401),
        (f"Bearer {wrong}", 401),
        (wrong, 401),
        (f"Bearer {other.text}", 404),
        *((log.bearer(role)["Authorization"], 403) for role in log.made.tokens),
    ):
        for request in (
            request_of("POST", secret, body=EXAMPLE),
            request_of("GET", secret, "X-Okta-Verification-Challenge: abc"),
        ):
            reply = await speak(log, request)
            assert reply.status == status, secret
            assert b"abc" not in reply.body


async def test_a_hook_s_secret_opens_nothing_else(log: Served) -> None:
    token = await hook_token(log)
    headers = {"Authorization": f"Bearer {token.text}"}
    for path, status in (
        ("/logs/main", 403),
        ("/logs/main/checkpoint", 403),
        ("/logs/main/entries/0", 403),
        (f"/logs/main/entries?source={quote(SOURCE, safe='')}&id=x", 403),
        ("/logs/main/tokens", 403),
        ("/logs", 403),
        ("/logs/other/checkpoint", 404),
    ):
        async with log.client.get(path, headers=headers) as answer:
            assert answer.status == status, path
    event = json.dumps(event_json(source=SOURCE))
    media = {"Content-Type": "application/cloudevents+json"}
    async with log.client.post(
        "/logs/main/events", data=event, headers=headers | media
    ) as answer:
        assert answer.status == 403


async def test_unknown_logs_and_sources_look_like_those_of_others(log: Served) -> None:
    token = await hook_token(log)
    for path in ("/logs/none/hooks/urn:x", "/logs/main/hooks/urn:x"):
        async with log.client.post(
            path, data=b"{}", headers={"Authorization": f"Bearer {token.text}"}
        ) as answer:
            assert answer.status == 404


async def test_a_source_without_connector_has_no_hook(log: Served) -> None:
    plain = SourceRecord("urn:plain", "urn:plain", None)
    await log.service.register_source(log.log, plain, "test")
    token = await hook_token(log, "urn:plain")
    async with log.client.post(
        "/logs/main/hooks/urn:plain",
        data=b"{}",
        headers={"Authorization": f"Bearer {token.text}"},
    ) as answer:
        assert answer.status == 404


async def test_a_secret_is_made_for_a_source_that_takes_deliveries(log: Served) -> None:
    for source, status in ((SOURCE, 201), ("urn:none", 422)):
        body = {"roles": ["hook"], "sources": [source]}
        reply = await log.post(
            body, role="admin", media_type="application/json", path="/logs/main/tokens"
        )
        assert reply.status == status
        assert status == 201 or reply.json()["pointer"] == "/sources/0"


async def test_a_revoked_secret_opens_nothing(log: Served) -> None:
    token = await hook_token(log)
    await log.service.revoke_token(log.log, token.record.id, "test")
    assert (await deliver(log, token, EXAMPLE)).status == 401


async def test_what_is_not_durable_in_time_is_to_be_sent_again(tmp_path: Path) -> None:
    async with served(tmp_path, settings=HttpSettings(hook_seconds=0.2)) as log:
        source = SourceRecord(SOURCE, "acme", "okta")
        await log.service.register_source(log.log, source, "test")
        token = await hook_token(log)
        async with log.service.storage.transaction():
            # Somebody else holds the database: no commit comes to an end.
            reply = await deliver(log, token, EXAMPLE)
            assert (reply.status, reply.slug) == (503, "unavailable")
            assert int(reply.headers["Retry-After"]) >= 1
        reply = await deliver(log, token, EXAMPLE)
        assert reply.status == 200
        assert reply.json()["logged"] + reply.json()["repeated"] == 2


async def test_an_answer_comes_after_the_commit(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await hook_token(log)

    async def fail(*_: object) -> None:
        raise UnavailableError("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(log.service.sequencer, "submit", fail)
        assert (await deliver(log, token, EXAMPLE)).status == 503
    assert (await deliver(log, token, EXAMPLE)).json()["logged"] == 2


async def test_a_hook_over_its_rate_is_told_when_to_come_back(log: Served) -> None:
    token = await hook_token(log, rate=2)
    assert (await deliver(log, token, EXAMPLE)).status == 200
    reply = await deliver(log, token, EXAMPLE)
    assert (reply.status, reply.slug) == (429, "rate-limited")
    labels = {"problem": "rate-limited", "source": SOURCE}
    registry = log.service.metrics.registry
    assert registry.get_sample_value("provlog_refusals_total", labels) == 1


async def test_the_events_of_a_record_are_charged_and_not_the_record(
    log: Served,
) -> None:
    token = await hook_token(log, rate=10)
    users = [{**USER, "id": f"00u{number}"} for number in range(60)]
    reply = await deliver(log, token, delivery(okta_record(*users)))
    assert reply.json()["logged"] == 60
    reply = await deliver(log, token, delivery(okta_record(uuid="next")))
    assert (reply.status, reply.slug) == (429, "rate-limited")


async def test_refused_deliveries_are_counted_by_source(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await hook_token(log)

    def counts() -> dict[tuple[str, str], float]:
        return {
            (sample.labels["problem"], sample.labels["source"]): sample.value
            for family in log.service.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "provlog_hook_refusals_total"
        }

    assert (await deliver(log, token, EXAMPLE)).status == 200
    assert (await log.get("nowhere")).status == 404
    assert counts() == {}
    # A stranger's: whatever the path says is not made a label.
    await speak(log, request_of("POST", f"Bearer plt_{'A' * 64}", body=EXAMPLE))
    # A challenge that is none.
    await speak(log, request_of("GET", f"Bearer {token.text}"))

    async def refuse(*_: object) -> None:
        raise UnavailableError("not now")

    monkeypatch.setattr(log.service.sequencer, "submit", refuse)
    for _ in range(2):
        assert (await deliver(log, token, EXAMPLE)).status == 503
    assert counts() == {
        ("unauthenticated", ""): 1,
        ("malformed", SOURCE): 1,
        ("unavailable", SOURCE): 2,
    }


async def test_a_delivery_is_cut_by_turns(
    log: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await hook_token(log)
    turns = 0

    async def turn(_: object, __: object, ___: int = 1) -> None:
        nonlocal turns
        turns += 1

    monkeypatch.setattr(log.service.workplace, "turn", turn)
    body = b'{"data":{"pad":[%s0],"events":[]}}' % (b"0," * STEP_BYTES)
    assert (await deliver(log, token, body)).json()["logged"] == 0
    assert turns == 2  # one to be let in, one after what stands before the records


async def test_a_body_beyond_a_batch_is_refused(log: Served) -> None:
    token = await hook_token(log)
    length = f"Content-Length: {MAX_BATCH_BYTES + 1}"
    reply = await speak(log, request_of("POST", f"Bearer {token.text}", length))
    assert (reply.status, reply.slug) == (413, "too-large")


texts = st.dictionaries(st.text(max_size=4), json_values(), max_size=4)


@given(st.lists(json_values(), max_size=6), texts, texts)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_records_are_cut_out_of_any_envelope(
    records: list[JsonValue], outer: dict[str, JsonValue], inner: dict[str, JsonValue]
) -> None:
    body = json.dumps({**outer, "data": {**inner, "events": records}}).encode()
    cut = [each for step in cut_member(body, ("data", "events"), 10) for each in step]
    assert [json.loads(each) for each in cut] == records
    assert all(each in body for each in cut)


def test_an_envelope_is_no_long_list_of_members() -> None:
    body = b'{%s"data":{"events":[]}}' % (b'"":0,' * 1000)
    with pytest.raises(EventError) as caught:
        list(cut_member(body, ("data", "events"), 10))
    assert caught.value.status == 413


def test_long_members_beside_the_records_are_passed_in_steps() -> None:
    pads = b"".join(b'"%d":"%s",' % (each, b"x" * STEP_BYTES) for each in range(9))
    body = b'{%s"data":{"events":[1]}}' % pads
    steps = list(cut_member(body, ("data", "events"), 10))
    assert steps == [[]] * 9 + [[b"1"]]


@given(st.binary(max_size=200) | json_values().map(lambda v: json.dumps(v).encode()))
def test_a_body_is_cut_or_refused_and_nothing_else(body: bytes) -> None:
    hook = CONNECTORS["okta"].hook
    assert hook is not None
    cut: list[bytes] = []
    with suppress(EventError):
        cut = [each for step in hook.cut(body) for each in step]
    assert all(each in body for each in cut)
