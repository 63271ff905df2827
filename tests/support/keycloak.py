"""Keycloak's events for tests: admin events, user events, and those of webhooks."""

import itertools
import json
from typing import Any

from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from support.events import NOW_MS

KEYCLOAK = CONNECTORS["keycloak"]
SOURCE = "urn:keycloak:acme"
TIME_MS = 1_795_283_635_516
TIME = "2026-11-21T17:53:55.516Z"
ADMIN = "18a5a8cc-f27f-44d7-b3d7-8366b2fca605"
ANN = "91fb5e10-5017-48ad-8568-0e9210a306cb"
GROUP = "5c8a1f0e-94a9-4f4a-b1d5-3a5e5ac7a0b1"
ROLE = "0d6c2f4d-2f6c-4c5b-8a0e-0d2f6c4c5b8a"
CLIENT = "7f1d7e55-0a53-4c0e-9d4b-6f6a8d2b1c11"
ORGANIZATION = "b2c6f6b0-61a5-4f0f-8c55-6f6f8f1f2a22"
_serial = itertools.count(1)


def admin_event(
    resource: str = "USER",
    operation: str = "CREATE",
    path: str | None = f"users/{ANN}",
    representation: Any = None,  # noqa: ANN401
    **members: Any,  # noqa: ANN401
) -> dict[str, Any]:
    """Return an event as the admin API gives it; a representation becomes a text."""
    event: dict[str, Any] = {
        "id": "c067d551-c623-4448-a4aa-0dbf41208d5c",
        "time": TIME_MS,
        "realmId": "b5d87387-1fcc-41e5-8a40-666ab658cf26",
        "authDetails": {
            "realmId": "e98e0e17-a537-4af7-9c0a-85ab61e3158d",
            "clientId": "ebe55ba1-09e2-4835-99aa-fd38e5761f84",
            "userId": ADMIN,
            "ipAddress": "192.0.2.7",
        },
        "operationType": operation,
        "resourceType": resource,
        "resourcePath": path,
    }
    if representation is not None:
        event["representation"] = json.dumps(representation)
    return {**event, **members}


def user_event(kind: str = "REGISTER", **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an event of a user as the admin API gives it."""
    return {
        "id": "3f1c6a51-52f3-4a3e-9d7a-4a8f7f2b6d10",
        "time": TIME_MS,
        "type": kind,
        "realmId": "b5d87387-1fcc-41e5-8a40-666ab658cf26",
        "clientId": "account-console",
        "userId": ANN,
        "sessionId": "d827ee85-5ced-4bc3-b64a-82720eade321",
        "ipAddress": "192.0.2.8",
        "details": {"username": "ann"},
        **members,
    }


def by_webhook(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event as the webhook extension sends it: with more about it."""
    sent = {**event, "uid": "0b2f6c4c-5b8a-4d6c-8f4d-2f6c4c5b8a0e"}
    sent["realmName"] = "acme"
    auth = dict(event.get("authDetails") or {})
    if "operationType" in event:
        sent["type"] = f"admin.{event['resourceType']}-{event['operationType']}"
        details = {"userId": ANN, "username": "ann"}
        sent["details"] = {**details, **event.get("details", {})}
    else:
        sent["type"] = f"access.{event['type']}"
        for name in ("clientId", "userId", "sessionId", "ipAddress"):
            auth[name] = sent.pop(name)
    # A name, where the admin API has an id.
    sent["authDetails"] = {**auth, "realmId": "master", "username": "bob"}
    return sent


def keycloak_events(record: Any) -> list[Event]:  # noqa: ANN401
    """Return the events of a record, which may be any JSON."""
    return KEYCLOAK.to_events(json.dumps(record).encode(), SOURCE, NOW_MS)


def keycloak_event(record: Any) -> Event:  # noqa: ANN401
    """Return the only event of a record."""
    (event,) = keycloak_events(record)
    return event


def keycloak_bytes(time: int, **members: Any) -> bytes:  # noqa: ANN401
    """Return an admin event as it is stored, with an id of its own unless given one."""
    identifier = f"00000000-0000-4000-8000-{next(_serial):012}"
    event = admin_event(representation={"username": "ann"}, time=time)
    return json.dumps({**event, "id": identifier, **members}).encode()
