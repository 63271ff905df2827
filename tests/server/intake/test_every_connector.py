"""What holds for every connector, whatever a provider or somebody else sends.

A body is refused with a clear error or cut into records; a record always becomes events
that fit; and nothing of it is written to the server's log.
"""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors import CONNECTORS, Connector, events_of
from provlog.server.intake.event import TYPE, Event, EventError, is_event_name
from provlog.server.intake.members import split_members
from provlog.server.intake.records import MAX_BATCH_BYTES
from support.connectors import SEEDS, ready
from support.events import NOW_MS, json_values
from support.services import make_instance, running

SOURCE = "urn:any:source"
NAMES = sorted(CONNECTORS)
DRAWN = settings(
    max_examples=80, deadline=None, suppress_health_check=list(HealthCheck)
)


def cut(connector: Connector, body: bytes) -> list[bytes]:
    return [record for step in connector.parse(body) for record in step]


def cut_or_refused(connector: Connector, body: bytes) -> list[bytes] | EventError:
    try:
        return cut(connector, body)
    except EventError as error:
        return error


def made(connector: Connector, record: bytes) -> list[Event]:
    """Return the events of a record, each held to what an event may be."""
    events = events_of(connector, record, SOURCE, NOW_MS)
    assert events
    assert len({event.id for event in events}) == len(events)
    for event in events:
        assert is_event_name(event.id)
        assert TYPE.fullmatch(event.type), event.type
        assert len(event.type) <= 128
        assert not event.type.startswith("provlog.")
        assert len(split_members(event, "ns", {})) <= 32
        event.comparison()
        json.dumps(event.data)
    return events


@pytest.fixture(params=NAMES)
def connector(request: pytest.FixtureRequest) -> Connector:
    return ready(str(request.param))


def seeds(connector: Connector) -> list[bytes]:
    return SEEDS[connector.name]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    assert not [each for each in caplog.records if each.name.startswith("provlog")]


def test_every_connector_has_seeds_that_it_understands(connector: Connector) -> None:
    assert seeds(connector)
    for seed in seeds(connector):
        types = {event.type for event in made(connector, seed)}
        assert not any(each.startswith("other.") for each in types), types


@DRAWN
@given(data=st.data())
def test_any_bytes_are_refused_clearly_or_cut(
    connector: Connector, data: st.DataObject
) -> None:
    body = data.draw(st.binary(max_size=200) | bodies(seeds(connector)))
    records = cut_or_refused(connector, body)
    if isinstance(records, EventError):
        assert records.status in (400, 413)
        shown = records.detail.encode()
        assert not any(part in body for part in re.findall(rb"[\w@.-]{9,}", shown))
        return
    for record in records:
        assert record in body or connector.name == "set"
        made(connector, record)


@DRAWN
@given(data=st.data())
def test_a_record_that_was_changed_in_any_way_becomes_events(
    connector: Connector, data: st.DataObject
) -> None:
    seed = data.draw(st.sampled_from(seeds(connector)))
    made(connector, data.draw(mutated_bytes(seed) | mutated_json(seed)))


@DRAWN
@given(value=json_values())
def test_any_json_becomes_events(connector: Connector, value: JsonValue) -> None:
    made(connector, json.dumps(value).encode())


def test_a_body_that_is_too_long_is_refused(connector: Connector) -> None:
    with pytest.raises(EventError) as refused:
        cut(connector, b"[" + b" " * MAX_BATCH_BYTES + b"]")
    assert refused.value.status == 413


@pytest.mark.parametrize(
    "record",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"a":1,"a":2}',
        b"\xff\xfe\x00",
        b'"\\ud800"',
        b'{"id":' + b"9" * 100_000 + b"}",
        b'{"id":"' + b"x" * 300_000 + b'"}',
        b"null",
    ],
    ids=["arrays", "objects", "twice", "binary", "surrogate", "digits", "long", "null"],
)
def test_hostile_records_cost_only_themselves(
    connector: Connector, record: bytes
) -> None:
    made(connector, record)


def bodies(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for bodies of records, whole and broken."""
    several = st.lists(st.sampled_from(seeds), max_size=3)
    arrays = several.map(lambda each: b"[" + b",".join(each) + b"]")
    lines = several.map(b"\n".join)
    return (arrays | lines).flatmap(mutated_bytes) | arrays | lines


def mutated_bytes(seed: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for a seed that is cut off, or has other bytes in it."""
    place = st.integers(0, len(seed))
    cut_off = place.map(lambda at: seed[:at])
    noise = st.binary(min_size=1, max_size=3)
    return cut_off | st.tuples(place, noise).map(
        lambda drawn: seed[: drawn[0]] + drawn[1] + seed[drawn[0] + 1 :]
    )


@st.composite
def mutated_json(draw: st.DrawFn, seed: bytes) -> bytes:
    """Return a seed in which one value is another, or is missing."""
    try:
        value = json.loads(seed)
    except ValueError:
        return seed
    parents = [each for each in _containers(value) if each]
    if not parents:
        return seed
    parent: Any = draw(st.sampled_from(range(len(parents))).map(parents.__getitem__))
    keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    key = draw(st.sampled_from(keys))
    if draw(st.booleans()):
        del parent[key]
    else:
        parent[key] = draw(json_values())
    return json.dumps(value).encode()


def _containers(value: Any) -> Iterator[Any]:  # noqa: ANN401
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _containers(inner)


async def test_what_a_connector_makes_can_be_drafted(
    connector: Connector, tmp_path: Path
) -> None:
    async with running(await make_instance(tmp_path)) as (_, log):
        for seed in seeds(connector):
            for event in made(connector, seed):
                assert log.drafter.event(event, "urn:ns", {}).disclosures
