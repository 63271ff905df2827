"""Options that are spans and points of time."""

import re
import time
from datetime import datetime
from typing import Final

import click

_SPAN: Final = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)", re.ASCII)
_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Span(click.ParamType[int]):
    """A span such as ``90s``, ``24h`` or ``7d``, as milliseconds."""

    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the milliseconds, or fail as click does."""
        if isinstance(value, int):
            return value
        found = _SPAN.fullmatch(str(value))
        if found is None:
            self.fail("write a span such as 90s, 30m, 24h or 7d", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


class Moment(click.ParamType[int]):
    """A time with its zone, or a span before now, as Unix milliseconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the Unix milliseconds, or fail as click does."""
        text = str(value)
        if _SPAN.fullmatch(text):
            return max(0, now_ms() - Span().convert(text, param, ctx))
        try:
            read = datetime.fromisoformat(text)
            milliseconds = int(read.timestamp() * 1000)
        except (ValueError, OverflowError):
            read = None
        if read is None or read.tzinfo is None or milliseconds < 0:
            self.fail(
                "write a time such as 2026-11-27T08:00:00Z, or a span before now",
                param,
                ctx,
            )
        return milliseconds


def now_ms() -> int:
    """Return this machine's time in Unix milliseconds."""
    return time.time_ns() // 1_000_000
