"""Events for tests: one that uses every member, and JSON of any shape."""

from typing import Any

from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.cloudevents import Submission
from provlog.server.intake.event import Event, EventError, parse_event

NOW_MS = 1_795_283_636_001
NOW = "2026-11-21T17:53:56.001Z"

_FULL: dict[str, Any] = {
    "specversion": "1.0",
    "id": "9f2c",
    "source": "urn:okta:acme",
    "type": "role.assign",
    "time": "2026-11-21T17:53:55.516Z",
    "data": {
        "actor": {"id": "00u1", "type": "user", "name": "bob@example.com"},
        "target": {
            "id": "00u9",
            "type": "user",
            "name": "alice@example.com",
            "external_id": "E-1001",
        },
        "resource": {"type": "role", "id": "r-12", "name": "Admin", "expires": None},
        "changes": [{"op": "add", "path": "roles", "value": "Admin", "old": None}],
        "outcome": {"result": "success", "reason": None},
        "context": {"ticket": "CHG-1", "request_id": "req-7", "ip": "192.0.2.7"},
        "original": {"media_type": "application/json", "body": '{"a": 1}'},
    },
}


def event_json(data: Any = ..., **attributes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the JSON of an event with every member; arguments replace parts of it."""
    event = {**_FULL, **attributes}
    if data is not ...:
        event["data"] = data
    return event


def event_of(data: Any = ..., **attributes: Any) -> Event:  # noqa: ANN401
    """Return the parsed event of `event_json` with the same arguments."""
    return parse_event(event_json(data, **attributes), now_ms=NOW_MS)


def read_all(submission: Submission) -> list[Event | EventError]:
    """Return the events of a submission of many, all steps at once."""
    records = [record for step in submission.cut for record in step]
    return [event for step in submission.decode(records) for event in step]


def json_values() -> st.SearchStrategy[JsonValue]:
    """Return a strategy for JSON of any shape, lone surrogates included."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters())
    )
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=12,
    )
