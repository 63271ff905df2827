"""What a record becomes stays in proportion to it, and can be read by a verifier."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.disclosures import (
    LONG_SALT_SIZE,
    make_disclosures,
    parse_disclosure,
)
from provlog.merkle.encoding import JsonValue
from provlog.server.intake.data_members import MAX_CHANGES
from provlog.server.intake.event import MAX_EVENT_BYTES, Event
from provlog.server.intake.members import split_members
from support.events import NOW_MS, json_values
from support.okta import (
    APP,
    GROUP,
    OKTA,
    SOURCE,
    USER,
    okta_event,
    okta_events,
    okta_record,
)


def _disclosed(event: Event) -> int:
    """Return how long an event's disclosures are; all of them can be read again."""
    members = split_members(event, "urn:ns", {})
    encoded = {name: msgspec.json.encode(value) for name, value in members.items()}
    texts, _ = make_disclosures(bytes(LONG_SALT_SIZE * len(encoded)), encoded)
    for text, value in zip(texts, members.values(), strict=True):
        assert parse_disclosure(text).value == value
    return sum(map(len, texts))


def test_what_events_of_a_record_share_is_told_in_the_first_and_repeated_in_brief() -> (
    None
):
    details = {"detailEntry": {"x": [1, 2]}}
    record = okta_record(
        {**USER, **details},
        {**USER, "id": "00u8", **details},
        {**GROUP, **details, "changeDetails": {"to": {"a": 1}}},
        outcome={"result": "FAILURE", "reason": "y" * 300},
        debugContext={"debugData": {"requestId": "r1"}},
        client={"ipAddress": "192.0.2.7"},
        actor={"id": "00u1", "type": "User", "displayName": "Bob", **details},
    )
    first, second = okta_events(record)
    told: dict[str, JsonValue] = {"details": {"x": [1, 2]}}
    actor: dict[str, JsonValue] = {"id": "00u1", "type": "user", "name": "Bob"}
    group: dict[str, JsonValue] = {"id": "00g1", "type": "group", "name": "Admins"}
    assert first.data["actor"] == {**actor, **told}
    assert first.data["resource"] == {**group, **told}
    assert first.data["outcome"] == {"result": "failure", "reason": "y" * 300}
    assert first.data["context"] == {"request_id": "r1", "ip": "192.0.2.7"}
    assert len(str(first.data["changes"])) > 10
    assert second.data == {
        "actor": actor,
        "target": {
            "id": "00u8",
            "type": "user",
            "name": "Ann",
            "alternate_id": "a@x.org",
            **told,
        },
        "resource": group,
        "outcome": {"result": "failure"},
        "context": {"request_id": "r1"},
    }


def _widest() -> list[dict[str, Any]]:
    noise = "x" * 30_000
    users = [{**USER, "id": f"u{n}"} for n in range(64)]
    shared: dict[str, Any] = {
        "displayMessage": noise,
        "severity": noise,
        "outcome": {"result": "SUCCESS", "reason": noise},
        "actor": {"id": "a" * 512, "displayName": noise, "detailEntry": {"x": noise}},
    }
    app = {**APP, "displayName": noise, "changeDetails": {"to": {"x": noise}}}
    return [
        okta_record(*users, app, **shared),
        okta_record(*users, published=noise * 4, eventType=noise * 4),
        okta_record(*users, published=["x", noise]),
        okta_record(
            *(8 * [{**USER, "detailEntry": {"x": noise[:9000]}}]), *(8 * [APP])
        ),
    ]


@pytest.mark.parametrize("record", _widest())
def test_many_events_of_a_record_stay_in_proportion_to_it(
    record: dict[str, Any],
) -> None:
    raw = json.dumps(record).encode()
    events = OKTA.to_events(raw, SOURCE, NOW_MS)
    assert len(events) == 64
    assert sum(map(_disclosed, events)) < 4 * len(raw) + 64 * 3000
    assert sum(len(event.comparison()) for event in events) < len(raw) + 64 * 1500


def test_changes_are_cut_with_a_flag() -> None:
    changes = {"to": {f"{n:04}": n for n in range(MAX_CHANGES + 1)}}
    event = okta_event(okta_record({**USER, "changeDetails": changes}))
    assert event.flags == ("changes_cut",)
    listed = event.data["changes"]
    assert isinstance(listed, list)
    assert len(listed) == MAX_CHANGES
    del changes["to"]["1000"]
    assert okta_event(okta_record({**USER, "changeDetails": changes})).flags == ()


@pytest.mark.parametrize("member", ["detailEntry", "published"])
@pytest.mark.parametrize("size", [20_000, 31_000, 52_000])
def test_a_record_of_numbers_is_kept_and_can_be_read(member: str, size: int) -> None:
    numbers = "[" + ",".join(["1e15"] * size) + "]"
    where: dict[str, Any] = {member: {"x": "NUMBERS"}}
    record = okta_record({**USER, **where}) if member == "detailEntry" else where
    text = json.dumps(record).replace('"NUMBERS"', numbers)
    (event,) = OKTA.to_events(text.encode(), SOURCE, NOW_MS)
    _disclosed(event)
    assert event.original is not None
    if member == "detailEntry":
        cut = ("details_too_large",) if size > 30_000 else ()
        assert event.flags == cut
        assert (event.data["target"] == {"id": "00u9"}) == bool(cut)


def test_a_number_s_spelling_is_kept_in_the_record_and_refuses_none() -> None:
    text = json.dumps(okta_record({**USER, "detailEntry": {"x": 0.5}}))
    record = text.replace("0.5", "0.30000000000000000000012345").encode()
    (event,) = OKTA.to_events(record, SOURCE, NOW_MS)
    assert event.type == "group.member.add"
    assert event.original == {"media_type": "application/json", "body": record.decode()}


def test_a_record_of_control_characters_is_kept_in_base64() -> None:
    record = b"\x01" * (MAX_EVENT_BYTES - 10)
    (event,) = OKTA.to_events(record, SOURCE, NOW_MS)
    assert event.original is not None
    assert "body_base64" in str(event.original)[:100]
    _disclosed(event)
    (event,) = OKTA.to_events(b'"' * (MAX_EVENT_BYTES - 10), SOURCE, NOW_MS)
    assert '"body"' in json.dumps(event.original)[:100]
    _disclosed(event)


def test_a_time_of_any_shape_can_be_read() -> None:
    deep: JsonValue = "x"
    for _ in range(62):
        deep = [deep]
    event = okta_event(okta_record(published=deep))
    assert (event.time_sent, event.flags) == (None, ("time_unreadable",))
    _disclosed(event)


@given(
    st.dictionaries(
        st.sampled_from(["published", "eventType", "actor", "client", "outcome"]),
        json_values(),
    ),
    st.lists(
        st.dictionaries(
            st.sampled_from(["id", "type", "displayName", "detailEntry"]),
            json_values() | st.sampled_from(["User", "UserGroup", "AppInstance"]),
        ),
        max_size=5,
    ),
)
def test_every_event_of_any_record_can_be_read(
    members: dict[str, JsonValue], targets: list[dict[str, Any]]
) -> None:
    raw = json.dumps({**members, "target": targets}).encode()
    for event in OKTA.to_events(raw, SOURCE, NOW_MS):
        _disclosed_leniently(event)


def _disclosed_leniently(event: Event) -> None:
    """Check as `_disclosed` does where an integer may be longer than 64 bits."""
    for name, value in split_members(event, "urn:ns", {}).items():
        encoded = json.dumps(value, ensure_ascii=False).encode()
        [text], _ = make_disclosures(bytes(LONG_SALT_SIZE), {name: encoded})
        assert parse_disclosure(text).value == value
