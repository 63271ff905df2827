"""Connectors: providers' own records in, events out, and no record is lost.

A connector cuts a body into records, byte for byte, and makes one or more events of
each; `building` does what is the same for all of them. What cannot be mapped is logged
as `other.…` with the record in `original`.
"""

from functools import lru_cache

from provlog.server.errors import ConfigurationError
from provlog.server.intake.cloudevents import Submission
from provlog.server.intake.connectors import (
    auth0,
    entra,
    generic,
    google,
    jumpcloud,
    keycloak,
    okta,
    onelogin,
    scim,
    secevent,
)
from provlog.server.intake.connectors.protocols import Configurable, Connector, Hook
from provlog.server.intake.event import Event
from provlog.server.intake.secrets import without_secrets
from provlog.server.source_settings import SourceSettings

__all__ = [
    "CONNECTORS",
    "Connector",
    "Hook",
    "configured",
    "decode_records",
    "events_of",
]

_ALL: tuple[Connector, ...] = (
    auth0.CONNECTOR,
    entra.CONNECTOR,
    generic.CONNECTOR,
    google.CONNECTOR,
    jumpcloud.CONNECTOR,
    keycloak.CONNECTOR,
    okta.CONNECTOR,
    onelogin.CONNECTOR,
    scim.CONNECTOR,
    secevent.CONNECTOR,
)
CONNECTORS: dict[str, Connector] = {connector.name: connector for connector in _ALL}


@lru_cache(maxsize=4096)
def configured(name: str | None, settings: SourceSettings | None) -> Connector:
    """Return the connector of a name, as the settings of its source make it.

    `ConfigurationError` where there is none of that name, or where it cannot work
    without settings, or with these.
    """
    if name not in CONNECTORS:
        raise ConfigurationError("the source is registered without connector")
    connector = CONNECTORS[name]
    if isinstance(connector, Configurable):
        return connector.configured(settings)
    return connector


def events_of(
    connector: Connector, record: bytes, source: str, now_ms: int
) -> list[Event]:
    """Return the events of one record, at least one, with its secrets cut out.

    The one way from records to events: what is kept and hashed is what `cut_secrets`
    leaves of the record, and `original` lists in `redacted` what it cut.
    """
    return without_secrets(
        record, lambda kept: connector.to_events(kept, source, now_ms)
    )


def decode_records(
    connector: Connector, body: bytes, source: str, now_ms: int
) -> Submission:
    """Return how to read the events of a provider's body, in the order of its records.

    Raises `EventError` 400 when the body is not in the provider's format. The steps of
    the submission raise 413 when it holds more records, or records with more targets,
    than a batch may have events.
    """
    return Submission(
        connector.parse(body),
        lambda record: [*events_of(connector, record, source, now_ms)],
    )
