"""Secrets of providers' records reach neither members nor digests nor originals."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.merkle.redaction import cut_secrets
from provlog.merkle.secret_names import NAMES, SUFFIXES
from provlog.server.intake.connectors import decode_records, events_of
from provlog.server.intake.event import MAX_EVENT_BYTES, Event, EventError, parse_event
from provlog.server.intake.members import split_members
from provlog.server.intake.records import WINDOW
from support.connectors import SEEDS
from support.events import NOW_MS, read_all
from support.okta import OKTA, SOURCE, USER, okta_record

S = "S3CRET~7"


def events(record: Any) -> list[Event]:  # noqa: ANN401
    """Return the events of a record, in whose members there is no secret."""
    raw = record if isinstance(record, bytes) else json.dumps(record).encode()
    made = events_of(OKTA, raw, SOURCE, NOW_MS)
    for event in made:
        assert S not in json.dumps(split_members(event, "urn:ns", {}))
    return made


def original_of(event: Event) -> dict[str, Any]:
    assert isinstance(event.original, dict)
    return event.original


def test_the_original_says_where_secrets_were() -> None:
    details = {"profile": {"password": S, "login": "ann"}}
    [event] = events(okta_record({**USER, "detailEntry": details}))
    original = original_of(event)
    assert original["redacted"] == ["/target/0/detailEntry/profile/password"]
    assert "[redacted]" in original["body"]
    assert "[redacted]" in json.dumps(event.data["target"])


def test_the_digest_is_that_of_what_is_kept() -> None:
    [event] = events({"password": S})
    kept = b'{"password": "[redacted]"}'
    assert event.raw_digest == sha256(kept).digest()
    assert event.id == f"sha256:{sha256(kept).hexdigest()}"
    assert original_of(event)["body"] == kept.decode()


def test_of_several_events_the_one_with_the_record_says_it() -> None:
    first, second = events(okta_record(USER, {**USER, "id": "00u8"}, token=S))
    assert original_of(first)["redacted"] == ["/token"]
    assert second.original is None


def test_a_record_without_secrets_says_nothing() -> None:
    [event] = events(okta_record(USER))
    assert original_of(event).keys() == {"media_type", "body"}


def test_a_body_is_cut_record_by_record() -> None:
    records = [{"uuid": "u1", "token": S}, {"uuid": "u2"}]
    body = "\n".join(map(json.dumps, records)).encode()
    one, two = read_all(decode_records(OKTA, body, SOURCE, NOW_MS))
    assert isinstance(one, Event)
    assert isinstance(two, Event)
    assert S not in str(one.original)
    assert "redacted" not in original_of(two)


def test_long_records() -> None:
    padding = "x" * MAX_EVENT_BYTES
    [event] = events({"uuid": "u1", "token": S, "padding": padding})
    assert event.original is None
    [event] = events({"uuid": "u1", "token": padding})
    assert original_of(event)["redacted"] == ["/token"]
    # What is longer than this is not read, and its digest is all that is kept.
    unread = json.dumps({"uuid": "u1", "token": "x" * WINDOW}).encode()
    [event] = events(unread)
    assert event.original is None
    assert event.raw_digest == sha256(unread).digest()


def test_what_cannot_be_read() -> None:
    [event] = events(f'{{"uuid":"u1","password":"{S}'.encode())
    assert original_of(event) == {
        "media_type": "application/json",
        "body": '{"uuid":"u1","password":"[redacted]"',
        "redacted": [""],
    }
    [event] = events(b'{"uuid":"u1","\xff":1,"password":"%b"}' % S.encode())
    assert original_of(event)["redacted"] == ["/password"]
    assert "body_base64" in original_of(event)


def sent(redacted: JsonValue) -> JsonValue:
    original: JsonValue = {
        "media_type": "application/json",
        "body": "{}",
        "redacted": redacted,
    }
    return {
        "specversion": "1.0",
        "id": "1",
        "source": SOURCE,
        "type": "a.b",
        "data": {"original": original},
    }


@pytest.mark.parametrize("redacted", [[""], ["/a~0b/c~1d", "/0"], ["/x"]])
def test_a_submitter_may_say_what_it_has_cut_itself(redacted: JsonValue) -> None:
    event = parse_event(sent(redacted), now_ms=NOW_MS)
    assert original_of(event)["redacted"] == redacted


@pytest.mark.parametrize(
    "redacted",
    [
        None,
        [],
        "",
        "/a",
        {"a": 1},
        [1],
        ["a"],
        ["/a~2"],
        ["/a~"],
        ["/a", "/a"],
        ["/" + "x" * 512],
        [f"/{number}" for number in range(101)],
        [["/a"]],
    ],
)
def test_a_list_of_what_was_cut_that_is_none(redacted: JsonValue) -> None:
    with pytest.raises(EventError) as caught:
        parse_event(sent(redacted), now_ms=NOW_MS)
    assert caught.value.member == "/data/original/redacted"


def test_what_was_listed_by_the_server_could_be_sent() -> None:
    record = {"a/b": [{"~": {"x" * 100: {"token": S}}}], "é": {"pin": 1}}
    pointers = cut_secrets(json.dumps(record).encode()).pointers
    assert len(pointers) == 2
    parse_event(sent([*pointers]), now_ms=NOW_MS)


def planted(name: str) -> list[Any]:
    """Return the forms in which a provider may log a secret of this name."""
    inner = {"u": [{name: S}], "k": 1}
    return [
        {name: S},
        {name: [S, {"x": S}]},
        {"displayName": name, "newValue": json.dumps([S])},
        {"representation": json.dumps(inner)},
        {"newValue": json.dumps([json.dumps(inner)])},
        {"url": f"https://x/y?a=1&{name}={S}&b=2"},
        {"message": f"asked for {{'{name}': '{S}'"},
    ]


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_planted_secret_is_found_in_what_arrived_of_a_record(
    data: st.DataObject,
) -> None:
    # Tokens have tests of their own.
    seeds = [each for some in SEEDS.values() for each in some if each[:1] == b"{"]
    seed = data.draw(st.sampled_from(seeds))
    record = json.loads(seed)
    inside = data.draw(st.sampled_from(list(objects(record))))
    name = data.draw(st.sampled_from(sorted({*NAMES, *SUFFIXES})))
    name = data.draw(st.sampled_from([name, name.upper(), f"{name[:2]}_{name[2:]}"]))
    inside["planted"] = data.draw(st.sampled_from(planted(name)))
    whole = json.dumps(record).encode()
    arrived = whole[: data.draw(st.integers(len(whole) // 4, len(whole)))]
    for each in (whole, arrived):
        kept = cut_secrets(each).record
        assert S.encode() not in kept
        assert cut_secrets(kept).record == kept


def objects(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """Yield every object in a value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from objects(inner)
