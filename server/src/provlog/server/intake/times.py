"""Times of events: RFC 3339 in, ``YYYY-MM-DDTHH:MM:SS.mmmZ`` out."""

import re
from datetime import datetime, timedelta

MAX_TIME_LENGTH = 64

_TIMESTAMP = re.compile(
    # Hours are bounded here, because newer Pythons read 24:00 as the next day.
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):[0-5]\d:)([0-5]\d|60)(?:\.(\d+))?"
    r"(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))?",
    re.ASCII,
)


def normalise_time(text: str, *, zoneless_is_utc: bool = False) -> str:
    """Return a timestamp as UTC with exactly three decimals, truncated.

    Accepts RFC 3339 section 5.6 with any offset and any number of decimals. A leap
    second becomes the last millisecond of its minute. With `zoneless_is_utc` the
    offset may be missing, as in some providers' exports. Raises `ValueError`, whose
    text repeats nothing of the input.
    """
    if len(text) > MAX_TIME_LENGTH:
        raise ValueError("longer than any timestamp")
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 timestamp")
    date, clock, seconds, fraction, zulu, sign, hours, minutes = match.groups()
    if zulu is None and sign is None and not zoneless_is_utc:
        raise ValueError("without an offset from UTC")
    if seconds == "60":
        seconds, fraction = "59", "999"
    moment = f"{date}T{clock}{seconds}"
    local = _moment(moment)
    if sign is not None:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        moment = _shift(local, -offset if sign == "+" else offset)
    return f"{moment}.{(fraction or '0')[:3]:0<3}Z"


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("no such moment") from None


def _shift(local: datetime, offset: timedelta) -> str:
    try:
        return (local + offset).isoformat()
    except OverflowError:
        raise ValueError("outside the years 0001 to 9999") from None
