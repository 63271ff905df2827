"""Durations as people write them: 90d, 12h, 30m."""

import re

from provlog.server.errors import ConfigurationError

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhdw])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_duration(text: str, option: str) -> int:
    """Return milliseconds of a duration such as 90d, 12h or 30m, given as `option`.

    Raises `ConfigurationError` where it is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"{option}: {text!r} is no duration; write 90d, 12h or 30m"
        )
    return int(match[1]) * _UNITS[match[2]] * 1000
