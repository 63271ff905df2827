"""Records of each provider, written by hand in its shape, and its connector, ready."""

import json
from functools import cache
from pathlib import Path

from provlog.server.intake.connectors import Connector, configured
from provlog.server.source_settings import SourceSettings
from support.auth0 import auth0_call, auth0_record
from support.entra import GRAPH_RECORDS, exported
from support.generic import MAPPING, TYPES, generic_record
from support.google import activity, flattened, google_event
from support.jumpcloud import binding, jumpcloud_record
from support.keycloak import ROLE, admin_event, by_webhook, user_event
from support.okta import GROUP, USER, okta_record
from support.onelogin import api_record, webhook_record
from support.scim import ANN, TEAM, exchange, patch
from support.sets import PROV, claims_of, sign

SETTINGS = {
    "generic": SourceSettings(
        Path("x.toml"), "urn:any:source", mapping=MAPPING, types=TYPES
    ),
}


@cache
def ready(name: str) -> Connector:
    """Return a connector by name, with settings where it needs some."""
    return configured(name, SETTINGS.get(name))


def _lines(*records: object) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


_CREATED = google_event("CREATE_USER", USER_EMAIL="ann@acme.example")
_ASSIGNED = google_event("ASSIGN_ROLE", USER_EMAIL="ann@acme.example", ROLE_NAME="R")

SEEDS: dict[str, list[bytes]] = {
    "auth0": _lines(
        auth0_record("ss"),
        auth0_call("post", "/api/v2/users/auth0%7C7/roles", {"roles": ["r1", "r2"]}),
        auth0_call("patch", "/api/v2/users/auth0%7C7", {"blocked": True}),
    ),
    "generic": _lines(generic_record(), generic_record(people=[])),
    "jumpcloud": _lines(
        jumpcloud_record("user_update", changes=[{"field": "x", "from": 1, "to": 2}]),
        binding("add", "user_group", "user"),
    ),
    "entra": _lines(*GRAPH_RECORDS, *map(exported, GRAPH_RECORDS)),
    "google": _lines(activity(_CREATED, _ASSIGNED), flattened(activity(_CREATED))),
    "keycloak": _lines(
        admin_event(representation={"username": "ann", "enabled": True}),
        by_webhook(
            admin_event(
                "REALM_ROLE_MAPPING",
                path="users/f:1:ann/role-mappings/realm",
                representation=[{"id": ROLE, "name": "a"}, {"id": "b", "name": "b"}],
            )
        ),
        user_event("UPDATE_EMAIL", details={"updated_email": "a@example.com"}),
    ),
    "okta": _lines(okta_record(USER, GROUP)),
    "onelogin": _lines(
        api_record(147, role_id=7, role_name="Admins"), webhook_record("13")
    ),
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
    "set": [
        sign(claims_of()).encode(),
        *_lines(claims_of(events={f"{PROV}:put:full": {"data": {"userName": "zoe"}}})),
    ],
}
"""Records that a connector understands."""
