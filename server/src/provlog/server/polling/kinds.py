"""What can be polled: for each connector, its settings and what makes its feed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from provlog.merkle.encoding import JsonValue
from provlog.server.errors import ConfigurationError
from provlog.server.intake.connectors.protocols import Connector
from provlog.server.polling.feed import Feed, UnfitError
from provlog.server.source_settings import SourceSettings

OVERLAP: Final = "10m"


@dataclass(frozen=True, slots=True)
class FeedKind:
    """How a provider is polled.

    `settings` is the struct that its table `[poll]` is read as, `make` makes the feed
    of that struct and of the source's settings, whose `secret` reads a file that the
    struct names. `overlap` is how far before the cursor a round begins by default.
    `connector` reads the records where it is another than the source's, and `ingest`
    is what is known of how they came.
    """

    settings: type[msgspec.Struct]
    make: Callable[[Any, SourceSettings], Feed]
    overlap: str = OVERLAP
    connector: Connector | None = None
    ingest: Mapping[str, JsonValue] = field(default_factory=dict)


def make_feed(
    kind: FeedKind, settings: SourceSettings, where: str | None = None
) -> Feed:
    """Return the feed of a source; `ConfigurationError` where settings do not fit.

    `where` stands in its text before the name of a setting, by default the file.
    """
    where = f"{settings.path}: [poll]: " if where is None else where
    try:
        poll = msgspec.convert(dict(settings.poll), kind.settings)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}{error}") from None
    try:
        return kind.make(poll, settings)
    except UnfitError as error:
        raise ConfigurationError(f"{where}{error}") from None
