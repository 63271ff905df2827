"""Where the number stands that a double would change."""

import json
from typing import NoReturn

from provlog.merkle.encoding import JsonValue, survives_as_double
from provlog.server.intake.problems import EventError, fail, pointer


def refuse_inexact(data: bytes, where: str) -> NoReturn:
    """Raise `EventError` (422) for a JSON text that holds a number a double changes.

    It is read once more to find the member, below the pointer `where`; if it is no JSON
    at all, status 400. A log that wrote 0.3 for 0.30000000000000000001 would prove
    something that nobody sent.
    """
    try:
        found = _find(_FINDER.decode(data.decode("utf-8")), where)
    except ValueError:  # something worse follows the number
        raise EventError(400, "event: not strict JSON") from None
    fail(
        where if found is None else found,
        "a number that a double does not hold as it was sent: send it as a string",
    )


class _Inexact(float):
    """A number that a double does not hold as it was sent."""


def _read_float(text: str) -> float:
    value = float(text)
    return value if survives_as_double(text, value) else _Inexact(value)


_FINDER = json.JSONDecoder(parse_float=_read_float)


def _find(value: JsonValue, where: str) -> str | None:
    if isinstance(value, _Inexact):
        return where
    if isinstance(value, dict):
        places = ((pointer(where, name), each) for name, each in value.items())
    elif isinstance(value, list):
        places = ((f"{where}/{place}", each) for place, each in enumerate(value))
    else:
        return None
    return next(filter(None, (_find(each, place) for place, each in places)), None)
