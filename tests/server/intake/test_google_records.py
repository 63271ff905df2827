"""Google Workspace bodies: every activity is cut out and logged, whatever it holds."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors import decode_records
from provlog.server.intake.connectors.google import MAX_EVENTS_OF_RECORD
from provlog.server.intake.event import MAX_EVENT_BYTES, Event, EventError, parse_event
from provlog.server.intake.members import labels_of, split_members
from provlog.server.intake.records import WINDOW
from support.events import NOW, NOW_MS, json_values, read_all
from support.google import (
    GOOGLE,
    SOURCE,
    TIME,
    activity,
    google_event,
    google_events,
    google_only,
)
from support.vectors import samples_root

RECORD = json.dumps(activity(google_event("CREATE_USER", USER_EMAIL="a@b.c"))).encode()


def records(body: bytes) -> list[bytes]:
    """Return a body's records, all steps at once."""
    return [record for step in GOOGLE.parse(body) for record in step]


PAGE = b'{"kind": "admin#reports#activities", "items": ['


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (RECORD, [RECORD]),
        (RECORD + b"\r\n" + RECORD, [RECORD, RECORD]),
        (b"[" + RECORD + b",7]", [RECORD, b"7"]),
        (PAGE + RECORD + b",\n" + RECORD + b']\n,"nextPageToken":"A"}', [RECORD] * 2),
        (PAGE + b"]}", []),
        (
            b'{"kind": "admin#reports#activities"}',
            [b'{"kind": "admin#reports#activities"}'],
        ),
        (b'{"items": 7}', [b'{"items": 7}']),
    ],
)
def test_activities_are_cut_out_byte_for_byte(
    body: bytes, expected: list[bytes]
) -> None:
    assert records(body) == expected


@pytest.mark.parametrize("body", [b"", b"x", b"7", PAGE + RECORD, b"[{}"])
def test_a_body_in_no_known_form_is_refused(body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        records(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (b"7", "other.unknown"),
        (b"{}", "other.unknown"),
        (b'{"events": [7, null]}', "other.unknown"),
        (b'{"id": {"applicationName": "admin"}, "events": []}', "other.admin"),
        (b'{"id": 7, "name": "CREATE_USER"}', "other.create_user"),
        (b'{"name": "a", "name": "b"}', "other.unparsed"),
        (b'{"name": "a', "other.unparsed"),
    ],
)
def test_a_record_nobody_understands_is_logged_with_its_bytes(
    record: bytes, kind: str
) -> None:
    event = GOOGLE.to_events(record, SOURCE, NOW_MS)[0]
    assert event.type == kind
    assert event.id.startswith(f"sha256:{sha256(record).hexdigest()}")
    assert event.original == {"media_type": "application/json", "body": record.decode()}


@pytest.mark.parametrize("size", [MAX_EVENT_BYTES, WINDOW])
def test_a_record_that_is_too_large_keeps_what_identifies_it(size: int) -> None:
    event = google_event("CREATE_USER", USER_EMAIL="a@b.c", NOTE="x" * size)
    only = google_only(activity(event))
    assert only.original is None
    assert "record_too_large" in only.flags
    if size < WINDOW:
        assert (only.type, only.id) == ("account.create", f"admin/{TIME}/-7312")
        assert only.data == {
            "actor": {"id": "bob@acme.example"},
            "target": {"id": "a@b.c"},
        }
    assert only.raw_digest is not None
    assert only.raw_digest.hex() in str(split_members(only, "urn:ns", {})["event"])


def assert_within_limits(event: Event) -> None:
    """Fail unless a submitter could send the event in the same words."""
    data = dict(event.data)
    if event.original is not None:
        data["original"] = event.original
    sent: dict[str, JsonValue] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time,
        "data": data,
    }
    again = parse_event(sent, now_ms=NOW_MS)
    assert (again.time, again.data) == (event.time, event.data)
    assert event.comparison()
    labels_of(event, "urn:ns")


PARAMETERS = (
    *("USER_EMAIL", "GROUP_EMAIL", "group_id", "member_id", "member_type"),
    *("member_role", "ROLE_NAME", "ROLE_ID", "PRODUCT_NAME", "NEW_VALUE"),
    *("OLD_VALUE", "ORG_UNIT_NAME", "app_name", "client_id", "scope", "status"),
)
NAMES = ("CREATE_USER", "ASSIGN_ROLE", "join", "authorize", "add_member")
VALUES = json_values() | st.sampled_from(["a@b.c", "A@B.C", "/Sales", "x\0", "é" * 400])
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(NAMES) | json_values(),
        "type": json_values(),
        "status": st.dictionaries(
            st.sampled_from(["eventStatus", "errorCode"]), VALUES
        ),
        "parameters": st.dictionaries(st.sampled_from(PARAMETERS), VALUES)
        | st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(PARAMETERS)},
                optional={"value": VALUES, "multiValue": VALUES, "intValue": VALUES},
            )
            | json_values(),
            max_size=5,
        ),
    },
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.fixed_dictionaries(
            {},
            optional={
                "time": VALUES | st.just(TIME),
                "uniqueQualifier": VALUES,
                "applicationName": st.sampled_from(["admin", "token"]) | VALUES,
            },
        ),
        "actor": st.dictionaries(
            st.sampled_from(["email", "profileId", "callerType", "key"]), VALUES
        ),
        "events": st.lists(EVENTS, max_size=3) | json_values(),
        "ipAddress": VALUES,
        "networkInfo": VALUES,
    },
)


@examples(max_examples=100)
@given(st.tuples(PARTS, EVENTS).map(lambda parts: parts[1] | parts[0]) | json_values())
def test_any_record_becomes_events_within_the_limits(record: JsonValue) -> None:
    events = google_events(record)
    assert 1 <= len(events) <= MAX_EVENTS_OF_RECORD
    for event in events:
        assert_within_limits(event)


@examples(max_examples=100)
@given(st.integers(0, len(RECORD)), st.integers(0, len(RECORD)), st.binary(max_size=4))
def test_a_mutated_or_truncated_record_is_one_all_the_same(
    start: int, end: int, put: bytes
) -> None:
    record = RECORD[: min(start, end)] + put + RECORD[max(start, end) :]
    for event in GOOGLE.to_events(record, SOURCE, NOW_MS):
        assert_within_limits(event)


@pytest.mark.needs("samples")
def test_every_published_sample_becomes_an_event() -> None:
    path = samples_root() / "google_workspace" / "activities-flattened.ndjson"
    body = path.read_bytes()
    lines = [line for line in body.split(b"\n") if line]
    page = PAGE + b",\n".join(lines) + b"]}"
    assert records(body) == records(page) == lines
    events = read_all(decode_records(GOOGLE, body, SOURCE, NOW_MS))
    assert len(events) == len(lines) == 64
    for event, line in zip(events, lines, strict=True):
        assert isinstance(event, Event)
        assert event.original == {
            "media_type": "application/json",
            "body": line.decode(),
        }
        assert_within_limits(event)
    kinds = {event.type for event in events if isinstance(event, Event)}
    assert {"role.assign", "credential.revoke", "entitlement.grant"} <= kinds


def test_an_activity_makes_at_most_64_events_and_says_so() -> None:
    listed = [google_event("CREATE_USER", USER_EMAIL=f"u{n}@x") for n in range(65)]
    events = google_events(activity(*listed))
    assert len(events) == MAX_EVENTS_OF_RECORD == 64
    assert events[0].flags == ("events_cut",)
    assert google_events(activity(*listed[:64]))[0].flags == ()


def test_an_unknown_event_is_logged_under_other_with_its_application() -> None:
    record = activity(google_event("Purge All/é"), application="some_app")
    event = google_only(record)
    assert event.type == "other.some_app.purge_all__"
    assert event.native_type == "some_app.Purge All/é"


@pytest.mark.parametrize(
    ("missing", "flags"),
    [
        ({"time": None}, ("time_missing",)),
        ({"time": "yesterday"}, ("time_unreadable",)),
        ({"uniqueQualifier": None}, ()),
        ({"uniqueQualifier": True}, ()),
        ({"uniqueQualifier": 'a"b'}, ()),
        ({"applicationName": ""}, ()),
        ({"applicationName": "x" * 300}, ()),
    ],
    ids=lambda value: str(value)[:40],
)
def test_without_its_whole_key_an_activity_goes_by_its_digest(
    missing: dict[str, JsonValue], flags: tuple[str, ...]
) -> None:
    record = activity(google_event("CREATE_USER", USER_EMAIL="a@b.c"))
    record["id"] |= missing
    event = google_only(record)
    if missing != {"time": "yesterday"}:
        assert event.id == f"sha256:{sha256(json.dumps(record).encode()).hexdigest()}"
    assert event.flags == flags
    assert event.time == (NOW if flags else TIME)


def test_forms_of_an_event_with_parameters_in_parameters_are_the_same() -> None:
    # As the scopes of `token.authorize` are told.
    inner = [
        {"name": "scope_name", "value": "s"},
        {"name": "product_bucket", "multiValue": ["GMAIL", "OTHER"]},
        {"name": "count", "intValue": "2"},
    ]
    plain = {"scope_name": "s", "product_bucket": ["GMAIL", "OTHER"], "count": 2}
    nested = activity({"name": "MADE_UP", "parameters": [
        {"name": "ONE", "messageValue": {"parameter": inner}},
        {"name": "MANY", "multiMessageValue": [{"parameter": inner}, {}]},
    ]})  # fmt: skip
    flat = {key: value for key, value in nested.items() if key != "events"}
    flat["name"] = "MADE_UP"
    flat["parameters"] = {"ONE": plain | {"none": None}, "MANY": [plain, {}]}
    one, other = google_events(nested)[0], google_events(flat)[0]
    assert one.comparison() == other.comparison()
