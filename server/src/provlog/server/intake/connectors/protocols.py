"""What a connector is, and how a provider delivers to it by itself."""

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.event import Event
from provlog.server.source_settings import SourceSettings


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


@runtime_checkable
class Configurable(Protocol):
    """A connector whose work depends on the settings of its source."""

    def configured(self, settings: SourceSettings | None) -> Connector:
        """Return the connector of one source.

        `settings` are None where there are none. Raises `ConfigurationError` where it
        cannot work with them.
        """
