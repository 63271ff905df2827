"""Change windows: days of the week and hours in a time zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from provlog.client.rules.facts import Facts, UnjudgeableError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOCKS: Final = ("time", "recorded")

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """A window that opens on some days, `opens` and `closes` in minutes of the day.

    One that closes at or before the minute at which it opens closes on the next day.
    """

    days: frozenset[int]
    opens: int
    closes: int
    zone: ZoneInfo

    def contains(self, moment: int) -> bool:
        """Tell whether Unix milliseconds lie in the window, by the clock of its zone.

        Raises `UnjudgeableError` for a time that its zone cannot show.
        """
        try:
            there = (_UNIX_EPOCH + timedelta(milliseconds=moment)).astimezone(self.zone)
        except OverflowError:
            raise UnjudgeableError("its time is not one of any calendar") from None
        day, minute = there.weekday(), 60 * there.hour + there.minute
        if self.opens < self.closes:
            return day in self.days and self.opens <= minute < self.closes
        if minute >= self.opens:
            return day in self.days
        return minute < self.closes and (day - 1) % 7 in self.days

    def describe(self) -> str:
        """Return the window in words."""
        days = ",".join(DAYS[day] for day in sorted(self.days))
        hours = f"{_clock(self.opens)}-{_clock(self.closes)}"
        return f"{days} {hours} ({self.zone.key})"


@dataclass(frozen=True, slots=True)
class Outside:
    """Holds for what happened outside of all of some windows."""

    windows: Sequence[Window]
    clock: str

    def holds(self, facts: Facts) -> bool:
        """Tell whether the entry's time lies in none of the windows."""
        moment = facts.time if self.clock == "time" else facts.recorded
        return not any(each.contains(moment) for each in self.windows)

    def describe(self) -> str:
        """Return the condition in words."""
        windows = " and ".join(each.describe() for each in self.windows)
        return f"outside of {windows} by its `{self.clock}`"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
