"""What a provider's API looks like to the poller: pages of records, oldest first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from provlog.server.errors import ConfigurationError, UnavailableError


class FetchError(UnavailableError):
    """A page could not be fetched, and nothing of it was taken; it may be later.

    `pause` is how many seconds the provider asks to wait, None where it does not say.
    """

    def __init__(self, detail: str, pause: float | None = None) -> None:
        super().__init__(detail)
        self.pause = pause


class UnfitError(ConfigurationError):
    """A setting cannot be; the text names it, and not the file it stands in."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, byte for byte, and how to go on.

    `times` are the Unix milliseconds the provider dates the records with, of those that
    have a readable date. `next` leads to the page after this one, None where there is
    none. `clock` is the provider's own time, None where it did not tell. `pause` is how
    many seconds the provider has to be left alone now. With `settles`, everything that
    the provider dates before the page's oldest record has been handed out; without it,
    as where the newest come first, that is so only at the end of a round. Where the
    provider is to be told so, `committed` is called once the records are durable.
    """

    records: Sequence[bytes]
    times: Sequence[int] = ()
    next: str | None = None
    clock: int | None = None
    pause: float = 0.0
    settles: bool = True
    committed: Callable[[], None] | None = None


class Feed(Protocol):
    """A provider's records from a moment on, as its API hands them out.

    Records are in the order in which the provider stored them, or dated them, but for
    pages that do not settle. The same record may come any number of times.
    """

    async def page(self, since: int, link: str | None) -> Page:
        """Return the first page from `since` (Unix milliseconds), or a link's page.

        A page without records is the end, for now. Raises `FetchError` where it may
        be had later, and `ConfigurationError` where an operator has to act first.
        """

    async def close(self) -> None:
        """Close all connections."""
