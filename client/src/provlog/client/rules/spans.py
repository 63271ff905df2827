"""Spans of time as rules write them."""

import re
from typing import Final

from provlog.client.errors import UsageError

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)", re.ASCII)
_UNITS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_span(value: object) -> tuple[int, str]:
    """Return the milliseconds of a span such as ``90s`` or ``7d``, and the span."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise UsageError("a span such as 90s, 30m, 24h or 7d")
    return int(found[1]) * _UNITS[found[2]], found[0]
