"""What is read off a SCIM exchange stays in proportion to it, whatever it holds."""

from collections.abc import Iterator
from typing import Any

import pytest

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors import scim_groups
from provlog.server.intake.connectors.scim_exchange import Exchange
from provlog.server.intake.connectors.scim_steps import (
    MAX_SCANNED,
    attribute,
    patch_changes,
    value_at,
)
from support.scim import patch


class Counted(dict[str, JsonValue]):
    """A resource that counts how many of its names were looked at."""

    looked = 0

    def __iter__(self) -> Iterator[str]:
        for name in super().__iter__():
            self.looked += 1
            yield name


def test_attributes_that_are_not_there_are_looked_for_among_a_few() -> None:
    before = Counted({f"a{number}": 0 for number in range(9000)})
    steps = [{"op": "replace", "path": f"b{number}"} for number in range(100)]
    assert len(patch_changes(patch(*steps), before)) == 100
    assert before.looked <= 100 * MAX_SCANNED


def test_names_in_another_case_are_found_among_the_first() -> None:
    names = {f"A{number}": number for number in range(MAX_SCANNED + 1)}
    found = [attribute({**names}, f"{case}{MAX_SCANNED}") for case in "Aa"]
    assert found == [MAX_SCANNED, None]
    assert attribute({**names}, f"a{MAX_SCANNED - 1}") == MAX_SCANNED - 1


def test_values_are_filtered_among_the_first() -> None:
    values: list[JsonValue] = [{"type": f"t{n}"} for n in range(MAX_SCANNED + 1)]
    of: dict[str, JsonValue] = {"emails": values}
    assert value_at(of, f'emails[type eq "t{MAX_SCANNED - 1}"].type') is not None
    assert value_at(of, f'emails[type eq "t{MAX_SCANNED}"].type') is None


def test_members_are_compared_once_however_often_a_request_replaces_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = 0
    replace = scim_groups._Difference.replace

    def counted(found: Any, members: Any) -> None:  # noqa: ANN401
        nonlocal compared
        compared += 1
        replace(found, members)

    monkeypatch.setattr(scim_groups._Difference, "replace", counted)
    path = "members"
    steps: list[dict[str, Any]] = [
        {"op": "add", "path": path, "value": [{"value": "u3"}]},
        *[{"op": "replace", "path": path, "value": [{"value": "u9"}]}] * 9,
        {"op": "remove", "path": path},
        {"op": "replace", "path": path, "value": []},
        {"op": "add", "path": path, "value": [{"value": "u4"}]},
    ]
    before: dict[str, JsonValue] = {"members": [{"value": "u1"}, {"value": "u2"}]}
    exchange = Exchange("PATCH", "Groups", "g1", patch(*steps), before=before)
    events = scim_groups.group_events(exchange, "group.update", {}, [])
    found = [(kind, each["target"]) for kind, each in events]
    assert found == [
        (scim_groups.ADDED, {"id": "u4", "type": "user"}),
        (scim_groups.REMOVED, {"id": "u1", "type": "user"}),
        (scim_groups.REMOVED, {"id": "u2", "type": "user"}),
    ]
    assert compared == 1
