"""Auth0 log records for tests, in the shape that log streams deliver."""

import json
from typing import Any

from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from support.events import NOW_MS

AUTH0 = CONNECTORS["auth0"]
SOURCE = "urn:auth0:acme"
ADMIN = {"user_id": "auth0|1", "name": "Bob", "email": "bob@x.org"}


def auth0_record(code: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a record of a type; arguments replace members of its `data`."""
    data = {
        "log_id": "90020261121",
        "type": code,
        "date": "2026-11-21T17:53:55.516Z",
        "description": "what it was",
        "user_id": "auth0|7",
        "user_name": "ann@x.org",
        "ip": "192.0.2.7",
        **members,
    }
    return {"log_id": "90020261121", "data": data}


def auth0_call(
    method: str,
    path: str,
    body: Any = None,  # noqa: ANN401
    answer: Any = None,  # noqa: ANN401
    status: int = 200,
) -> dict[str, Any]:
    """Return the record of a call of the Management API."""
    request = {
        "method": method,
        "path": path,
        "body": body,
        "auth": {"user": ADMIN, "strategy": "jwt"},
        "channel": "https://manage.auth0.com/",
    }
    response = {"statusCode": status, "body": answer}
    return auth0_record(
        "sapi", details={"request": request, "response": response}, user_id="auth0|1"
    )


def auth0_events(record: Any) -> list[Event]:  # noqa: ANN401
    """Return the events of a record, which may be any JSON."""
    return AUTH0.to_events(json.dumps(record).encode(), SOURCE, NOW_MS)


def auth0_event(record: Any) -> Event:  # noqa: ANN401
    """Return the only event of a record."""
    (event,) = auth0_events(record)
    return event
