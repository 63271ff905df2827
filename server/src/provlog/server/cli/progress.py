"""What long work shows of itself on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

REFRESH_SECONDS = 0.2


class Progress:
    """One line on a terminal with rate and time left; nothing in a pipe."""

    def __init__(self, unit: str = "entries") -> None:
        self._unit = unit
        self._shown = sys.stderr.isatty()
        self._what = ""
        self._begun = self._last = time.monotonic()

    def show(self, what: str, done: int, size: int) -> None:
        """Show how much is done; another `what` begins anew."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._begun = what, now
        if not self._shown or now - self._last < REFRESH_SECONDS:
            return
        self._last = now
        rate = done / max(now - self._begun, 0.001)
        left = (size - done) / max(rate, 0.001)
        line = (
            f"{what}: {done:,} of {size:,} {self._unit},"
            f" {rate:,.0f}/s, {format_seconds(left)} left"
        )
        click.echo(f"\r{line[:100]:<100}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo(f"\r{'':<100}\r", nl=False, err=True)


@contextmanager
def advancing(what: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show progress while something is done; yields what to call with each advance."""
    progress, done = Progress(), 0

    def advance(entries: int) -> None:
        nonlocal done
        done += entries
        progress.show(what, done, size)

    try:
        yield advance
    finally:
        progress.clear()


def format_seconds(seconds: float) -> str:
    """Return a time as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
