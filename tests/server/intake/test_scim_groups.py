"""SCIM exchanges about groups, and Bulk requests: an event for each one concerned."""

import json
from typing import Any

import pytest

from provlog.server.intake.connectors.scim import MAX_EVENTS_OF_RECORD
from support.scim import (
    ANN,
    TEAM,
    data_of,
    exchange,
    patch,
    scim_event,
    scim_events,
    types_of,
)
from support.vectors import samples_root

ADD, REMOVE = "group.member.add", "group.member.remove"


def members(record: Any) -> list[tuple[str, object]]:  # noqa: ANN401
    """Return the events about members: their types and the members' ids."""
    return [
        (event.type, data_of(event)["target"].get("id"))
        for event in scim_events(record)
        if event.type in (ADD, REMOVE)
    ]


def test_members_that_are_added_are_targets_and_the_group_is_the_resource() -> None:
    value = [{"value": "u1", "display": "Ann"}, {"value": "g2", "type": "Group"}]
    asked = patch({"op": "Add", "path": "members", "value": value})
    record = exchange("PATCH", "/Groups/g1", request=asked, response=TEAM)
    first, second = scim_events(record)
    assert [first.type, second.type] == [ADD, ADD]
    assert [first.id, second.id] == ["b7f0#1", "b7f0#2"]
    assert data_of(first)["target"] == {"id": "u1", "type": "user", "name": "Ann"}
    assert data_of(second)["target"] == {"id": "g2", "type": "group"}
    assert data_of(first)["resource"] == {"id": "g1", "type": "group", "name": "Team"}
    assert data_of(second)["resource"]["id"] == "g1"


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "Remove", "path": "members", "value": [{"value": "u1"}]},
        {"op": "remove", "path": "members", "value": {"value": "u1"}},
        {"op": "remove", "path": "members", "value": "u1"},
        {"op": "remove", "path": 'members[value eq "u1"]'},
        {"op": "remove", "path": 'Members[ value EQ "u1" ]'},
        {
            "op": "remove",
            "path": "urn:ietf:params:scim:schemas:core:2.0:Group:members",
            "value": ["u1"],
        },
    ],
)
def test_a_member_is_removed_in_each_of_the_dialects(operation: dict[str, Any]) -> None:
    record = exchange("PATCH", "/Groups/g1", request=patch(operation))
    assert members(record) == [(REMOVE, "u1")]
    assert types_of(record) == [REMOVE]


def test_a_filter_may_name_several_members() -> None:
    path = 'members[value eq "u1" or value eq "u2"]'
    record = exchange(
        "PATCH", "/Groups/g1", request=patch({"op": "remove", "path": path})
    )
    assert members(record) == [(REMOVE, "u1"), (REMOVE, "u2")]


def test_a_filter_that_only_the_server_can_apply_is_no_member() -> None:
    asked = patch({"op": "remove", "path": 'members[type eq "User"]'})
    event = scim_event(exchange("PATCH", "/Groups/g1", request=asked))
    assert event.type == "group.update"
    assert "members_unknown" in event.flags
    assert data_of(event)["changes"][0]["path"] == 'members[type eq "User"]'


def test_replaced_members_are_compared_with_those_before() -> None:
    value = [{"value": "u2"}, {"value": "u3"}]
    asked = patch({"op": "replace", "path": "members", "value": value})
    record = exchange("PATCH", "/Groups/g1", request=asked, before=TEAM)
    assert members(record) == [(ADD, "u3"), (REMOVE, "u1")]
    assert scim_events(record)[0].flags == ()


def test_without_those_before_what_was_removed_is_not_known() -> None:
    asked = patch({"op": "replace", "path": "members", "value": [{"value": "u3"}]})
    (event,) = scim_events(exchange("PATCH", "/Groups/g1", request=asked))
    assert (event.type, event.flags) == (ADD, ("removals_unknown",))


def test_all_members_are_removed_by_name_where_they_are_known() -> None:
    asked = patch({"op": "remove", "path": "members"})
    record = exchange("PATCH", "/Groups/g1", request=asked, before=TEAM)
    assert members(record) == [(REMOVE, "u1"), (REMOVE, "u2")]
    record = exchange("PATCH", "/Groups/g1", request=asked)
    assert types_of(record) == ["group.update"]
    assert scim_event(record).flags == ("members_unknown",)


def test_other_changes_of_a_group_are_an_event_of_their_own() -> None:
    asked = patch(
        {
            "op": "replace",
            "value": {"displayName": "A-Team", "members": [{"value": "u9"}]},
        }
    )
    record = exchange(
        "PATCH", "/Groups/g1", request=asked, before=TEAM | {"members": []}
    )
    assert types_of(record) == ["group.update", ADD]
    assert data_of(scim_events(record)[0])["changes"] == [
        {"op": "replace", "path": "displayName", "value": "A-Team", "old": "Team"}
    ]


def test_a_put_of_a_group_is_compared_with_what_it_was() -> None:
    after = TEAM | {"members": [{"value": "u2"}]}
    record = exchange("PUT", "/Groups/g1", request=after, before=TEAM)
    assert types_of(record) == [REMOVE]
    assert types_of(exchange("PUT", "/Groups/g1", request=TEAM)) == [
        "group.update",
        ADD,
        ADD,
    ]


def test_a_group_that_is_created_has_its_members_added() -> None:
    record = exchange("POST", "/Groups", request=TEAM, response=TEAM)
    assert types_of(record) == ["group.create", ADD, ADD]
    record = exchange("POST", "/Groups", phase="attempt", request=TEAM)
    assert types_of(record) == [
        "attempt.group.create",
        f"attempt.{ADD}",
        f"attempt.{ADD}",
    ]


def test_very_many_members_are_cut_and_it_is_said() -> None:
    value = [{"value": f"u{number}"} for number in range(MAX_EVENTS_OF_RECORD + 9)]
    asked = patch({"op": "add", "path": "members", "value": value})
    events = scim_events(exchange("PATCH", "/Groups/g1", request=asked))
    assert len(events) == MAX_EVENTS_OF_RECORD
    assert "targets_cut" in events[0].flags


def bulk(*asked: dict[str, Any], given: list[Any] | None = None, **more: Any) -> Any:  # noqa: ANN401
    """Return the record of a Bulk request and its answer."""
    answer = None if given is None else {"Operations": given}
    members = {"request": {"Operations": [*asked]}, "response": answer, "status": 200}
    return exchange("POST", "/Bulk", **members | more)


def test_each_operation_of_a_bulk_request_has_its_own_event_and_outcome() -> None:
    record = bulk(
        {"method": "POST", "path": "/Users", "bulkId": "a", "data": ANN},
        {"method": "DELETE", "path": "/Users/u7"},
        {"method": "PATCH", "path": "/Users/u8", "data": patch(
            {"op": "replace", "path": "active", "value": False})},
        given=[
            {"method": "DELETE", "status": "404", "response": {"detail": "gone"}},
            {"method": "DELETE", "status": "204"},
            {"method": "PATCH", "status": "200"},
            {"method": "POST", "bulkId": "a", "status": "201", "location": "/Users/u5"},
        ],
    )  # fmt: skip
    first, second, third = scim_events(record)
    assert [first.type, second.type, third.type] == [
        "account.create",
        "account.delete",
        "account.disable",
    ]
    assert data_of(first)["target"]["id"] == "u5"
    assert data_of(second)["outcome"] == {
        "result": "success",
        "status": "204",
        "bulk_operation": "2",
    }
    assert [event.native_type for event in (first, second, third)] == [
        "POST /Users",
        "DELETE /Users",
        "PATCH /Users",
    ]


def test_references_to_what_the_request_makes_become_the_ids_given() -> None:
    folder = samples_root() / "scim_rfc"
    name = "rfc7644-3.7.2-bulk_{}-temporary_identifier.json"
    asked, given = (
        json.loads((folder / name.format(each)).read_text())
        for each in ("request", "response")
    )
    record = exchange("POST", "/Bulk", request=asked, response=given, status=200)
    created, group, member = scim_events(record)
    assert [created.type, group.type, member.type] == [
        "account.create",
        "group.create",
        ADD,
    ]
    assert data_of(member)["target"]["id"] == data_of(created)["target"]["id"]
    assert data_of(member)["resource"]["id"] == data_of(group)["target"]["id"]


def test_an_operation_that_was_not_answered_is_unknown() -> None:
    record = bulk(
        {"method": "DELETE", "path": "/Users/u7"},
        {"method": "DELETE", "path": "/Users/u8"},
        given=[{"method": "DELETE", "status": "204"}],
    )
    results = [data_of(event)["outcome"]["result"] for event in scim_events(record)]
    assert results == ["success", "unknown"]


def test_a_bulk_request_that_is_refused_as_a_whole_did_nothing() -> None:
    record = bulk(
        {"method": "DELETE", "path": "/Users/u7"},
        status=413,
        response={"detail": "too many"},
    )
    assert data_of(scim_event(record))["outcome"]["result"] == "failure"
    assert data_of(scim_event(record))["outcome"]["reason"] == "too many"


def test_answers_in_another_order_are_told_apart_by_their_location() -> None:
    asked = [{"method": "DELETE", "path": f"/Users/{each}"} for each in ("u7", "u8")]
    gone = {"method": "DELETE", "status": "404", "location": "https://x/v2/Users/u8"}
    done = {"method": "DELETE", "status": "204", "location": "https://x/v2/Users/U7"}
    for given, results in (
        ([gone, done], ["success", "failure"]),
        ([done, gone], ["success", "failure"]),
        ([gone], ["unknown", "failure"]),
        ([{"method": "DELETE", "status": "204"}, gone], ["success", "failure"]),
    ):
        events = scim_events(bulk(*asked, given=given))
        found = [data_of(event)["outcome"]["result"] for event in events]
        assert found == results, given


@pytest.mark.parametrize("known", [True, False])
def test_of_several_operations_on_a_member_the_last_one_holds(known: bool) -> None:
    before = {"before": TEAM} if known else {}
    one = {"path": "members", "value": [{"value": "u2"}]}
    add, remove = {"op": "add", **one}, {"op": "remove", **one}
    for steps, kind in (([remove, add], ADD), ([add, remove], REMOVE)):
        record = exchange("PATCH", "/Groups/g1", request=patch(*steps), **before)
        assert members(record) == [(kind, "u2")]


def test_a_list_of_all_members_undoes_what_stood_before_it_in_the_request() -> None:
    steps = patch(
        {"op": "add", "path": "members", "value": [{"value": "u3"}]},
        {"op": "remove", "path": "members", "value": [{"value": "u2"}]},
        {"op": "replace", "path": "members", "value": [{"value": "u2"}]},
    )
    record = exchange("PATCH", "/Groups/g1", request=steps, before=TEAM)
    assert members(record) == [(REMOVE, "u1")]


@pytest.mark.parametrize("known", [True, False])
def test_removing_all_removes_whom_the_request_added(known: bool) -> None:
    before = {"before": TEAM} if known else {}
    steps = patch(
        {"op": "add", "path": "members", "value": [{"value": "u3"}]},
        {"op": "remove", "path": "members"},
    )
    found = members(exchange("PATCH", "/Groups/g1", request=steps, **before))
    assert found == ([(REMOVE, "u1"), (REMOVE, "u2")] if known else [])
