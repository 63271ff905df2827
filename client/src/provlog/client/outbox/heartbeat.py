"""Heartbeats: events that say that a source is alive and has nothing to say."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final

from provlog.client.errors import OutboxFullError, UsageError
from provlog.client.outbox.items import Item, event_item
from provlog.client.outbox.spool import Spool
from provlog.merkle.encoding import format_time

TYPE: Final = "source.heartbeat"
SHORTEST: Final = 1
LONGEST: Final = 7 * 24 * 3600

_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


def parse_interval(text: str) -> int:
    """Return the seconds of an interval such as ``90s``, ``5m`` or ``1h``."""
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not SHORTEST <= seconds <= LONGEST:
        raise UsageError("an interval is a number and s, m, h or d: 1s to 7d")
    return seconds


def heartbeat(source: str) -> Item:
    """Return an event of type ``source.heartbeat`` of now."""
    now = format_time(time.time_ns() // 1_000_000)
    return event_item({"source": source, "type": TYPE, "time": now})


async def beat(
    spool: Spool,
    source: str,
    seconds: float,
    on_full: Callable[[OutboxFullError], None] = lambda _: None,
) -> None:
    """Put a heartbeat now and after each interval, for good.

    It is put whether the log can be reached or not. Where the spool has no room it is
    left out: it would say that all is well.
    """
    while True:
        try:
            await asyncio.to_thread(spool.put, [heartbeat(source)])
        except OutboxFullError as error:
            on_full(error)
        await asyncio.sleep(seconds)
