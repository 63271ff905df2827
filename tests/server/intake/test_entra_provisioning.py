"""Entra's provisioning log in provlog's words, in either spelling of it."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.entra_provisioning import TYPES
from provlog.server.intake.data_members import MAX_CHANGES
from provlog.server.intake.event import TYPE, Event
from provlog.server.intake.members import labels_of
from support.entra import (
    ANN,
    APPLICATION,
    SOURCE,
    STATUSES,
    STEPS,
    TENANT,
    entra_event,
    exported,
    identity,
    provisioned,
    step,
)

HERE = {"id": "1", "displayName": "Azure Active Directory", "details": {}}
WORKDAY = {"id": "2", "displayName": "Workday", "details": {}}


def _outcome(record: dict[str, Any]) -> JsonValue:
    return entra_event(record).data.get("outcome")


def test_an_account_made_in_an_application_is_an_event_there() -> None:
    record = provisioned()
    raw = json.dumps(record).encode()
    assert entra_event(record) == Event(
        id="70000000-0000-4000-8000-000000000007",
        source=SOURCE,
        type="account.create",
        time="2026-11-21T17:53:55.000Z",
        time_sent="2026-11-21T17:53:55Z",
        data={
            "actor": {"type": "system", "name": "Azure AD Provisioning Service"},
            "target": {
                "id": "w-9",
                "type": "user",
                "external_id": ANN,
                "ns": f"entra:{APPLICATION}",
            },
            "resource": {"id": ANN, "type": "user", "name": "ann@x.org"},
            "changes": [
                {"op": "replace", "path": "active", "old": None, "value": "True"}
            ],
            "outcome": {"result": "success"},
            "context": {
                "request_id": "change-1",
                "job_id": "scim.1.2",
                "cycle_id": "cycle-1",
                "tenant_id": TENANT,
                "source_system": "Azure Active Directory",
                "target_system": "Wiki",
                "application": "Wiki",
            },
        },
        original={"media_type": "application/json", "body": raw.decode()},
        native_type="provisioning.create.user",
        connector=("entra", "1"),
        raw_digest=sha256(raw).digest(),
        compared_time="2026-11-21T17:53:55",
    )


def test_every_type_of_the_table_is_one_of_the_vocabulary() -> None:
    for native, ours in TYPES.items():
        _, action, kind = native.split(".")
        target = identity(kind.capitalize(), "1")
        for record in (
            provisioned(provisioningAction=action, targetIdentity=target),
            exported(provisioned(provisioningAction=action, targetIdentity=target)),
        ):
            event = entra_event(record)
            assert (event.native_type, event.type) == (native, ours)
        assert TYPE.fullmatch(ours)


@pytest.mark.parametrize("action", ["stageddelete", "other", "unknownFutureValue", ""])
def test_other_actions_stay_other(action: str) -> None:
    event = entra_event(provisioned(provisioningAction=action))
    assert event.type == f"other.provisioning.{action.lower() or 'unknown'}.user"


def test_the_type_of_identity_is_the_target_s_else_the_source_s() -> None:
    target = identity("urn:ietf:params:scim:schemas:core:2.0:Group", "g")
    assert entra_event(provisioned(targetIdentity=target)).type == "group.create"
    target = identity("", "")
    assert entra_event(provisioned(targetIdentity=target)).type == "account.create"


def test_an_account_that_was_never_created_is_an_event_with_its_reason() -> None:
    record = provisioned(
        provisioningStatusInfo={"status": "skipped", "errorInformation": None},
        targetIdentity=identity("User", ""),
        provisioningSteps=[
            step("EntryImportAdd", "import"),
            {
                **step("Skip", "processing", "skipped", "no name.familyName"),
                "details": {"SkipReason": "AttributeValidationFailed"},
            },
        ],
    )
    for each in (record, exported(record)):
        event = entra_event(each)
        assert event.type == "account.create"
        assert event.data["outcome"] == {
            "result": "skipped",
            "reason": "no name.familyName",
            "code": "AttributeValidationFailed",
        }
        target = event.data["target"]
        assert isinstance(target, dict)
        assert "id" not in target
        assert ANN in [name for _, _, name in labels_of(event, "acme")]


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (
            {
                "status": "failure",
                "errorInformation": {
                    "errorCode": "Conflict",
                    "reason": "409",
                    "recommendedAction": None,
                },
            },
            {"result": "failure", "reason": "409", "code": "Conflict"},
        ),
        (
            {"status": "failure", "errorInformation": {"reason": ""}},
            {"result": "failure", "reason": "it failed"},
        ),
        (
            {"status": "warning"},
            {"result": "unknown", "reason": "it failed", "provider_result": "warning"},
        ),
        ({"Status": "SUCCESS"}, {"result": "success"}),
        ({"status": 7}, None),
        ({}, None),
        (None, None),
    ],
)
def test_outcomes_are_ours_with_the_reason_where_entra_tells_it(
    info: JsonValue, expected: JsonValue
) -> None:
    steps = [step("Export", "export", "failure", "it failed")]
    record = provisioned(provisioningStatusInfo=info, provisioningSteps=steps)
    assert _outcome(record) == expected


def test_where_the_status_is_missing_the_export_s_own_result_counts() -> None:
    record = exported(provisioned())
    record["resultType"] = "Skipped"
    del record["properties"]["provisioningStatusInfo"]
    del record["properties"]["statusInfo"]
    assert _outcome(record) == {"result": "skipped"}
    record["properties"]["statusInfo"] = {"Status": 1}
    assert _outcome(record) == {"result": "failure"}


@pytest.mark.parametrize("name", ["initiatorType", "initiatingType", "Type"])
def test_who_initiated_it_is_read_in_each_spelling(name: str) -> None:
    who = {name: "Application", "Id": "A" * 8, "Name": "HR"}
    actor = entra_event(provisioned(initiatedBy=who)).data["actor"]
    assert actor == {"id": "A" * 8, "type": "application", "name": "HR"}


@pytest.mark.parametrize(
    ("source", "target", "spaces"),
    [
        (HERE, WORKDAY, (f"entra:{APPLICATION}", "acme")),
        (WORKDAY, HERE, ("acme", f"entra:{APPLICATION}:source")),
        (WORKDAY, {}, (f"entra:{APPLICATION}", f"entra:{APPLICATION}:source")),
        (HERE, HERE, (f"entra:{APPLICATION}", "acme")),
        (
            HERE,
            {"displayName": "Azure Active Directory (target tenant)"},
            (f"entra:{APPLICATION}", "acme"),
        ),
        (
            {"Name": "Workday"},
            {"Name": "Microsoft Entra ID"},
            ("acme", f"entra:{APPLICATION}:source"),
        ),
    ],
)
def test_an_identity_is_in_the_namespace_of_the_system_that_it_is_of(
    source: dict[str, Any], target: dict[str, Any], spaces: tuple[str, str]
) -> None:
    record = provisioned(sourceSystem=source, targetSystem=target)
    found = {kind.name: ns for kind, ns, _ in labels_of(entra_event(record), "acme")}
    assert (found["TARGET"], found["RESOURCE"]) == spaces


@pytest.mark.parametrize(
    ("members", "ns"),
    [
        ({"servicePrincipal": [{"id": APPLICATION.upper()}]}, APPLICATION),
        ({"servicePrincipal": None}, "scim.1.2"),
        ({"servicePrincipal": {"id": 'no "name"'}}, "scim.1.2"),
        ({"servicePrincipal": {}, "jobId": "é"}, "unknown"),
        ({"servicePrincipal": {}, "jobId": "x" * 300}, "unknown"),
    ],
)
def test_an_application_is_known_by_what_stays_the_same(
    members: dict[str, Any], ns: str
) -> None:
    target = entra_event(provisioned(**members)).data["target"]
    assert isinstance(target, dict)
    assert target["ns"] == f"entra:{ns}"


def test_the_systems_own_ids_which_change_make_no_other_account() -> None:
    one = provisioned()
    other = provisioned(targetSystem={**one["targetSystem"], "id": "another"})
    assert entra_event(one).comparison() == entra_event(other).comparison()


def test_guids_are_indexed_in_lower_case() -> None:
    upper = identity("User", ANN.upper())
    event = entra_event(provisioned(targetIdentity=upper, sourceIdentity=upper))
    ids = [name for _, _, name in labels_of(event, "acme")]
    assert ids == [ANN, ANN]


def test_values_of_this_log_are_texts_and_stay_that() -> None:
    properties = [{"displayName": "x", "oldValue": "1", "newValue": '"quoted"'}]
    changes = entra_event(provisioned(modifiedProperties=properties)).data["changes"]
    assert changes == [{"op": "replace", "path": "x", "old": "1", "value": '"quoted"'}]


def test_changes_are_cut_with_a_flag() -> None:
    one = {"displayName": "a", "oldValue": None, "newValue": "b"}
    record = provisioned(modifiedProperties=[one] * (MAX_CHANGES + 1))
    event = entra_event(record)
    assert event.flags == ("changes_cut",)
    assert len(str(event.data["changes"])) == len(str([_changed()] * MAX_CHANGES))
    fitting = provisioned(modifiedProperties=[one] * MAX_CHANGES)
    assert entra_event(fitting).flags == ()


def _changed() -> JsonValue:
    return {"op": "replace", "path": "a", "old": None, "value": "b"}


_WORD = st.text("abcé \\\"'/ 7", max_size=6)
_IDENTITIES = st.builds(
    identity,
    st.sampled_from(["User", "urn:ietf:params:scim:schemas:core:2.0:User", "", "Role"]),
    st.sampled_from(["", ANN, ANN.upper(), "w-9"]),
    _WORD,
)
_STEPS = st.lists(
    st.builds(step, _WORD, st.sampled_from(STEPS), st.sampled_from(STATUSES), _WORD),
    max_size=4,
)
_RECORDS = st.builds(
    provisioned,
    activityDateTime=st.sampled_from(
        ["2026-11-21T17:53:55Z", "2026-11-21T17:53:55.1Z", "2026-11-21T17:53:55.12345Z"]
    ),
    provisioningAction=st.sampled_from(["create", "update", "disable", "other"]),
    provisioningStatusInfo=st.builds(
        lambda status, error: {"status": status, "errorInformation": error},
        st.sampled_from(STATUSES),
        st.none() | st.builds(lambda text: {"reason": text, "errorCode": text}, _WORD),
    ),
    provisioningSteps=_STEPS,
    sourceIdentity=_IDENTITIES,
    targetIdentity=_IDENTITIES,
)


@given(_RECORDS)
@settings(max_examples=60)
def test_both_spellings_of_a_record_are_the_same_event(record: dict[str, Any]) -> None:
    graph, export = entra_event(record), entra_event(exported(record))
    assert graph.comparison() == export.comparison()
    assert (graph.id, graph.type) == (export.id, export.type)
    assert graph.data == export.data


@pytest.mark.parametrize(
    "change",
    [
        {"activityDateTime": "2026-11-21T17:53:56Z"},
        {"provisioningAction": "update"},
        {"targetIdentity": identity("User", "w-8")},
        {"provisioningStatusInfo": {"status": "failure"}},
        {"initiatedBy": {"id": "another"}},
        {"servicePrincipal": {"id": "another"}},
    ],
)
def test_another_time_action_target_actor_or_outcome_is_another_event(
    change: dict[str, Any],
) -> None:
    event = entra_event(provisioned())
    assert entra_event(provisioned(**change)).comparison() != event.comparison()


def test_a_better_mapping_does_not_make_another_event_of_a_record() -> None:
    event = entra_event(provisioned())
    assert replace(event, type="other.x").comparison() == event.comparison()


def test_without_a_date_the_export_s_own_counts() -> None:
    record = exported(provisioned())
    del record["properties"]["activityDateTime"]
    assert entra_event(record).time == "2026-11-21T17:53:55.000Z"
    record["time"] = "11/21/2026 5:53:55 PM"
    event = entra_event(record)
    assert event.flags == ("time_unreadable",)
    assert event.compared_time is None
