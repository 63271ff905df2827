"""What `provlog spool run` says while it runs."""

from typing import TYPE_CHECKING

from provlog.client.cli.output import note, print_json
from provlog.client.errors import ClientError, printable

if TYPE_CHECKING:
    from provlog.client.answers import Receipt
    from provlog.client.outbox.items import Item
    from provlog.client.outbox.sender import Callbacks


class Teller:
    """Says what happens: results to standard output, all else to standard error.

    `refused` counts what was refused.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.logged = self.known = self.refused = 0
        self._full = False

    def callbacks(self) -> "Callbacks":
        """Return what a sender is to call."""
        from provlog.client.outbox.sender import Callbacks

        return Callbacks(self.receipt, self.failed, self.trouble)

    def receipt(self, receipt: "Receipt") -> None:
        """Say that an event is in the log."""
        self._full = False
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
