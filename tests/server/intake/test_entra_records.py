"""Entra's bodies: every record is cut out and logged once, whatever it holds."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.disclosures import (
    LONG_SALT_SIZE,
    make_disclosures,
    parse_disclosure,
)
from provlog.merkle.encoding import JsonValue
from provlog.server.delivery import deliver
from provlog.server.intake.connectors import decode_records
from provlog.server.intake.connectors.entra import CONNECTOR
from provlog.server.intake.event import MAX_EVENT_BYTES, Event, EventError, parse_event
from provlog.server.intake.members import labels_of, split_members
from provlog.server.storage.base import SourceRecord
from support.entra import (
    APPLICATION,
    ENTRA,
    GRAPH_RECORDS,
    SOURCE,
    USER,
    audited,
    entra_event,
    entra_events,
    exported,
    provisioned,
    resource,
)
from support.entra_guide import DELIVERY, delivery
from support.events import NOW_MS, json_values, read_all
from support.services import make_instance, running
from support.vectors import samples_root


def _records(body: bytes) -> list[bytes]:
    return [record for step in ENTRA.parse(body) for record in step]


_ONE, _TWO = (json.dumps(exported(each)).encode() for each in GRAPH_RECORDS)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + _ONE + b" , " + _TWO + b"]",
        _ONE + b"\r\n" + _TWO + b"\n",
        b'{"records": [' + _ONE + b"," + _TWO + b"]}",
        b'{"@odata.context": "x", "value": [' + _ONE + b"," + _TWO + b"]}",
    ],
)
def test_records_come_in_an_array_in_lines_or_in_an_envelope(body: bytes) -> None:
    assert _records(body) == [_ONE, _TWO]
    assert CONNECTOR.hook is not None
    cut = CONNECTOR.hook.cut(body)
    assert [record for step in cut for record in step] == [_ONE, _TWO]


def test_a_single_record_is_one_and_an_empty_envelope_none() -> None:
    assert _records(_ONE) == [_ONE]
    assert _records(b'{"records": []}') == []
    assert _records(b'{"value": [], "@odata.nextLink": "x"}') == []


@pytest.mark.parametrize("body", [b"", b"x", b'"x"', b"[{}", b'{"records": [1,]}x'])
def test_a_body_in_no_known_form_is_refused(body: bytes) -> None:
    with pytest.raises(EventError) as caught:
        _records(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "category", ["SignInLogs", "ServicePrincipalSignInLogs", "RiskyUsers"]
)
def test_other_categories_are_logged_under_other_by_their_digest(category: str) -> None:
    record = {
        "time": "2026-11-21 17:53:56.000",
        "category": category,
        "operationName": "Sign-in activity",
        "properties": {"id": "s-1", "createdDateTime": "2026-11-21T17:53:55.1Z"},
    }
    event = entra_event(record)
    assert event.type == f"other.{category.lower()}"
    assert event.id == f"sha256:{sha256(json.dumps(record).encode()).hexdigest()}"
    assert event.time == "2026-11-21T17:53:55.100Z"
    assert event.data == {"context": {"record_id": "s-1"}}
    # Entra tells of one sign-in again when something has become known of it.
    record["properties"] = {**provisioned(), "riskState": "atRisk", "id": "s-1"}
    assert entra_event(record).id != event.id


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (b"7", "other.unknown"),
        (b"[]", "other.unknown"),
        (b"{}", "other.unknown"),
        (b'{"properties": {}}', "other.unknown"),
        (b'{"properties": 7, "category": 7}', "other.unknown"),
        (b'{"category": "ProvisioningLogs", "properties": {"a": 1}}', None),
        (b'{"category": "AuditLogs", "properties": {"a": 1}}', "other.unknown"),
        (b'{"id":"a","id":"b"}', "other.unparsed"),
        (b'{"id":"a', "other.unparsed"),
    ],
)
def test_a_record_nobody_understands_is_logged_with_its_bytes(
    record: bytes, kind: str | None
) -> None:
    (event,) = ENTRA.to_events(record, SOURCE, NOW_MS)
    assert event.type == (kind or "other.provisioning.unknown.unknown")
    assert event.id == f"sha256:{sha256(record).hexdigest()}"
    assert event.original == {"media_type": "application/json", "body": record.decode()}


async def test_both_spellings_of_a_record_have_one_entry(tmp_path: Path) -> None:
    source = SourceRecord(SOURCE, "acme", "entra")
    several = audited(USER, resource("User", "u2"), id="Directory_8")
    spelled = [*GRAPH_RECORDS, several]
    graph = [json.dumps(each).encode() for each in spelled]
    export = [json.dumps(exported(each)).encode() for each in spelled]
    async with running(await make_instance(tmp_path)) as (service, log):
        await service.register_source(log, source, "test")
        first = await deliver(service, log, source, graph, {})
        assert (first.logged, first.repeated) == (4, 0)
        again = await deliver(service, log, source, export, {})
        assert (again.logged, again.repeated) == (0, 4)
        changed = json.dumps(exported(audited(USER, result="failure"))).encode()
        other = await deliver(service, log, source, [changed, *graph], {})
        assert (other.logged, other.repeated) == (1, 4)


def _readable(event: Event) -> None:
    """Every member can be disclosed, and the event is one that anybody may send."""
    for name, value in split_members(event, "urn:ns", {}).items():
        encoded = json.dumps(value, ensure_ascii=False).encode()
        [text], _ = make_disclosures(bytes(LONG_SALT_SIZE), {name: encoded})
        assert parse_disclosure(text).value == value
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


_SHAPES = [each for one in GRAPH_RECORDS for each in (one, exported(one))]
_PLACES = st.lists(
    st.integers(min_value=0, max_value=30) | st.sampled_from(["properties"]),
    min_size=1,
    max_size=4,
)


@given(st.sampled_from(_SHAPES), _PLACES, json_values())
@settings(max_examples=100)
def test_a_record_with_anything_in_any_place_becomes_events_within_the_limits(
    record: dict[str, Any], places: list[int | str], value: JsonValue
) -> None:
    changed = json.loads(json.dumps(record))
    _put(changed, places, value)
    for event in entra_events(changed):
        _readable(event)


def _put(where: Any, places: list[int | str], value: JsonValue) -> None:  # noqa: ANN401
    """Replace what stands at a place in some JSON, however deep it goes."""
    for depth, place in enumerate(places):
        names = list(where) if isinstance(where, dict) else list(range(len(where)))
        if not names:
            return
        chosen = place if place in names else names[len(str(place)) % len(names)]
        if isinstance(place, int):
            chosen = names[place % len(names)]
        inner = where[chosen]
        if depth == len(places) - 1 or not isinstance(inner, dict | list):
            where[chosen] = value
            return
        where = inner


@given(st.sampled_from([_ONE, _TWO]), st.integers(0, 4000), st.binary(max_size=3))
@settings(max_examples=100)
def test_a_record_that_was_cut_or_altered_is_logged_as_it_is(
    record: bytes, place: int, noise: bytes
) -> None:
    place %= len(record)
    for damaged in (record[:place], record[:place] + noise + record[place + 1 :]):
        events = ENTRA.to_events(damaged, SOURCE, NOW_MS)
        assert events
        for event in events:
            _readable(event)


@given(json_values())
@settings(max_examples=50)
def test_any_json_becomes_an_event_within_the_limits(record: JsonValue) -> None:
    for event in entra_events(record):
        _readable(event)


def _widest() -> list[dict[str, Any]]:
    noise = "x" * 30_000
    value = json.dumps([noise])
    users = [resource("User", f"u{n}") for n in range(64)]
    groups = [resource("Group", f"g{n}", x="1" * 9000) for n in range(8)]
    named = [
        resource("User", None, noise[:200], Group_ObjectID=f"g{n}", Role_ObjectID="r")
        for n in range(128)
    ]
    nested = "[" * 31 + "]" * 31
    return [
        audited(*users, resultReason=noise, activityDisplayName=noise[:200]),
        audited(*groups, *groups, x=noise),
        audited(*named),
        audited({**USER, "modifiedProperties": [{"newValue": value}] * 5}),
        audited({**USER, "modifiedProperties": [{"newValue": nested}] * 9}),
        provisioned(modifiedProperties=[{"newValue": value}] * 5),
    ]


@pytest.mark.parametrize("record", _widest())
def test_what_a_record_becomes_stays_in_proportion_to_it(
    record: dict[str, Any],
) -> None:
    raw = json.dumps(record).encode()
    events = ENTRA.to_events(raw, SOURCE, NOW_MS)
    told = 0
    for event in events:
        _readable(event)
        told += len(json.dumps([*split_members(event, "urn:ns", {}).values()]))
    assert told < 4 * len(raw) + 64 * 3000


def test_a_record_that_is_too_large_keeps_what_identifies_it() -> None:
    noise = "x" * MAX_EVENT_BYTES
    event = entra_event(provisioned(provisioningSteps=[noise]))
    assert event.flags == ("record_too_large",)
    assert event.original is None
    assert event.data["target"] == {"id": "w-9", "ns": f"entra:{APPLICATION}"}
    assert event.data["outcome"] == {"result": "success"}


def test_the_delivery_in_the_documents_is_what_the_guide_s_tenant_has() -> None:
    assert DELIVERY.read_text() == delivery()
    events = read_all(decode_records(ENTRA, DELIVERY.read_bytes(), SOURCE, NOW_MS))
    types = [event.type for event in events if isinstance(event, Event)]
    assert types == ["account.create", "group.member.add"]


@pytest.mark.needs("samples")
@pytest.mark.parametrize(
    ("name", "count"),
    [("provisioning-object-summary", 2), ("azure-monitor-audit", 24)],
)
async def test_every_published_sample_has_an_entry_of_its_own(
    tmp_path: Path, name: str, count: int
) -> None:
    body = (samples_root() / "entra" / f"{name}.ndjson").read_bytes()
    records = [line for line in body.split(b"\n") if line]
    wrapped = b'{"records":[' + b",".join(records) + b"]}"
    assert _records(body) == _records(wrapped) == records
    events = read_all(decode_records(ENTRA, body, SOURCE, NOW_MS))
    assert len(events) == len(records) == count
    for event in events:
        assert isinstance(event, Event)
        assert event.flags == ()
        _readable(event)
    source = SourceRecord(SOURCE, "acme", "entra")
    async with running(await make_instance(tmp_path)) as (service, log):
        await service.register_source(log, source, "test")
        made = await deliver(service, log, source, records, {})
        assert (made.logged, made.repeated) == (count, 0)
