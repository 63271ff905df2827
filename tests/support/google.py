"""Google Workspace activities for tests, nested and flattened, and the connector."""

import itertools
import json
from typing import Any

from provlog.merkle.encoding import format_time
from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from support.events import NOW_MS
from support.services import now_ms

GOOGLE = CONNECTORS["google"]
SOURCE = "urn:google:acme"
TIME = "2026-11-21T17:53:55.516Z"
ACTOR = {"callerType": "USER", "email": "Bob@acme.example", "profileId": "1180"}
_serial = itertools.count(1)


def parameter(name: str, value: object) -> dict[str, object]:
    """Return a parameter as the API sends it: its value under the name of its kind."""
    if isinstance(value, bool):
        return {"name": name, "boolValue": value}
    if isinstance(value, int):
        return {"name": name, "intValue": str(value)}
    return {"name": name, "multiValue" if isinstance(value, list) else "value": value}


def google_event(name: str, **values: object) -> dict[str, Any]:
    """Return an event of an activity, with parameters of these names and values."""
    parameters = [parameter(*item) for item in values.items()]
    return {"type": "USER_SETTINGS", "name": name, "parameters": parameters}


def activity(
    *events: dict[str, Any],
    application: str = "admin",
    **members: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Return an activity with these events; arguments replace parts of it."""
    return {
        "kind": "admin#reports#activity",
        "id": {
            "time": TIME,
            "uniqueQualifier": "-7312",
            "applicationName": application,
            "customerId": "C03x",
        },
        "actor": ACTOR,
        "ipAddress": "192.0.2.7",
        "events": list(events),
        **members,
    }


def flattened(record: dict[str, Any]) -> dict[str, Any]:
    """Return an activity of one event as exports spell it: all of it at the top."""
    rest = {name: value for name, value in record.items() if name != "events"}
    [event] = record["events"]
    values = {
        each["name"]: next(value for name, value in each.items() if name != "name")
        for each in event["parameters"]
    }
    time = record["id"]["time"].replace("T", " ").replace("Z", "000000")
    return {
        **rest,
        "id": {**record["id"], "time": time},
        "type": event["type"],
        "name": event["name"],
        "parameters": values,
    }


def google_events(record: Any) -> list[Event]:  # noqa: ANN401
    """Return the events of a record, which may be any JSON."""
    return GOOGLE.to_events(json.dumps(record).encode(), SOURCE, NOW_MS)


def google_only(record: Any) -> Event:  # noqa: ANN401
    """Return the only event of a record."""
    (event,) = google_events(record)
    return event


def google_bytes(
    time: int | str | None = None,
    application: str = "admin",
    **values: object,
) -> bytes:
    """Return an activity as Google sends it, at a time, with a qualifier of its own."""
    record = activity(
        google_event("CREATE_USER", USER_EMAIL="ann@acme.example", **values),
        application=application,
    )
    moment = now_ms() if time is None else time
    record["id"]["time"] = moment if isinstance(moment, str) else format_time(moment)
    record["id"]["uniqueQualifier"] = str(-next(_serial))
    return json.dumps(record).encode()
