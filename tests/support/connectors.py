"""Records of each provider, written by hand in its shape, and its connector, ready."""

import json

from provlog.server.intake.connectors import Connector, configured
from support.okta import GROUP, USER, okta_record


def ready(name: str) -> Connector:
    """Return a connector by name, with settings where it needs some."""
    return configured(name, None)


def _lines(*records: object) -> list[bytes]:
    return [json.dumps(record).encode() for record in records]


SEEDS: dict[str, list[bytes]] = {
    "okta": _lines(okta_record(USER, GROUP)),
}
"""Records that a connector understands."""
