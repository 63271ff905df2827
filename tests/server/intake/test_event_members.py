"""The split of an event into members and labels (design section 5)."""

from msgspec.structs import replace

from provlog.merkle.encoding import JsonValue
from provlog.merkle.labels import LabelKind
from provlog.server.intake.members import labels_of, sent_as, split_members
from support.events import event_json, event_of

_NS = "urn:acme:idp"


def _split(data: JsonValue, **attributes: JsonValue) -> dict[str, JsonValue]:
    return split_members(event_of(data, **attributes), _NS, {"token": "t1"})


def test_an_event_is_split_as_the_design_says() -> None:
    members = split_members(event_of(subject="alice"), _NS, {"token": "t1"})
    assert members == {
        "actor": {"id": "00u1", "ns": _NS, "type": "user"},
        "actor_details": {"name": "bob@example.com"},
        "target": {"id": "00u9", "ns": _NS, "type": "user"},
        "target_details": {"name": "alice@example.com", "external_id": "E-1001"},
        "context": {"ticket": "CHG-1", "request_id": "req-7"},
        "context_details": {"ip": "192.0.2.7"},
        "resource": {"type": "role", "id": "r-12", "name": "Admin", "expires": None},
        "changes": [{"op": "add", "path": "roles", "value": "Admin", "old": None}],
        "outcome": {"result": "success", "reason": None},
        "original": {"media_type": "application/json", "body": '{"a": 1}'},
        "event": {
            "id": "9f2c",
            "time": "2026-11-21T17:53:55.516Z",
            "subject": "alice",
        },
        "ingest": {"token": "t1", "ns": _NS},
    }


def test_a_member_tells_where_it_was_sent() -> None:
    sent = {name: sent_as(name) for name in split_members(event_of(), _NS, {})}
    assert sent.pop("ingest")
    assert sent.pop("event") == ""
    assert set(sent.values()) == {f"/data/{name}" for name in event_json()["data"]}
    assert sent["actor_details"] == "/data/actor"


def test_what_was_not_sent_has_no_member() -> None:
    assert _split(None, time=None) == {
        "event": {"id": "9f2c"},
        "ingest": {"token": "t1", "ns": _NS, "flags": ["time_missing"]},
    }


def test_a_name_never_stands_beside_the_identity_it_belongs_to() -> None:
    members = _split({"actor": {"name": "bob", "id": None, "type": None, "ns": None}})
    assert members["actor"] == {"ns": _NS}
    assert members["actor_details"] == {"name": "bob"}


def test_details_without_references_and_references_without_details() -> None:
    assert "context" not in _split({"context": {"ip": "x"}})
    assert "context_details" not in _split({"context": {"ticket": "x"}})
    assert not {"context", "context_details"} & _split({"context": {}}).keys()


def test_splitting_leaves_event_and_ingest_as_they_were() -> None:
    ingest: dict[str, JsonValue] = {"token": "t1"}
    event = event_of()
    before = event.comparison()
    split_members(event, _NS, ingest)
    assert (event.comparison(), ingest) == (before, {"token": "t1"})


def test_labels_stand_for_target_actor_and_resource() -> None:
    assert labels_of(event_of(), _NS) == [
        (LabelKind.TARGET, _NS, "00u9"),
        (LabelKind.ACTOR, _NS, "00u1"),
        (LabelKind.RESOURCE, _NS, "r-12"),
    ]


def test_a_namespace_of_its_own_goes_before_the_source_s() -> None:
    data = {
        "actor": {"id": "a", "ns": "urn:hr"},
        "target": {"id": "t", "ns": None},
        "resource": {"id": "r", "ns": "urn:aws"},
    }
    event = event_of(data)
    assert labels_of(event, _NS) == [
        (LabelKind.TARGET, _NS, "t"),
        (LabelKind.ACTOR, "urn:hr", "a"),
        (LabelKind.RESOURCE, "urn:aws", "r"),
    ]
    members = split_members(event, _NS, {})
    assert members["actor"] == {"id": "a", "ns": "urn:hr"}
    assert members["target"] == {"id": "t", "ns": _NS}


def test_without_an_id_there_is_no_label() -> None:
    assert labels_of(event_of({"actor": {"name": "bob"}, "resource": {}}), _NS) == []


def test_a_connector_and_the_provider_s_type_are_told() -> None:
    event = replace(
        event_of(None), connector=("okta", "1"), native_type="user.x", flags=("f",)
    )
    members = split_members(event, _NS, {})
    assert members["event"] == {
        "id": "9f2c",
        "time": "2026-11-21T17:53:55.516Z",
        "native_type": "user.x",
    }
    assert members["ingest"] == {
        "ns": _NS,
        "connector": "okta",
        "connector_version": "1",
        "flags": ["f"],
    }


def test_a_record_s_digest_stands_only_where_the_record_does_not() -> None:
    with_original = replace(event_of(), raw_digest=b"\x01" * 32)
    without = replace(event_of(None), raw_digest=b"\x01" * 32)
    assert "record_sha256" not in str(split_members(with_original, _NS, {})["event"])
    assert "01" * 32 in str(split_members(without, _NS, {})["event"])
