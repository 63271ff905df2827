"""Puts of several threads in one commit: who waits for the disk shares it."""

import threading
from collections.abc import Callable, Sequence

from provlog.client.errors import ClientError, SpoolError, UsageError
from provlog.client.outbox.items import Item

Place = tuple[str, int, int, int]
"""How far a file was read: its name, device and number, and the offset in bytes."""


class Ticket:
    """What one caller wants to put, and whether that was done.

    `error` is set by the commit where this one cannot be put and others can.
    """

    def __init__(self, items: Sequence[Item], place: Place | None) -> None:
        self.items = items
        self.place = place
        self.bytes = sum(len(each.body) for each in items)
        self.is_done = False
        self.error: ClientError | None = None


class Together:
    """Hands tickets to `commit`, all that wait at once.

    `commit` returns when they are on disk, and raises a `ClientError` where none of
    them is. One thread at a time commits, its own ticket and those of all who came
    meanwhile; no thread has to lead twice while others wait.
    """

    def __init__(self, commit: Callable[[Sequence[Ticket]], None]) -> None:
        self._commit = commit
        self._changed = threading.Condition()
        self.waiting: list[Ticket] = []
        self.leader: int | None = None

    def put(self, ticket: Ticket) -> None:
        """Return when the ticket was committed, or raise why it was not."""
        if self.leader == threading.get_ident():
            raise UsageError("a put inside of a put: from a signal handler?")
        tickets = self._lead(ticket)
        if tickets:
            self._put_all(tickets)
        if ticket.error is not None:
            raise ticket.error

    def _lead(self, ticket: Ticket) -> list[Ticket]:
        """Return what waits once it is this thread's turn; nothing if it was put."""
        with self._changed:
            self.waiting.append(ticket)
            while self.leader is not None and not ticket.is_done:
                self._changed.wait()
            if ticket.is_done:
                return []
            self.leader = threading.get_ident()
            tickets, self.waiting = self.waiting, []
            return tickets

    def _put_all(self, tickets: Sequence[Ticket]) -> None:
        # Unless it is known to be on disk, nobody is told that it is.
        fate: ClientError | None = SpoolError("the put was interrupted")
        try:
            self._commit(tickets)
            fate = None
        except ClientError as error:
            fate = error
        finally:
            with self._changed:
                for ticket in tickets:
                    ticket.error = ticket.error or fate
                    ticket.is_done = True
                self.leader = None
                self._changed.notify_all()
