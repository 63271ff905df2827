"""JumpCloud Directory Insights events for tests."""

import json
from typing import Any

from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from support.events import NOW_MS

JUMPCLOUD = CONNECTORS["jumpcloud"]
SOURCE = "urn:jumpcloud:acme"


def jumpcloud_record(event_type: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an event of a type; arguments replace its members."""
    return {
        "id": "6490f0f5",
        "event_type": event_type,
        "timestamp": "2026-11-21T17:53:55.516334451Z",
        "service": "directory",
        "organization": "641b",
        "client_ip": "192.0.2.7",
        "auth_method": "session",
        "initiated_by": {"id": "603e", "type": "admin", "email": "bob@x.org"},
        "resource": {"id": "6127", "type": "user", "username": "ann"},
        "useragent": {"name": "curl", "version": "7.68.0", "os_full": "Other"},
        **members,
    }


def binding(op: str, first: str, second: str) -> dict[str, Any]:
    """Return the event of two things of these types that are bound or unbound."""
    ends = {
        "from": {"name": f"the {first}", "type": first, "object_id": f"id-{first}"},
        "to": {"name": f"the {second}", "type": second, "object_id": f"id-{second}"},
    }
    association = {"op": op, "connection": ends, "action_source": "manual"}
    record = jumpcloud_record("association_change", association=association)
    del record["resource"]
    return record


def jumpcloud_event(record: Any) -> Event:  # noqa: ANN401
    """Return the only event of a record, which may be any JSON."""
    (event,) = JUMPCLOUD.to_events(json.dumps(record).encode(), SOURCE, NOW_MS)
    return event
