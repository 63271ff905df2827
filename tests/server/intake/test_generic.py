"""Records read as the settings of their source say, and settings that say nonsense."""

import json
from pathlib import Path
from typing import Any

import pytest

from provlog.server.errors import ConfigurationError
from provlog.server.intake.connectors import CONNECTORS, Connector, configured
from provlog.server.intake.connectors.generic import MAX_EVENTS_OF_RECORD
from provlog.server.intake.connectors.generic_settings import MAX_NAMES, MAX_TYPES
from provlog.server.intake.connectors.pointers import as_text, find, parse_place
from provlog.server.intake.data_members import MAX_CHANGES
from provlog.server.intake.event import Event
from provlog.server.source_settings import SourceSettings, read_source
from support.events import NOW_MS
from support.generic import MAPPING, TYPES, generic_record

SOURCE = "urn:hr:acme"


def settings(mapping: Any = MAPPING, types: Any = TYPES) -> SourceSettings:  # noqa: ANN401
    return SourceSettings(Path("hr.toml"), SOURCE, mapping=mapping, types=types)


def connector(**mapping: Any) -> Connector:  # noqa: ANN401
    """Return the connector of a mapping in which some members are others."""
    whole = MAPPING | mapping
    given = {name: each for name, each in whole.items() if each is not None}
    return configured("generic", settings(given))


def events(record: Any, **mapping: Any) -> list[Event]:  # noqa: ANN401
    raw = json.dumps(record).encode()
    return connector(**mapping).to_events(raw, SOURCE, NOW_MS)


def event(record: Any, **mapping: Any) -> Event:  # noqa: ANN401
    made, *_ = events(record, **mapping)
    return made


def test_all_of_a_mapping() -> None:
    first, second = events(generic_record())
    assert (first.id, second.id) == ("42#1", "42#2")
    assert first.type == second.type == "role.assign"
    assert first.native_type == "role given"
    assert first.time == "2026-11-21T17:53:55.516Z"
    assert (first.seq, second.seq) == (42, None)
    assert first.flags == ()
    assert first.data == {
        "actor": {"id": "7", "name": "Bob", "type": "user"},
        "target": {"id": "p1", "email": "ann@x.org", "type": "user"},
        "resource": {"id": "r1", "name": "Billing", "type": "role"},
        "outcome": {"result": "success", "provider_result": "true"},
        "changes": [
            {"op": "replace", "path": "title", "old": None, "value": "Billing"}
        ],
        "context": {"request_id": "t-1", "ticket": "CHG-1", "app": "hr"},
    }
    assert second.data["target"] == {"id": "p2", "type": "user"}


def test_records_of_one_id_that_change_different_things_are_told_apart() -> None:
    one, same = event(generic_record()), event(generic_record())
    assert one.comparison() == same.comparison()
    other = event(generic_record(), changes=None)
    assert one.id == other.id
    assert one.comparison() != other.comparison()


def test_the_least_there_can_be() -> None:
    raw = json.dumps(generic_record()).encode()
    made = configured("generic", settings({"type": "/what"}, {}))
    [only] = made.to_events(raw, SOURCE, NOW_MS)
    assert only.type == "other.role_given"
    assert only.id.startswith("sha256:")
    assert only.flags == ("time_missing",)
    assert only.data == {}


@pytest.mark.parametrize(
    ("value", "unit", "time"),
    [
        ("2026-11-21T18:53:55+01:00", "rfc3339", "2026-11-21T17:53:55.000Z"),
        (1_795_283_635, "s", "2026-11-21T17:53:55.000Z"),
        ("1795283635.5", "s", "2026-11-21T17:53:55.500Z"),
        (1_795_283_635_516, "ms", "2026-11-21T17:53:55.516Z"),
        (0, "ms", "1970-01-01T00:00:00.000Z"),
        (-1, "ms", None),
        (1e300, "s", None),
        ("nan", "s", None),
        ("inf", "ms", None),
        (253_402_300_800, "s", None),
        (True, "ms", None),
        ({"a": 1}, "s", None),
        ("yesterday", "s", None),
    ],
)
def test_moments(value: Any, unit: str, time: str | None) -> None:  # noqa: ANN401
    made = event(generic_record(when=value), time_unit=unit)
    if time is None:
        assert made.flags == ("time_unreadable",)
    else:
        assert made.time == time


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        (False, {"result": "failure", "reason": "no", "provider_result": "false"}),
        ("success", {"result": "success", "reason": "no"}),
        (
            "SUCCESS",
            {"result": "unknown", "reason": "no", "provider_result": "SUCCESS"},
        ),
        (3, {"result": "unknown", "reason": "no", "provider_result": "3"}),
        (None, None),
        ([], None),
    ],
)
def test_results(word: Any, outcome: Any) -> None:  # noqa: ANN401
    assert event(generic_record(ok=word, why="no")).data.get("outcome") == outcome


def test_types_that_are_not_named() -> None:
    assert event(generic_record(what="anything")).type == "account.update"
    assert event(generic_record(what=None)).type == "account.update"
    made = configured("generic", settings(types={"role given": "role.assign"}))
    raw = json.dumps(generic_record(what="x/y")).encode()
    assert made.to_events(raw, SOURCE, NOW_MS)[0].type == "other.x_y"


def test_a_party_that_the_record_does_not_tell_of_is_none() -> None:
    data = event(generic_record(by=None, people=[], role=[])).data
    assert not data.keys() & {"actor", "target", "resource"}


def test_more_people_than_a_record_has_events() -> None:
    people = [{"id": f"p{number}"} for number in range(MAX_EVENTS_OF_RECORD + 1)]
    made = events(generic_record(people=people))
    assert len(made) == MAX_EVENTS_OF_RECORD
    assert made[0].flags == ("targets_cut",)
    assert event(generic_record(people=people[1:])).flags == ()


def test_more_changes_than_an_event_has() -> None:
    made = event(generic_record(diff=[{"f": "x"}] * (MAX_CHANGES + 1)))
    assert made.flags == ("changes_cut",)
    assert len(made.data["changes"]) == MAX_CHANGES  # type: ignore[arg-type]


def test_records_are_cut_out_of_their_envelope() -> None:
    body = json.dumps({"batch": {"items": [generic_record(), generic_record(no=43)]}})
    made = connector()
    assert made.hook is not None
    for step in (made.parse(body.encode()), made.hook.cut(body.encode())):
        records = [record for part in step for record in part]
        assert [json.loads(record)["no"] for record in records] == [42, 43]
    [[whole]] = [*connector(records=None).parse(body.encode())]
    assert whole == body.encode()


def test_the_version_is_that_of_the_tables() -> None:
    versions = {
        connector().version,
        connector(id="/other").version,
        configured("generic", settings(types={})).version,
    }
    assert len(versions) == 3
    assert all(version.startswith("1:") for version in versions)
    assert connector().version == connector().version
    assert event(generic_record()).connector == ("generic", connector().version)


@pytest.mark.parametrize("given", [None, settings({}, TYPES)])
def test_without_a_mapping_there_is_no_connector(given: SourceSettings | None) -> None:
    with pytest.raises(ConfigurationError, match="needs a table"):
        configured("generic", given)
    unready = CONNECTORS["generic"]
    with pytest.raises(ConfigurationError):
        unready.parse(b"{}")
    with pytest.raises(ConfigurationError):
        unready.to_events(b"{}", SOURCE, NOW_MS)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"type": None}, "type"),
        ({"type": 7}, "type"),
        ({"type": "what"}, "mapping.type: 'what' is no JSON pointer"),
        ({"id": "/a~2"}, "mapping.id: in a pointer"),
        ({"id": "/" * 65}, "mapping.id: longer"),
        ({"id": "/" + "x" * 1024}, "mapping.id: longer"),
        ({"time_unit": "h"}, "time_unit"),
        ({"unknown": "/a"}, "unknown"),
        ({"records": "items"}, "mapping.records"),
        ({"actor": {"ns": "/a"}}, "actor"),
        ({"actor": {"each": "/a"}}, "only one party"),
        ({"target": "/a"}, "target"),
        ({"outcome": {"reason": "/a"}}, "outcome"),
        ({"outcome": {"result": "/a", "words": {"ok": "fine"}}}, "outcome.words"),
        ({"changes": {"each": "/a"}}, "changes"),
        ({"changes": {"each": "/a", "path": "b"}}, "changes.path"),
        ({"context": {"A": "/a"}}, "context: 'A'"),
        ({"context": {"a": "b"}}, "context.a"),
        ({"context": {f"a{n}": "/a" for n in range(MAX_NAMES + 1)}}, "more than"),
    ],
)
def test_a_mapping_that_is_wrong_is_said_to_be(wrong: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(ConfigurationError) as caught:
        connector(**wrong)
    assert said in str(caught.value)
    assert "hr.toml" in str(caught.value)


@pytest.mark.parametrize(
    "types",
    [
        {"a": "account"},
        {"a": "Account.create"},
        {"a": "provlog.x"},
        {"a": 7},
        {"a": "a." + "b" * 128},
        {str(number): "a.b" for number in range(MAX_TYPES + 1)},
    ],
)
def test_types_that_are_wrong(types: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigurationError, match="types"):
        configured("generic", settings(types=types))


def test_settings_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "hr.toml"
    path.write_text(
        f'source = "{SOURCE}"\n[mapping]\ntype = "/what"\n[mapping.actor]\n'
        'id = "/by/id"\n[types]\n"role given" = "role.assign"\n'
    )
    made = configured("generic", read_source(path))
    raw = json.dumps(generic_record()).encode()
    [only] = made.to_events(raw, SOURCE, NOW_MS)
    assert (only.type, only.data) == ("role.assign", {"actor": {"id": "7"}})


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("", {"a": [{"b": 1}, "x"], "": 2, "m~n": 3, "c/d": 4, "e~1": 5}),
        ("/a/0/b", 1),
        ("/a/1", "x"),
        ("/", 2),
        ("/m~0n", 3),
        ("/c~1d", 4),
        ("/e~01", 5),
        ("/a/2", None),
        ("/a/00", None),
        ("/a/-", None),
        ("/a/b", None),
        ("/a/1/x", None),
        ("/a/999999999999", None),
        ("=x", "x"),
        ("=", ""),
    ],
)
def test_pointers(pointer: str, found: Any) -> None:  # noqa: ANN401
    value: Any = {"a": [{"b": 1}, "x"], "": 2, "m~n": 3, "c/d": 4, "e~1": 5}
    assert find(parse_place(pointer, "x"), value) == found


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (7, "7"), (True, "true"), (1.5, None), (None, None), ([], None)],
)
def test_texts(value: Any, text: str | None) -> None:  # noqa: ANN401
    assert as_text(value) == text
