"""Canonical text forms: base64, decimals, JSON and times.

Each decoder accepts exactly what its encoder can produce and raises
`MalformedError` for anything else, so that one value has one spelling.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from provlog.merkle.errors import MalformedError

JsonValue: TypeAlias = (
    "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
)

MAX_SAFE_INTEGER = 2**53 - 1
MAX_JSON_DEPTH = 64
MAX_NUMBER_LENGTH = 400
"""Digits and signs of a number that has to be exact: more than any double needs."""

BASE64_TO_URL = bytes.maketrans(b"+/", b"-_")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
# The hour is bounded here, because newer Pythons read 24:00 as the next day.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z", re.ASCII
)
_CANONICAL_TEXT = re.compile(r"[ !#-\[\]-~]*")


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding (RFC 4648 section 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str, what: str = "base64") -> bytes:
    """Return the bytes of canonical, padded standard base64; refuse other spellings."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise MalformedError(f"{what}: not standard base64") from None
    if encode_base64(data) != text:
        raise MalformedError(f"{what}: not canonical base64")
    return data


def encode_base64url(data: bytes) -> str:
    """Return base64url without padding (RFC 4648 section 5)."""
    # What base64.urlsafe_b64encode does, without its calls: every event takes dozens.
    encoded = binascii.b2a_base64(data, newline=False)
    return encoded.translate(BASE64_TO_URL).rstrip(b"=").decode("ascii")


def decode_base64url(text: str, what: str = "base64url") -> bytes:
    """Return the bytes of canonical, unpadded base64url; refuse other spellings."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raise MalformedError(f"{what}: not base64url") from None
    if encode_base64url(data) != text:
        raise MalformedError(f"{what}: not canonical base64url")
    return data


def decode_hash(text: str, what: str = "hash") -> bytes:
    """Return the 32 bytes of a hash in canonical standard base64."""
    if len(text) != 44:
        raise MalformedError(f"{what}: a hash is 44 characters of base64")
    data = decode_base64(text, what)
    if len(data) != 32:
        raise MalformedError(f"{what}: a hash has 32 bytes")
    return data


def parse_decimal(text: str, what: str = "number", maximum: int = 2**63 - 1) -> int:
    """Return a non-negative integer in canonical decimal, at most `maximum`."""
    if _DECIMAL.fullmatch(text) is None:
        raise MalformedError(f"{what}: not a canonical decimal")
    value = int(text)
    if value > maximum:
        raise MalformedError(f"{what}: above {maximum}")
    return value


def is_canonical_text(text: str) -> bool:
    """Tell whether `text` is printable ASCII without quotation mark and backslash.

    Such a string reads the same in every JSON serialisation.
    """
    return _CANONICAL_TEXT.fullmatch(text) is not None


def format_time(milliseconds: int) -> str:
    """Return Unix milliseconds as ``YYYY-MM-DDTHH:MM:SS.mmmZ``."""
    seconds, rest = divmod(milliseconds, 1000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def parse_time(text: str, what: str = "time") -> int:
    """Return the Unix milliseconds of an exact ``YYYY-MM-DDTHH:MM:SS.mmmZ``."""
    if _TIME.fullmatch(text) is None:
        raise MalformedError(f"{what}: not of the form YYYY-MM-DDTHH:MM:SS.mmmZ")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedError(f"{what}: no such moment") from None
    return (moment - _UNIX_EPOCH) // _MILLISECOND


def canonical_json(value: JsonValue) -> bytes:
    """Return the RFC 8785 form of a value made of canonical text and safe integers.

    Object keys must be canonical text too. Floats, null and other strings are refused
    with `ValueError`: for what is left, sorting and separators are all there is to
    canonical form.
    """
    _require_canonical(value)
    return _ENCODER.encode(value).encode("ascii")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)


def _require_canonical(value: object) -> None:
    if isinstance(value, str):
        if not is_canonical_text(value):
            raise ValueError(f"not canonical text: {len(value)} characters")
    elif isinstance(value, dict):
        for key, member in value.items():
            _require_canonical(key)
            _require_canonical(member)
    elif isinstance(value, list):
        for member in value:
            _require_canonical(member)
    elif isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"no canonical form for {type(value).__name__}")
    elif not 0 <= value <= MAX_SAFE_INTEGER:
        raise ValueError("integer outside 0 … 2^53-1")


class InexactNumberError(MalformedError):
    """A number that would not be the same once it is read as a double."""


def loads_json(
    data: bytes | str, what: str = "JSON", *, exact: bool = False
) -> JsonValue:
    """Return the value of one JSON text, strictly.

    Beyond RFC 8259's grammar it refuses duplicate member names, lone surrogates,
    numbers that are not finite, a byte order mark, and nesting deeper than
    `MAX_JSON_DEPTH`. With `exact` it also refuses, with `InexactNumberError`, a number
    with a fraction or exponent whose value is not that of the shortest decimal of its
    double (RFC 8785 section 3.2.2.3): it would be written otherwise than it was sent.
    Integers are exact up to the digits Python converts, 4,300 unless told otherwise.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        text.encode("utf-8")
        _require_depth(text)
        value: JsonValue = (_EXACT_DECODER if exact else _DECODER).decode(text)
    except UnicodeError:
        raise MalformedError(f"{what}: not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{what}: {_explain(error)}") from None
    if "\\u" in text:
        _require_no_surrogates(value, what)
    return value


def _require_depth(text: str) -> None:
    # A bound on brackets outside strings is a bound on nesting; only texts with many
    # brackets pay for the exact count.
    if text.count("[") + text.count("{") <= MAX_JSON_DEPTH:
        return
    depth = 0
    for mark in _BRACKETS.findall(text):
        if mark in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}")
        elif mark in "]}":
            depth -= 1


_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def _explain(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    if "int_max_str_digits" in str(error):
        return "an integer of too many digits"
    return str(error)


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member name in an object")
    return members


def _finite_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return value


def _exact_float(text: str) -> float:
    value = _finite_float(text)
    if not survives_as_double(text, value):
        raise InexactNumberError(
            "a number that a double does not hold as it was sent; send it as a string"
        )
    return value


def survives_as_double(text: str, value: float) -> bool:
    """Tell whether `value`, read from a JSON number, is written with its very value."""
    shortest = repr(value)
    if text == shortest:
        return True
    if len(text) > MAX_NUMBER_LENGTH:
        return False
    try:
        return Decimal(text) == Decimal(shortest)
    except ArithmeticError:  # an exponent beyond all bounds
        return False


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_float=_finite_float,
    parse_constant=_refuse_constant,
)
_EXACT_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_float=_exact_float,
    parse_constant=_refuse_constant,
)


def _require_no_surrogates(value: JsonValue, what: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise MalformedError(f"{what}: lone surrogate in a string") from None


def require_members(
    value: JsonValue,
    required: Sequence[str],
    optional: Sequence[str] = (),
    what: str = "object",
) -> dict[str, JsonValue]:
    """Return `value` as an object with all `required` and no unknown members."""
    if not isinstance(value, dict):
        raise MalformedError(f"{what}: not an object")
    for name in required:
        if name not in value:
            raise MalformedError(f"{what}: member {name!r} is missing")
    unknown = sorted(set(value).difference(required, optional))
    if unknown:
        raise MalformedError(f"{what}: {len(unknown)} unknown member(s)")
    return value
