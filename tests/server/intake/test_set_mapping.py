"""What the events of security event tokens become: RFC 9967, CAEP and RISC."""

import json
from typing import Any

import pytest

from provlog.server.intake.connectors import events_of
from provlog.server.intake.connectors.secevent import CONNECTOR, VERIFIED
from provlog.server.intake.connectors.secevent_facts import MAX_EVENTS_OF_RECORD
from provlog.server.intake.connectors.secevent_types import ASYNC_RESPONSE, TYPES
from provlog.server.intake.event import TYPE, Event
from support.events import NOW_MS
from support.sets import CAEP, ISSUER, PROV, RISC, claims_of, sign, unsigned
from support.vectors import samples_root

SOURCE = "urn:set:idp"
GROUP = {"format": "scim", "uri": "/Groups/g-1", "externalId": "admins"}


def events(claims: Any) -> list[Event]:  # noqa: ANN401
    """Return the events of claims, as they are or in a token that is verified."""
    plain = events_of(CONNECTOR, json.dumps(claims).encode(), SOURCE, NOW_MS)
    token = events_of(VERIFIED, sign(claims).encode(), SOURCE, NOW_MS)
    assert [(each.id, each.type, each.data) for each in plain] == [
        (each.id, each.type, each.data) for each in token
    ]
    return plain


def event(uri: str, payload: object = None, **claims: Any) -> Event:  # noqa: ANN401
    (made,) = events(claims_of(events={uri: payload or {}}, **claims))
    return made


@pytest.mark.parametrize("uri", TYPES)
def test_each_type_is_what_the_table_says_in_any_case(uri: str) -> None:
    for spelled in (uri, uri.replace(":scim:", ":SCIM:"), uri.upper()):
        made = event(spelled)
        assert made.type == TYPES[uri]
        assert made.native_type == spelled


def test_every_type_can_be_one() -> None:
    assert all(TYPE.fullmatch(each) and len(each) <= 128 for each in TYPES.values())


@pytest.mark.parametrize(
    ("uri", "name", "ours"),
    [
        ("Groups", "create:full", "group.create"),
        ("Groups", "put:notice", "group.update"),
        ("Groups", "patch:notice", "group.update"),
        ("Groups", "delete", "group.delete"),
        ("Groups", "deactivate", "other.scim.groups.disable"),
        ("Devices", "create:full", "other.scim.devices.create"),
        ("Dé vices", "delete", "other.scim.unknown.delete"),
    ],
)
def test_a_scim_event_is_told_of_what_the_uri_names(
    uri: str, name: str, ours: str
) -> None:
    subject = {"format": "scim", "uri": f"https://x.example/v2/{uri}/7"}
    assert event(f"{PROV}:{name}", sub_id=subject).type == ours


def test_an_unknown_uri_is_other_and_keeps_its_name() -> None:
    made = event("https://example.com/Events/Odd")
    assert made.type == "other.https___example.com_events_odd"
    assert made.native_type == "https://example.com/Events/Odd"


def test_who_when_and_in_which_transaction() -> None:
    made = event(f"{PROV}:deactivate")
    assert made.id == f"4d3559ec@{ISSUER}"
    assert made.time == "2026-11-21T17:53:55.000Z"
    assert made.data["target"] == {
        "id": "u-1",
        "type": "user",
        "external_id": "zoe",
        "uri": "/Users/u-1",
    }
    assert made.data["context"] == {"transaction_id": "txn-7"}
    assert "outcome" not in made.data


@pytest.mark.parametrize(
    ("claims", "payload", "time"),
    [
        ({"toe": 1_795_280_000}, {"event_timestamp": 1}, "2026-11-21T16:53:20.000Z"),
        ({}, {"event_timestamp": 1_795_280_000}, "2026-11-21T16:53:20.000Z"),
        ({}, {"event_timestamp": 1_795_280_000_500}, "2026-11-21T16:53:20.500Z"),
        ({"iat": 1_795_280_000.25}, {}, "2026-11-21T16:53:20.250Z"),
    ],
)
def test_the_time_is_that_of_the_event_where_it_is_told(
    claims: dict[str, Any], payload: dict[str, Any], time: str
) -> None:
    made = event(f"{CAEP}/session-revoked", payload, **claims)
    assert (made.time, made.flags) == (time, ("unsigned",))


@pytest.mark.parametrize("iat", [-1, True, "soon", 1e300, [1], None])
def test_a_time_that_is_none_is_flagged(iat: object) -> None:
    made = events_of(CONNECTOR, json.dumps(claims_of(iat=iat)).encode(), SOURCE, NOW_MS)
    assert {"time_missing", "time_unreadable"} & set(made[0].flags)


def test_without_a_name_the_id_is_the_record_s_digest() -> None:
    for broken in ({"jti": None}, {"iss": 7}, {"jti": "j" * 300}, {"jti": "ü"}):
        record = json.dumps(claims_of(**broken)).encode()
        (made,) = events_of(CONNECTOR, record, SOURCE, NOW_MS)
        assert made.id.startswith("sha256:")


def test_several_uris_are_several_events_with_the_same_subject() -> None:
    claims = claims_of(
        events={f"{PROV}:deactivate": {}, f"{RISC}/account-disabled": {}, "urn:x:y": {}}
    )
    made = events(claims)
    assert [each.id[-2:] for each in made] == ["#1", "#2", "#3"]
    types = ["account.disable", "account.disable", "other.urn_x_y"]
    assert [each.type for each in made] == types
    assert [each.native_type for each in made] == list(claims["events"])
    assert {json.dumps(each.data["target"]) for each in made} == {
        json.dumps(made[0].data["target"])
    }
    assert made[1].original is None


def test_too_many_events_are_cut_with_a_flag() -> None:
    claims = claims_of(events={f"urn:x:{each}": {} for each in range(200)})
    record = json.dumps(claims).encode()
    made = events_of(CONNECTOR, record, SOURCE, NOW_MS)
    assert len(made) == MAX_EVENTS_OF_RECORD
    assert "targets_cut" in made[0].flags


def test_members_that_come_and_go_are_an_event_each() -> None:
    operation = {
        "op": "add",
        "path": "members",
        "value": [
            {"value": "u-1", "display": "Zoe", "type": "User"},
            {"value": "u-2"},
        ],
    }
    data = {"data": {"Operations": [operation]}}
    made = events(claims_of(events={f"{PROV}:patch:full": data}, sub_id=GROUP))
    assert [each.type for each in made] == ["group.member.add"] * 2
    assert made[0].data["target"] == {"id": "u-1", "type": "user", "name": "Zoe"}
    assert made[1].data["target"] == {"id": "u-2"}
    for each in made:
        assert dict(each.data["resource"])["id"] == "g-1"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "more",
    [
        {"op": "replace", "path": "displayName", "value": "x"},
        {"op": "replace", "path": "members", "value": [{"value": "u-1"}]},
        {"op": "remove", "path": "members"},
        {"op": "remove", "path": 'members[type eq "User"]'},
    ],
    ids=lambda each: str(each["path"]),
)
def test_where_more_happened_than_can_be_told_of_members_the_group_was_updated(
    more: dict[str, Any],
) -> None:
    came = {"op": "add", "path": "members", "value": [{"value": "u-1"}]}
    data = {"data": {"Operations": [came, more]}}
    (made,) = events(claims_of(events={f"{PROV}:patch:full": data}, sub_id=GROUP))
    assert made.type == "group.update"
    assert [each["path"] for each in made.data["changes"]] == ["members", more["path"]]  # type: ignore[union-attr, index, call-overload]


def test_a_patch_that_switches_an_account_is_told_so() -> None:
    operation = {"op": "replace", "path": "active", "value": False}
    made = event(f"{PROV}:patch:full", {"data": {"Operations": [operation]}})
    assert made.type == "account.disable"
    assert made.data["changes"] == [operation]


def test_data_and_attributes_are_changes() -> None:
    user = {"schemas": ["x"], "id": "u-1", "userName": "zoe", "active": True}
    made = event(f"{PROV}:create:full", {"data": user})
    assert made.data["changes"] == [
        {"op": "add", "path": "userName", "value": "zoe"},
        {"op": "add", "path": "active", "value": True},
    ]
    made = event(f"{PROV}:put:notice", {"attributes": ["emails", 7], "version": "v1"})
    assert made.data["changes"] == [{"path": "emails"}]
    assert made.data["context"] == {
        "transaction_id": "txn-7",
        "resource_version": "v1",
    }


@pytest.mark.parametrize(
    ("payload", "ours", "result"),
    [
        ({"method": "POST", "status": "201"}, "account.create", "success"),
        ({"method": "put", "status": 200}, "account.update", "success"),
        ({"method": "DELETE", "status": "204"}, "account.delete", "success"),
        ({"method": "PATCH", "status": "412"}, "account.update", "failure"),
        (
            {"method": "HEAD", "status": "200"},
            TYPES[ASYNC_RESPONSE],
            "success",
        ),
        ({}, TYPES[ASYNC_RESPONSE], "unknown"),
        ({"method": "POST", "status": "2xx"}, "account.create", "unknown"),
    ],
)
def test_an_asynchronous_response_tells_method_and_outcome(
    payload: dict[str, Any], ours: str, result: str
) -> None:
    made = event(ASYNC_RESPONSE, payload)
    assert (made.type, made.data["outcome"]) == (ours, {"result": result})


def test_an_asynchronous_error_has_its_reason() -> None:
    error = {"scimType": "invalidSyntax", "detail": "Request is unparsable"}
    payload = {"method": "PUT", "status": "400", "response": error, "bulkId": "q"}
    made = event(ASYNC_RESPONSE, payload, txn="txn:3")
    assert made.data["outcome"] == {
        "result": "failure",
        "reason": "Request is unparsable",
    }
    assert made.data["context"] == {
        "transaction_id": "txn:3",
        "bulk_id": "q",
        "status": "400",
    }


@pytest.mark.parametrize(
    ("change", "ours"),
    [
        ("create", "credential.create"),
        ("update", "credential.update"),
        ("revoke", "credential.revoke"),
        ("delete", "credential.revoke"),
        (None, "credential.update"),
    ],
)
def test_a_credential_change_is_what_was_changed(change: str | None, ours: str) -> None:
    payload = {
        "change_type": change,
        "credential_type": "fido2-roaming",
        "initiating_entity": "admin",
        "reason_admin": {"de": "Verloren", "en": "Lost"},
    }
    made = event(f"{CAEP}/credential-change", payload)
    assert made.type == ours
    assert made.data["context"] == {
        "transaction_id": "txn-7",
        "credential_type": "fido2-roaming",
        "initiating_entity": "admin",
        "message": "Lost",
    }


def test_an_identifier_that_changed_is_told_with_the_new_one() -> None:
    made = event(f"{RISC}/identifier-changed", {"new-value": "zoe@example.org"})
    assert made.data["changes"] == [{"op": "replace", "value": "zoe@example.org"}]


@pytest.mark.parametrize(
    ("subject", "target"),
    [
        ({"format": "email", "email": "z@x.org"}, {"id": "z@x.org", "name": "z@x.org"}),
        ({"format": "iss_sub", "iss": ISSUER, "sub": "s"}, {"id": "s"}),
        (
            {"format": "iss_sub", "iss": "https://other", "sub": "s"},
            {"id": "s", "ns": "https://other"},
        ),
        ({"subject_type": "iss-sub", "iss": ISSUER, "sub": "s"}, {"id": "s"}),
        ({"format": "phone_number", "phone_number": "+1"}, {"id": "+1"}),
        ({"format": "account", "uri": "acct:z@x.org"}, {"id": "acct:z@x.org"}),
    ],
)
def test_subjects_that_are_people(
    subject: dict[str, Any], target: dict[str, Any]
) -> None:
    made = event(f"{RISC}/account-disabled", sub_id=subject)
    assert made.data["target"] == {"type": "user", **target}
    # Older transmitters put it into the event.
    claims = claims_of(events={f"{RISC}/account-disabled": {"subject": subject}})
    del claims["sub_id"]
    assert events(claims)[0].data["target"] == {"type": "user", **target}


@pytest.mark.parametrize(
    ("subject", "members"),
    [
        ({"format": "opaque", "id": "o"}, {"target": {"id": "o"}}),
        ({"format": "did", "url": "did:x:y"}, {"target": {"id": "did:x:y"}}),
        ({"format": "uri", "uri": "urn:z"}, {"target": {"id": "urn:z"}}),
        (
            {"format": "jwt_id", "iss": ISSUER, "jti": "t"},
            {"target": {"id": "t", "type": "token"}},
        ),
        (
            {"format": "aliases", "identifiers": [{"format": "opaque", "id": "o"}]},
            {"target": {"id": "o"}},
        ),
        (
            {
                "format": "complex",
                "device": {"format": "opaque", "id": "d"},
                "user": {"format": "opaque", "id": "u"},
            },
            {
                "target": {"id": "u", "type": "user"},
                "resource": {"id": "d", "type": "device"},
            },
        ),
        (
            {"session": {"format": "opaque", "id": "s"}},
            {"target": {"id": "s", "type": "session"}},
        ),
        ({"format": "new"}, {}),
        ({"format": "email", "email": 7}, {}),
        ({"format": "aliases", "identifiers": [{"format": "aliases"}]}, {}),
        ("text", {}),
    ],
    ids=str,
)
def test_other_subjects(subject: object, members: dict[str, Any]) -> None:
    made = event(f"{CAEP}/session-revoked", sub_id=subject, txn=None)
    assert made.data == members


def test_the_subject_of_an_old_token_is_its_sub() -> None:
    claims = claims_of(sub="u-9")
    del claims["sub_id"]
    assert events(claims)[0].data["target"] == {"id": "u-9"}


def test_flags_say_who_has_looked_at_the_signature() -> None:
    token, plain = sign(claims_of()).encode(), json.dumps(claims_of()).encode()
    for connector, record, flags in (
        (CONNECTOR, token, ("signature_unverified",)),
        (CONNECTOR, plain, ("unsigned",)),
        (CONNECTOR, unsigned(claims_of()).encode(), ("unsigned",)),
        (VERIFIED, token, ()),
    ):
        (made,) = events_of(connector, record, SOURCE, NOW_MS)
        assert made.flags == flags


def test_of_a_token_with_a_secret_the_claims_are_kept_without_it() -> None:
    data = {"data": {"userName": "zoe", "password": "hunter2-quux"}}
    token = sign(claims_of(events={f"{PROV}:create:full": data})).encode()
    (made,) = events_of(VERIFIED, token, SOURCE, NOW_MS)
    assert made.flags == ("token_not_kept",)
    assert isinstance(made.original, dict)
    assert made.original["media_type"] == "application/json"
    assert made.original["redacted"] == [
        f"/events/{PROV}:create:full/data/password".replace("~", "~0")
    ]
    assert "hunter2" not in str(made)
    assert {"op": "add", "path": "userName", "value": "zoe"} in made.data["changes"]  # type: ignore[operator]


def test_claims_that_a_tool_shows_are_claims() -> None:
    shown = {"header": {"alg": "ES256"}, "claims": claims_of()}
    (made,) = events_of(CONNECTOR, json.dumps(shown).encode(), SOURCE, NOW_MS)
    assert (made.id, made.type) == (f"4d3559ec@{ISSUER}", "account.disable")
    # What has events of its own is itself the claims.
    both = claims_of(claims={"jti": "another"})
    (made,) = events_of(CONNECTOR, json.dumps(both).encode(), SOURCE, NOW_MS)
    assert made.id == f"4d3559ec@{ISSUER}"


@pytest.mark.needs("samples")
def test_the_figures_of_rfc_9967_are_understood() -> None:
    folder = samples_root() / "security_event_tokens"
    for figure in json.loads((folder / "rfc9967-figures.json").read_bytes()):
        made = events(figure["claims"])
        assert made[0].data["target"], figure["figure"]
        feed = "feed" in str(made[0].native_type)
        assert made[0].type.startswith("other.") == feed, figure["figure"]
