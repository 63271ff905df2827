"""What `provlog spool run` says while it runs."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from provlog.client.cli.output import note, print_json, progress
from provlog.client.errors import ClientError, printable

if TYPE_CHECKING:
    from provlog.client.answers import Receipt
    from provlog.client.outbox.items import Item
    from provlog.client.outbox.sender import Callbacks
    from provlog.client.outbox.spool import Spool


class Teller:
    """Says what happens: results to standard output, all else to standard error.

    `refused` counts what was refused.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.logged = self.known = self.refused = 0
        self._full = False
        self._advance: Callable[[int], None] = lambda _: None

    @contextlib.contextmanager
    def progress(self, spool: "Spool | None") -> Iterator[None]:
        """Show how much of what waits in a spool is done, while the context is open."""
        if spool is None:
            yield
            return
        from provlog.client.outbox.views import read_status

        with progress("sending", read_status(spool).waiting, unit="events") as advance:
            self._advance = advance
            yield

    def callbacks(self) -> "Callbacks":
        """Return what a sender is to call."""
        from provlog.client.outbox.sender import Callbacks

        return Callbacks(self.receipt, self.failed, self.trouble)

    def receipt(self, receipt: "Receipt") -> None:
        """Say that an event is in the log."""
        self._full = False
        self._advance(1)
        if receipt.created:
            self.logged += 1
        else:
            self.known += 1
        if self._as_json:
            body = receipt.verified.entry.body
            print_json(
                {
                    "event": "logged" if receipt.created else "known",
                    "index": receipt.index,
                    "source": body["source"],
                    "type": body["type"],
                }
            )

    def failed(self, item: "Item") -> None:
        """Say that an item is not to be in the log, and why."""
        self.refused += 1
        self._advance(1)
        failure = item.failure
        if failure is None:
            return
        if self._as_json:
            number = item.number or None
            print_json({"event": "refused", "item": number, **failure.to_json()})
        else:
            named = f"item {item.number}" if item.number else "a line"
            note(f"refused: {named}: {printable(failure.detail)}")

    def trouble(self, trouble: str | None) -> None:
        """Say why nothing gets on, or that it does again."""
        if self._as_json:
            print_json({"event": "trouble", "detail": trouble})
        else:
            note("sending again" if trouble is None else f"waiting: {trouble}")

    def full(self, error: ClientError) -> None:
        """Say that there is no room."""
        # Once, until something was sent.
        if not self._full:
            self._full = True
            note(printable(str(error)))

    def listening(self, url: str) -> None:
        """Say where events are taken."""
        if self._as_json:
            print_json({"event": "listening", "url": url})
        else:
            note(f"listening on {url}")

    def finish(self) -> None:
        """Say what came of it all."""
        if not self._as_json:
            note(
                f"{self.logged} logged, {self.known} known before, "
                f"{self.refused} refused; all receipts verified"
            )
