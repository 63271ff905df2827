"""What is the same record of Entra's audit log, however it is spelled."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.server.intake.connectors import events_of
from provlog.server.intake.connectors.entra_types import AUDIT_TYPES
from support.entra import (
    ANN,
    ENTRA,
    SOURCE,
    USER,
    audited,
    entra_event,
    entra_events,
    exported,
    resource,
    user,
)
from support.events import NOW_MS

_NAME = st.none() | st.text("abé ", max_size=4)
_RESOURCES = st.builds(
    resource,
    st.sampled_from(["User", "Group", "Role", "ServicePrincipal", "Policy", "Other"]),
    st.sampled_from([None, "", ANN, ANN.upper(), "g1"]),
    _NAME,
    Group_ObjectID=st.sampled_from(["g1", "g2"]),
    x=st.text(max_size=5),
)


@given(
    st.lists(_RESOURCES, max_size=4),
    st.sampled_from([*AUDIT_TYPES, "Anything else"]),
    st.sampled_from(["success", "failure", "timeout"]),
)
@settings(max_examples=60)
def test_both_spellings_of_a_record_are_the_same_events(
    targets: list[dict[str, Any]], name: str, result: str
) -> None:
    record = audited(*targets, activityDisplayName=name, result=result)
    both = entra_events(record), entra_events(exported(record))
    for graph, export in zip(*both, strict=True):
        assert graph.comparison() == export.comparison()
        assert (graph.id, graph.type, graph.data) == (
            export.id,
            export.type,
            export.data,
        )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2026-11-21T17:53:55.1Z", "2026-11-21 17:53:55.100000000", True),
        ("2026-11-21T17:53:55.1Z", "2026-11-21T17:53:55.9+00:00", True),
        ("2026-11-21T17:53:55Z", "2026-11-21T18:53:55+01:00", True),
        ("2026-11-21T17:53:55Z", "2026-11-21T17:53:56Z", False),
        ("odd", "odder", False),
    ],
)
def test_a_time_is_compared_by_its_second_however_it_is_spelled(
    one: str, other: str, same: bool
) -> None:
    events = [
        entra_event(audited(USER, activityDateTime=time)) for time in (one, other)
    ]
    assert (events[0].comparison() == events[1].comparison()) == same
    assert [event.time_sent for event in events] == [one, other]


def test_a_display_name_that_one_spelling_leaves_out_makes_no_other_event() -> None:
    who = user("Bob", "60000000-0000-4000-8000-00000000000b")
    named = audited(USER, initiatedBy={"user": {**who, "displayName": "Bob"}})
    assert entra_event(named).comparison() == entra_event(audited(USER)).comparison()
    context = entra_event(named).data["context"]
    assert isinstance(context, dict)
    assert context["actor_display_name"] == "Bob"


def test_secrets_in_what_was_changed_stay_out_of_the_changes() -> None:
    properties = [
        {"displayName": "PasswordProfile", "oldValue": None, "newValue": '"hunter2"'},
        {
            "displayName": "KeyDescription",
            "oldValue": "[]",
            "newValue": json.dumps(
                [{"KeyId": "k1", "Secret": "hunter2", "x": '{"pwd":"hunter2"}'}]
            ),
        },
    ]
    record = audited({**USER, "modifiedProperties": properties})
    for each in (record, exported(record)):
        (event,) = events_of(ENTRA, json.dumps(each).encode(), SOURCE, NOW_MS)
        assert "hunter2" not in str(event)
        assert "k1" in str(event.data["changes"])
        assert event.type == "group.member.add"
