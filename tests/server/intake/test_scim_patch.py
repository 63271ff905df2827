"""What a SCIM PATCH changes, in the dialects that providers speak."""

from typing import Any

import pytest
from hypothesis import given, settings

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.scim_patch import (
    MAX_OPERATIONS,
    patch_changes,
    patched_active,
    patched_members,
)
from support.events import json_values


def patch(*operations: Any, name: str = "Operations") -> dict[str, Any]:  # noqa: ANN401
    return {"schemas": [], name: list(operations)}


def test_each_operation_is_a_change() -> None:
    body = patch(
        {"op": "Replace", "path": "title", "value": "Head"},
        {"op": "remove", "path": 'emails[type eq "home"]'},
        {"op": "add", "path": "nickName", "value": None},
        name="operations",
    )
    assert patch_changes(body) == [
        {"op": "replace", "path": "title", "value": "Head"},
        {"op": "remove", "path": 'emails[type eq "home"]'},
        {"op": "add", "path": "nickName", "value": None},
    ]


def test_an_operation_without_a_path_names_its_attributes() -> None:
    extension = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    value = {"active": False, "name.familyName": "Doe", extension: {"department": "x"}}
    assert patch_changes(patch({"op": "replace", "value": value})) == [
        {"op": "replace", "path": "active", "value": False},
        {"op": "replace", "path": "name.familyName", "value": "Doe"},
        {"op": "replace", "path": f"{extension}:department", "value": "x"},
    ]


@pytest.mark.parametrize(
    ("operation", "active"),
    [
        ({"op": "Replace", "path": "active", "value": "False"}, False),
        ({"op": "replace", "path": "active", "value": False}, False),
        ({"op": "replace", "value": {"active": False}}, False),
        ({"op": "add", "path": "Active", "value": "true"}, True),
        ({"op": "replace", "path": "active", "value": "maybe"}, None),
        ({"op": "remove", "path": "active"}, None),
        ({"op": "replace", "path": "title", "value": False}, None),
    ],
)
def test_whether_an_account_is_switched(
    operation: dict[str, Any], active: bool | None
) -> None:
    assert patched_active(patch(operation)) is active


def test_the_last_switch_counts() -> None:
    off = {"op": "replace", "path": "active", "value": False}
    assert patched_active(patch(off, {**off, "value": True})) is True


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        (
            {"op": "add", "path": "members", "value": [{"value": "a"}, {"value": "b"}]},
            [("add", "a"), ("add", "b")],
        ),
        (
            {"op": "Remove", "path": "members", "value": [{"value": "a"}]},
            [("remove", "a")],
        ),
        ({"op": "remove", "path": 'members[value eq "a-1"]'}, [("remove", "a-1")]),
        ({"op": "add", "value": {"members": [{"value": "a"}]}}, [("add", "a")]),
        ({"op": "add", "path": "members", "value": {"value": "a"}}, [("add", "a")]),
        ({"op": "replace", "path": "members", "value": [{"value": "a"}]}, None),
        ({"op": "remove", "path": "members"}, None),
        ({"op": "add", "path": "members", "value": [{"value": 7}]}, None),
        ({"op": "add", "path": "members", "value": ["a"]}, None),
        ({"op": "add", "path": "displayName", "value": "x"}, None),
        ({"op": "add", "value": {"members": [], "displayName": "x"}}, None),
        ({"op": "replace", "path": 'members[value eq "a"]', "value": 1}, None),
    ],
)
def test_who_came_and_went(
    operation: dict[str, Any], members: list[tuple[str, str]] | None
) -> None:
    found = patched_members(patch(operation))
    told = None if found is None else [(op, each["value"]) for op, each in found]
    assert told == members


def test_members_and_something_else_are_not_told_as_members() -> None:
    came = {"op": "add", "path": "members", "value": [{"value": "a"}]}
    title = {"op": "replace", "path": "displayName", "value": "x"}
    assert patched_members(patch(came, title)) is None
    assert patched_members(patch()) is None


def test_what_is_told_is_bounded() -> None:
    many = [{"op": "add", "path": "a", "value": 1}] * (MAX_OPERATIONS + 50)
    assert len(patch_changes(patch(*many))) == MAX_OPERATIONS
    wide = {"op": "add", "value": {str(each): 1 for each in range(5000)}}
    assert len(patch_changes(patch(wide))) == MAX_OPERATIONS + 1


@settings(max_examples=100)
@given(json_values())
def test_any_json_has_changes_or_none(value: JsonValue) -> None:
    for body in (value, {"Operations": value}, patch(value)):
        assert isinstance(patch_changes(body), list)
        patched_active(body)
        patched_members(body)
