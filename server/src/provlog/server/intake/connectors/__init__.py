"""Connectors: providers' own records in, events out, and no record is lost.

A connector cuts a body into records, byte for byte, and makes one or more events of
each; `building` does what is the same for all of them. What cannot be mapped is logged
as `other.…` with the record in `original`.
"""

from typing import Protocol

from provlog.server.intake.cloudevents import Submission
from provlog.server.intake.connectors.okta import OktaConnector
from provlog.server.intake.event import Event
from provlog.server.intake.problems import EventError
from provlog.server.intake.records import MAX_BATCH_EVENTS

__all__ = ["CONNECTORS", "Connector", "decode_records"]


class Connector(Protocol):
    """What turns one provider's format into events. Pure: no I/O, no clock, no state.

    `version` changes whenever the same record would become another event; it is
    written into every entry.
    """

    @property
    def name(self) -> str:
        """The name in `?format=` and in the `ingest` member."""

    @property
    def version(self) -> str:
        """The version of the mapping."""

    def parse(self, body: bytes) -> list[bytes]:
        """Return the body's records, each exactly as it was sent.

        Raises `EventError` 400 when the body is not in the provider's format at all
        and 413 when it is too large; nothing of it has been taken then.
        """

    def to_events(self, record: bytes, source: str, now_ms: int) -> list[Event]:
        """Return the events of one record, at least one, whatever its bytes are."""


CONNECTORS: dict[str, Connector] = {
    connector.name: connector for connector in (OktaConnector(),)
}


def decode_records(
    connector: Connector, body: bytes, source: str, now_ms: int
) -> Submission:
    """Return the events of a provider's body, in the order of its records.

    Raises `EventError`: 400 when the body is not in the provider's format, 413 when it
    holds more records, or records with more targets, than a batch may have events.
    """
    events: list[Event | EventError] = []
    for record in connector.parse(body):
        events.extend(connector.to_events(record, source, now_ms))
    if len(events) > MAX_BATCH_EVENTS:
        raise EventError(
            413, f"the records make more than {MAX_BATCH_EVENTS} events: send fewer"
        )
    return Submission(events, batch=True)
