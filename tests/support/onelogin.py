"""OneLogin's events for tests, as its API and its webhooks give them."""

import json
from typing import Any

from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from support.events import NOW_MS

ONELOGIN = CONNECTORS["onelogin"]
SOURCE = "urn:onelogin:acme"
TIME = "2026-11-21T17:53:55.516Z"


def api_record(number: Any = 13, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an event of the API; members that it has without a value are null."""
    return {
        "id": 45016591484,
        "created_at": TIME,
        "account_id": 232548,
        "event_type_id": number,
        "actor_user_id": 226011705,
        "actor_user_name": "Bob",
        "actor_system": "",
        "user_id": 232044969,
        "user_name": "Ann",
        "role_id": None,
        "role_name": None,
        "app_id": None,
        "error_description": None,
        "notes": None,
        "ipaddr": "192.0.2.7",
        **members,
    }


def webhook_record(number: Any = 13, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an event of a webhook."""
    record = api_record(number, **members)
    del record["id"], record["created_at"]
    identifier = "d210df80-ede8-42ba-8199-00ce951bc222"
    return {
        "create": {"_id": identifier},
        "uuid": identifier,
        "event_timestamp": "2026-11-21 17:53:55 UTC",
        **record,
    }


def onelogin_events(record: Any) -> list[Event]:  # noqa: ANN401
    """Return the events of a record, which may be any JSON."""
    return ONELOGIN.to_events(json.dumps(record).encode(), SOURCE, NOW_MS)


def onelogin_event(record: Any) -> Event:  # noqa: ANN401
    """Return the only event of a record."""
    (event,) = onelogin_events(record)
    return event
