"""Records of each provider, written by hand in its shape, and its connector, ready."""

import json

from provlog.server.intake.connectors import Connector, configured
from support.okta import GROUP, USER, okta_record
from support.scim import ANN, TEAM, exchange, patch


def ready(name: str) -> Connector:
    """Return a connector by name, with settings where it needs some."""
    return configured(name, None)


def _lines(*records: object) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


SEEDS: dict[str, list[bytes]] = {
    "okta": _lines(okta_record(USER, GROUP)),
    "scim": _lines(
        exchange("POST", "/Users", request=ANN, response=ANN),
        exchange("PUT", "/Groups/g1", request=TEAM, before=TEAM | {"members": []}),
        exchange("PATCH", "/Users/u1", request=patch({"op": "add", "path": "active"})),
        exchange(
            "POST",
            "/Bulk",
            request={"Operations": [{"method": "DELETE", "path": "/Users/u1"}]},
            response={"Operations": [{"method": "DELETE", "status": "204"}]},
        ),
    ),
}
"""Records that a connector understands."""
