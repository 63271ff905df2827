"""A mapping of the generic connector that uses all of it, and records it reads."""

from typing import Any

MAPPING: dict[str, Any] = {
    "id": "/no",
    "type": "/what",
    "time": "/when",
    "time_unit": "s",
    "seq": "/no",
    "records": "/batch/items",
    "actor": {"id": "/by/id", "name": "/by/name", "type": "=user"},
    "target": {"each": "/people", "id": "/id", "email": "/mail", "type": "=user"},
    "resource": {"id": "/role/0/id", "name": "/role/0/title", "type": "=role"},
    "outcome": {
        "result": "/ok",
        "reason": "/why",
        "words": {"true": "success", "false": "failure"},
    },
    "changes": {"each": "/diff", "path": "/f", "old": "/a", "value": "/b"},
    "context": {"request_id": "/trace", "ticket": "/change~1request", "app": "=hr"},
}
TYPES = {"role given": "role.assign", "*": "account.update"}


def generic_record(**members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a record that the mapping fits; arguments replace its members."""
    return {
        "no": 42,
        "what": "role given",
        "when": 1_795_283_635.516,
        "by": {"id": 7, "name": "Bob"},
        "people": [{"id": "p1", "mail": "ann@x.org"}, {"id": "p2"}],
        "role": [{"id": "r1", "title": "Billing"}],
        "ok": True,
        "why": None,
        "diff": [{"f": "title", "a": None, "b": "Billing"}],
        "trace": "t-1",
        "change/request": "CHG-1",
        **members,
    }
