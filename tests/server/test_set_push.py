"""What a transmitter of security event tokens meets at its hook, with one or many."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from provlog.server.errors import UnavailableError
from provlog.server.http import set_push
from provlog.server.source_settings import SettingsBook
from provlog.server.tokens import mint_token
from support.fake_set_transmitter import MEDIA_TYPE, MEDIA_TYPE_OF_MANY, FakeTransmitter
from support.set_hooks import SOURCE, Hook, hooked, refusal
from support.sets import AUDIENCE, ISSUER, PROV, claims_of, sign, unsigned


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[Hook]:
    async with hooked(tmp_path) as made:
        yield made


async def test_a_token_is_acknowledged_once_its_entry_is_durable(hook: Hook) -> None:
    before, token = hook.size, sign(claims_of())
    reply = await hook.post(token)
    assert (reply.status, reply.body) == (202, b"")
    assert hook.size == before + 1
    opened = await hook.opened(before)
    assert opened["original"] == {"media_type": MEDIA_TYPE, "body": token}
    assert opened["event"]["id"] == f"4d3559ec@{ISSUER}"
    assert opened["event"]["native_type"] == f"{PROV}:deactivate"
    assert opened["target"] == {"id": "u-1", "ns": "idp", "type": "user"}
    assert opened["context_details"] == {"transaction_id": "txn-7"}
    assert opened["ingest"]["signature"] == "verified"
    assert "flags" not in opened["ingest"]


async def test_the_same_token_again_is_acknowledged_and_makes_no_second_entry(
    hook: Hook,
) -> None:
    token = sign(claims_of())
    assert (await hook.post(token)).status == 202
    size = hook.size
    assert (await hook.post(token)).status == 202
    # Signed anew, as a retransmission may be, it says the same.
    assert (await hook.post(sign(claims_of(), "ES256"))).status == 202
    assert hook.size == size


async def test_another_token_under_the_same_name_is_logged_beside(hook: Hook) -> None:
    await hook.post(sign(claims_of()))
    size = hook.size
    data = {"data": {"schemas": [], "userName": "zoe"}}
    changed = sign(claims_of(events={f"{PROV}:deactivate": data}))
    assert (await hook.post(changed)).status == 202
    assert hook.size == size + 1
    opened = await hook.opened(size)
    assert opened["event"]["id"].startswith(f"4d3559ec@{ISSUER}~")


async def test_each_refusal_has_the_code_of_its_reason_and_is_not_logged(
    hook: Hook,
) -> None:
    size = hook.size
    good = sign(claims_of())
    head, body, signature = good.split(".")
    for sent, code in (
        ("", "invalid_request"),
        ("not a token", "invalid_request"),
        (b"\xff\xfe" * 40, "invalid_request"),
        (json.dumps(claims_of()), "invalid_request"),
        (f"{head}.{body}", "invalid_request"),
        (sign({**claims_of(), "events": {}}), "invalid_request"),
        (sign(claims_of(), typ="JWT"), "invalid_request"),
        (sign(claims_of(iss="https://evil.example.com")), "invalid_issuer"),
        (sign(claims_of(aud="https://another.example.com")), "invalid_audience"),
        (unsigned(claims_of()), "invalid_key"),
        (f"{head}.{body}.{signature[:-4]}AAAA", "invalid_key"),
        (sign(claims_of(), kid="unheard-of"), "invalid_key"),
    ):
        assert refusal(await hook.post(sent)) == code, sent
    assert hook.size == size


async def test_who_may_not_deliver_is_told_so_in_the_same_form(hook: Hook) -> None:
    token = sign(claims_of())
    assert refusal(await hook.post(token, secret="plt_x")) == "authentication_failed"
    submitter = hook.log.made.tokens["submitter"]
    assert refusal(await hook.post(token, secret=submitter)) == "access_denied"


async def test_another_content_type_is_a_general_condition_of_http(hook: Hook) -> None:
    reply = await hook.post(sign(claims_of()), "application/json")
    assert (reply.status, reply.slug) == (415, "unsupported-media-type")
    long = await hook.post(b"a" * (set_push.MAX_BYTES // 4 + 1))
    assert (long.status, long.slug) == (413, "too-large")


async def test_without_issuers_a_token_is_kept_by_its_transmitter(hook: Hook) -> None:
    hook.log.service.settings = SettingsBook()
    reply = await hook.post(sign(claims_of()))
    assert (reply.status, reply.slug) == (503, "unavailable")


async def test_what_cannot_be_logged_now_is_not_acknowledged(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise UnavailableError("not now")

    monkeypatch.setattr(hook.log.service.sequencer, "submit", away)
    assert (await hook.post(sign(claims_of()))).slug == "unavailable"
    reply = await hook.many({"4d3559ec": sign(claims_of())})
    assert (reply.status, reply.slug) == (503, "unavailable")


async def test_algorithms_and_audiences_are_those_of_the_settings(hook: Hook) -> None:
    hook.configure(algorithms=["ES256"], audience=["https://a.example", "urn:b"])
    for algorithm, audience, code in (
        ("Ed25519", "urn:b", "invalid_key"),
        ("ES256", AUDIENCE, "invalid_audience"),
    ):
        reply = await hook.post(sign(claims_of(aud=audience), algorithm))
        assert refusal(reply) == code
    assert (await hook.post(sign(claims_of(aud="urn:b"), "ES256"))).status == 202


async def test_many_tokens_are_acknowledged_each_for_itself(hook: Hook) -> None:
    before = hook.size
    stranger = sign(claims_of("evil", iss="https://evil.example.com"))
    reply = await hook.many(
        {
            "one": sign(claims_of("one")),
            "two": sign(claims_of("two"), "RS256"),
            "evil": stranger,
            "misnamed": sign(claims_of("three")),
            "number": 7,
            "nobody": sign(claims_of("nobody", aud="urn:x")),
        }
    )
    assert reply.status == 202
    assert reply.headers["Content-Language"] == "en"
    answer = reply.json()
    assert sorted(answer["ack"]) == ["one", "two"]
    assert {jti: error["err"] for jti, error in answer["setErrs"].items()} == {
        "evil": "invalid_issuer",
        "misnamed": "invalid_request",
        "number": "invalid_request",
        "nobody": "invalid_audience",
    }
    assert hook.size == before + 2
    again = await hook.many({"one": sign(claims_of("one"))})
    assert again.json() == {"ack": ["one"]}
    assert hook.size == before + 2


async def test_no_tokens_are_answered_with_no_acknowledgement(hook: Hook) -> None:
    reply = await hook.many({})
    assert (reply.status, reply.json()) == (202, {"ack": []})


async def test_a_request_of_many_that_is_refused_as_a_whole_says_why(
    hook: Hook,
) -> None:
    token = sign(claims_of())
    doubled = f'{{"sets":{{"4d3559ec":"{token}","4d3559ec":"{token}"}}}}'
    for body in (doubled, "{}", "[]", '{"sets":[]}', "nothing", ""):
        reply = await hook.post(body, MEDIA_TYPE_OF_MANY)
        assert (reply.slug, reply.json()["err"]) == ("malformed", "invalid_request")
    reply = await hook.many({str(each): "x" for each in range(set_push.MAX_SETS + 1)})
    assert (reply.status, reply.json()["err"]) == (413, "too_many_sets")
    reply = await hook.post('{"sets":{}}', MEDIA_TYPE_OF_MANY, secret="plt_x")
    assert (reply.status, reply.json()["err"]) == (401, "authentication_failed")


async def test_what_is_refused_is_counted_and_told_to_nobody_in_full(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    marker = "zoe-quux@example.org"
    claims = claims_of("secret-jti", iss=f"https://{marker}")
    reply = await hook.post(sign(claims))
    many = await hook.many({"another": sign(claims)})
    assert marker not in (reply.body + many.body).decode()
    assert marker not in caplog.text
    counted = hook.log.service.metrics.registry.get_sample_value(
        "provlog_hook_refusals_total",
        {"problem": "refused-token", "source": SOURCE},
    )
    assert counted == 2


async def test_a_transmitter_that_had_no_answer_pushes_again(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, failures = hook.log.service.sequencer.submit, [True]

    async def flaky(*given: Any, **named: Any) -> Any:  # noqa: ANN401
        done = await submit(*given, **named)
        if failures:
            failures.pop()
            raise UnavailableError("durable, and the answer is lost")
        return done

    monkeypatch.setattr(hook.log.service.sequencer, "submit", flaky)
    before = hook.size
    status = await FakeTransmitter().push(hook.url, sign(claims_of()), hook.secret)
    assert (status, hook.size) == (202, before + 1)


async def test_a_submitter_s_tokens_are_taken_and_flagged(hook: Hook) -> None:
    submitter = mint_token(
        logs=[hook.log.log.id],
        roles=["submitter"],
        sources=[SOURCE],
        now=hook.log.service.clock.now(),
    )
    await hook.log.service.store_token(hook.log.log, submitter.record, "test")
    before = hook.size
    body = [sign(claims_of("one")), claims_of("two"), "no token"]
    path = f"/logs/main/events?format=set&source={quote(SOURCE, safe='')}"
    headers = {"Authorization": f"Bearer {submitter.text}"}
    async with hook.log.client.post(path, json=body, headers=headers) as answer:
        results = (await answer.json())["results"]
    assert [each["status"] for each in results] == [201] * 3
    opened = [await hook.opened(before + number) for number in range(3)]
    assert [each["ingest"]["flags"] for each in opened] == [
        ["signature_unverified"],
        ["unsigned"],
        ["unsigned", "time_missing"],
    ]
    assert [each["event"]["id"][:4] for each in opened] == ["one@", "two@", "sha2"]
