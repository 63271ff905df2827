"""Okta System Log records for tests, and the connector under test."""

import json
from typing import Any

from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from support.events import NOW_MS

OKTA = CONNECTORS["okta"]
SOURCE = "urn:okta:acme"
USER = {"id": "00u9", "type": "User", "displayName": "Ann", "alternateId": "a@x.org"}
GROUP = {"id": "00g1", "type": "UserGroup", "displayName": "Admins"}
APP = {"id": "0oa1", "type": "AppInstance", "displayName": "Wiki"}
APP_USER = {"id": "0ua1", "type": "AppUser", "displayName": "ann"}


def okta_record(*targets: dict[str, Any], **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a record with these targets; arguments replace parts of it."""
    return {
        "uuid": "b7f0",
        "published": "2026-11-21T17:53:55.516Z",
        "eventType": "group.user_membership.add",
        "actor": {"id": "00u1", "type": "User", "displayName": "Bob"},
        "outcome": {"result": "SUCCESS", "reason": None},
        "target": list(targets),
        **members,
    }


def okta_events(record: Any) -> list[Event]:  # noqa: ANN401
    """Return the events of a record, which may be any JSON."""
    return OKTA.to_events(json.dumps(record).encode(), SOURCE, NOW_MS)


def okta_event(record: Any) -> Event:  # noqa: ANN401
    """Return the only event of a record."""
    (event,) = okta_events(record)
    return event
