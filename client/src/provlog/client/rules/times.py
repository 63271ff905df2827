"""Spans and change windows as they stand in TOML."""

import re
from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from provlog.client.errors import UsageError
from provlog.client.rules.windows import DAYS, Window

MAX_WINDOWS: Final = 20

_HOURS: Final = re.compile(
    r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])", re.ASCII
)
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_DAY: Final = 24 * 60
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)", re.ASCII)
_UNITS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_span(value: object) -> tuple[int, str]:
    """Return the milliseconds of a span such as ``90s`` or ``7d``, and the span."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise UsageError("a span such as 90s, 30m, 24h or 7d")
    return int(found[1]) * _UNITS[found[2]], found[0]


def parse_windows(value: object) -> tuple[tuple[Window, ...], object]:
    """Return the windows of a rule, one table or several, and whose clock they name.

    The clock is what stands under `by`, unchecked: ``time`` unless the tables say
    another one, and then all the same.
    """
    tables = value if isinstance(value, list) else [value]
    if not 1 <= len(tables) <= MAX_WINDOWS:
        raise UsageError(f"1 to {MAX_WINDOWS} windows")
    windows, clocks = [], []
    for table in tables:
        if not isinstance(table, dict) or not set(table) <= _MEMBERS:
            raise UsageError("a table with zone, and days or hours or both, and by")
        windows.append(_parse_window(table))
        clocks.append(table.get("by", "time"))
    if any(each != clocks[0] for each in clocks):
        raise UsageError("all windows of a rule go by the same clock")
    return tuple(windows), clocks[0]


_MEMBERS: Final = frozenset({"days", "hours", "zone", "by"})


def _parse_window(table: dict[str, object]) -> Window:
    if "days" not in table and "hours" not in table:
        raise UsageError("days, hours or both")
    opens, closes = _parse_hours(table.get("hours", "00:00-24:00"))
    days = frozenset(_parse_days(table.get("days", ["mon-sun"])))
    return Window(days, opens, closes, _parse_zone(table.get("zone")))


def _parse_days(value: object) -> Iterator[int]:
    message = 'days are a list such as ["mon-fri", "sun"]'
    if not isinstance(value, list) or not 1 <= len(value) <= len(DAYS):
        raise UsageError(message)
    for each in value:
        first, dash, last = each.partition("-") if isinstance(each, str) else ("",) * 3
        if first not in DAYS or (dash and last not in DAYS):
            raise UsageError(message)
        begin = DAYS.index(first)
        count = (DAYS.index(last) - begin) % 7 if dash else 0
        yield from ((begin + further) % 7 for further in range(count + 1))


def _parse_hours(value: object) -> tuple[int, int]:
    found = _HOURS.fullmatch(value) if isinstance(value, str) else None
    numbers = [int(each) for each in found.groups()] if found else [0, 0, 0, 0]
    opens, closes = 60 * numbers[0] + numbers[1], 60 * numbers[2] + numbers[3]
    if found is None or opens == closes or closes > _DAY:
        raise UsageError("hours are such as 08:00-18:00, or 22:00-06:00 over midnight")
    return opens, closes


def _parse_zone(value: object) -> ZoneInfo:
    # No default: hours of an unknown place are a mistake that nobody sees.
    if not isinstance(value, str) or len(value) > 64 or not _ZONE.fullmatch(value):
        raise UsageError("zone is a time zone such as Europe/Berlin or UTC")
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise UsageError(
            f"zone {value} is not known here (the system's tzdata lists them)"
        ) from None
