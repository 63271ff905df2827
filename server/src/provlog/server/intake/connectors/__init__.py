"""Connectors: providers' own records in, events out, and no record is lost.

A connector cuts a body into records, byte for byte, and makes one or more events of
each; `building` does what is the same for all of them. What cannot be mapped is logged
as `other.…` with the record in `original`.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.cloudevents import Submission
from provlog.server.intake.connectors.okta import OktaConnector
from provlog.server.intake.connectors.secevent import SetConnector
from provlog.server.intake.event import Event

__all__ = ["CONNECTORS", "Connector", "Hook", "decode_records"]


class Hook(Protocol):
    """How a provider delivers by itself, to an address and with a secret given to it.

    Pure, like connectors.
    """

    def verification(self, headers: Mapping[str, str]) -> JsonValue:
        """Return the answer to a GET that asks whose the address is, None if none."""

    def cut(self, body: bytes) -> Iterator[list[bytes]]:
        """Yield the records of a POST in steps, each exactly as it was sent.

        Raises `EventError`, also on the way, when the body is no delivery; it is one
        record then, since nothing of what a provider sends is dropped.
        """


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

    @property
    def hook(self) -> Hook | None:
        """How the provider delivers by itself, if it does."""

    def parse(self, body: bytes) -> Iterator[list[bytes]]:
        """Yield the body's records in steps, each exactly as it was sent.

        Raises `EventError`, also on the way: 400 when the body is not in the provider's
        format at all and 413 when it is too large. Nothing of it has been taken then.
        """

    def to_events(self, record: bytes, source: str, now_ms: int) -> list[Event]:
        """Return the events of one record, at least one, whatever its bytes are."""


CONNECTORS: dict[str, Connector] = {
    connector.name: connector for connector in (OktaConnector(), SetConnector())
}


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
        lambda record: [*connector.to_events(record, source, now_ms)],
    )
