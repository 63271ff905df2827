"""What headers say of time: when to come back, and what the provider's clock shows."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

SHORTEST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 120.0


def clock_of(headers: Mapping[str, str]) -> int | None:
    """Return the server's own time in Unix milliseconds, from `Date`."""
    try:
        return int(parsedate_to_datetime(headers["Date"]).timestamp()) * 1000
    except (KeyError, ValueError, OverflowError):
        return None


def asked_pause(headers: Mapping[str, str], now: int) -> float | None:
    """Return how many seconds the server asks to wait, within bounds.

    `X-Rate-Limit-Reset` is a moment in Unix seconds by the server's clock, which need
    not be ours (`now`, in milliseconds); `Retry-After` is a number of seconds.
    """
    reset = _number(headers.get("X-Rate-Limit-Reset"))
    if reset is not None:
        clock = clock_of(headers)
        return _bounded(reset - (now if clock is None else clock) / 1000)
    after = _number(headers.get("Retry-After"))
    return None if after is None else _bounded(after)


def pause_after(headers: Mapping[str, str], now: int) -> float:
    """Return how many seconds to wait so that the next request is not one too many."""
    if headers.get("X-Rate-Limit-Remaining") != "0":
        return 0.0
    return asked_pause(headers, now) or SHORTEST_PAUSE


def _number(text: str | None) -> int | None:
    usable = text is not None and text.isascii() and text.isdigit() and len(text) < 12
    return int(text) if text is not None and usable else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, SHORTEST_PAUSE), LONGEST_PAUSE)
