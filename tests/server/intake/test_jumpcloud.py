"""What becomes of JumpCloud's Directory Insights events."""

import json
from typing import Any

import pytest

from provlog.server.intake.connectors import events_of
from provlog.server.intake.connectors.jumpcloud import TYPES
from provlog.server.intake.data_members import MAX_CHANGES
from support.events import NOW_MS
from support.jumpcloud import (
    JUMPCLOUD,
    SOURCE,
    binding,
    jumpcloud_event,
    jumpcloud_record,
)

BINDINGS = [name.split(" ") for name in TYPES if " " in name]


@pytest.mark.parametrize("name", [each for each in TYPES if " " not in each])
def test_every_type(name: str) -> None:
    event = jumpcloud_event(jumpcloud_record(name))
    assert event.type == TYPES[name]
    assert event.native_type == name
    assert event.id == "6490f0f5"
    assert event.time == "2026-11-21T17:53:55.516Z"


@pytest.mark.parametrize(("_", "op", "holder", "held"), BINDINGS)
@pytest.mark.parametrize("turned", [False, True])
def test_every_binding_in_either_order(
    _: str, op: str, holder: str, held: str, turned: bool
) -> None:
    ends = (held, holder) if turned else (holder, held)
    event = jumpcloud_event(binding(op, *ends))
    assert event.type == TYPES[f"association_change {op} {holder} {held}"]
    assert event.native_type == "association_change"
    assert event.data["target"] == {
        "id": f"id-{holder}",
        "name": f"the {holder}",
        "type": holder,
    }
    assert event.data["resource"] == {
        "id": f"id-{held}",
        "name": f"the {held}",
        "type": held,
    }


@pytest.mark.parametrize(
    "record",
    [
        binding("update", "user", "user_group"),
        binding("add", "policy", "system_group"),
        binding("add", "system", "system_group"),
        jumpcloud_record("association_change"),
        jumpcloud_record("association_change", association={"op": "add"}),
    ],
)
def test_bindings_that_are_not_understood(record: Any) -> None:  # noqa: ANN401
    assert jumpcloud_event(record).type == "other.association_change"


def test_who_did_what_to_whom() -> None:
    changes = [{"field": "lastname", "from": "A", "to": "B"}, {"field": "x"}, 7]
    event = jumpcloud_event(
        jumpcloud_record("user_update", changes=changes, correlation={"id": "c1"})
    )
    assert event.data == {
        "actor": {"id": "603e", "email": "bob@x.org", "type": "admin"},
        "target": {"id": "6127", "name": "ann", "type": "user"},
        "changes": [
            {"op": "replace", "path": "lastname", "old": "A", "value": "B"},
            {"op": "replace", "path": "x", "old": None, "value": None},
        ],
        "context": {
            "request_id": "c1",
            "ip": "192.0.2.7",
            "user_agent": "curl 7.68.0 Other",
            "auth_method": "session",
            "organization": "641b",
            "service": "directory",
        },
    }


@pytest.mark.parametrize(
    ("members", "outcome"),
    [
        ({"success": True}, {"result": "success"}),
        (
            {"success": False, "error_message": "no"},
            {"result": "failure", "reason": "no"},
        ),
        ({"success": "yes"}, None),
        ({}, None),
    ],
)
def test_an_outcome_is_told_or_there_is_none(members: Any, outcome: Any) -> None:  # noqa: ANN401
    event = jumpcloud_event(jumpcloud_record("user_create", **members))
    assert event.data.get("outcome") == outcome


@pytest.mark.parametrize(
    ("kind", "member", "shown"),
    [
        ("user", "target", "user"),
        ("systemuser", "target", "user"),
        ("admin", "target", "admin"),
        ("user_group", "target", "user_group"),
        ("policy", "resource", "policy"),
        ("", "resource", None),
    ],
)
def test_accounts_and_groups_are_targets(
    kind: str, member: str, shown: str | None
) -> None:
    resource = {"id": "7", "type": kind, "name": "N"}
    data = jumpcloud_event(jumpcloud_record("x_y", resource=resource)).data
    party: Any = data[member]
    assert party.get("type") == shown
    assert {"target", "resource"} & data.keys() == {member}


def test_more_changes_than_an_event_has() -> None:
    changes = [{"field": f"f{number}"} for number in range(MAX_CHANGES + 1)]
    event = jumpcloud_event(jumpcloud_record("user_update", changes=changes))
    assert event.flags == ("changes_cut",)
    assert len(event.data["changes"]) == MAX_CHANGES  # type: ignore[arg-type]
    exact = jumpcloud_event(jumpcloud_record("user_update", changes=changes[1:]))
    assert exact.flags == ()


def test_accounts_in_applications_are_no_accounts_here() -> None:
    for verb in ("create", "update", "delete"):
        name = f"user_{verb}_provision"
        assert jumpcloud_event(jumpcloud_record(name)).type == f"other.{name}"


def test_a_password_in_the_changes_is_cut_out() -> None:
    changes = [{"field": "password", "from": "S3CRET1", "to": "S3CRET2"}]
    record = json.dumps(jumpcloud_record("user_update", changes=changes)).encode()
    [event] = events_of(JUMPCLOUD, record, SOURCE, NOW_MS)
    assert "S3CRET" not in json.dumps([event.data, event.original])
    assert isinstance(event.original, dict)
    assert event.original["redacted"] == ["/changes/0/from", "/changes/0/to"]


@pytest.mark.parametrize("value", [None, [], {}, 7, "x", True, [[]]])
@pytest.mark.parametrize("name", [*jumpcloud_record("x"), "changes", "association"])
def test_members_of_any_kind(name: str, value: Any) -> None:  # noqa: ANN401
    for event_type in ("user_update", "association_change"):
        assert jumpcloud_event(jumpcloud_record(event_type) | {name: value}).id
