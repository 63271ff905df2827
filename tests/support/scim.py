"""SCIM exchanges for tests, as `scim-proxy` records them."""

import json
from typing import Any

from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from support.events import NOW_MS

SCIM = CONNECTORS["scim"]
SOURCE = "urn:scim:acme"
CORE = "urn:ietf:params:scim:schemas:core:2.0:"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ANN = {
    "schemas": [f"{CORE}User"],
    "id": "u1",
    "userName": "ann@example.org",
    "externalId": "E-7",
    "displayName": "Ann",
    "active": True,
}
TEAM = {
    "schemas": [f"{CORE}Group"],
    "id": "g1",
    "displayName": "Team",
    "members": [{"value": "u1", "display": "Ann"}, {"value": "u2"}],
}


def exchange(method: str, path: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a record; a successful one unless told otherwise."""
    return {
        "id": "b7f0",
        "time": "2026-11-21T17:53:55.516Z",
        "phase": "outcome",
        "method": method,
        "path": path,
        "status": {"POST": 201, "DELETE": 204}.get(method, 200),
        "caller": {"id": "hmac:01", "type": "credential", "name": "Entra"},
        "ip": "192.0.2.7",
        "user_agent": "test",
        **members,
    }


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a PATCH."""
    return {"schemas": [PATCH_OP], "Operations": [*operations]}


def scim_events(record: Any) -> list[Event]:  # noqa: ANN401
    """Return the events of a record, which may be any JSON."""
    return SCIM.to_events(json.dumps(record).encode(), SOURCE, NOW_MS)


def scim_event(record: Any) -> Event:  # noqa: ANN401
    """Return the only event of a record."""
    (event,) = scim_events(record)
    return event


def types_of(record: Any) -> list[str]:  # noqa: ANN401
    """Return the types of a record's events."""
    return [event.type for event in scim_events(record)]


def data_of(event: Event) -> Any:  # noqa: ANN401
    """Return an event's data, for tests to look into."""
    return event.data
