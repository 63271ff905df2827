"""Security event tokens (RFC 8417): what one has to say, and who says it.

A SET is a JWS whose header has `typ` ``secevent+jwt`` and whose claims name an issuer,
an id that is unique with that issuer, and events by URI. `exp` has no meaning for what
has happened, and is not looked at: a token can be verified years later.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import ContentError, MalformedError
from provlog.merkle.jwk import ALGORITHMS, IssuerKey
from provlog.merkle.jws import Token, parse_token_unverified, verify

MEDIA_TYPE: Final = "application/secevent+jwt"
MAX_EVENTS: Final = 64
"""How many event URIs one token may have."""
MAX_AUDIENCES: Final = 64

_TYPE: Final = "secevent+jwt"
_SHAPE = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")


class WrongIssuerError(ContentError):
    """A token is of another issuer than the one it should be of."""


class WrongAudienceError(ContentError):
    """A token is for others than those it should be for."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token that decide what it is; `all` are those in full.

    `iss` and `jti` together name the token. `audiences` may be empty: then it is for
    nobody in particular.
    """

    iss: str
    jti: str
    audiences: tuple[str, ...]
    events: dict[str, JsonValue]
    all: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class VerifiedSet:
    """A token that verifies: its claims, and the key that signed it."""

    claims: Claims
    key: IssuerKey


def is_token_shaped(record: bytes) -> bool:
    """Tell whether a record looks like a token: three parts, of which two may be empty.

    No JSON value looks so.
    """
    return _SHAPE.fullmatch(record) is not None


def claims_unverified(record: bytes) -> bytes:
    """Return the claims in JSON that a record is, or that it has where it is a token.

    Nothing is verified, and nothing is promised of the JSON. Raises `MalformedError`
    for what is shaped as a token and is none.
    """
    if not is_token_shaped(record):
        return record
    return parse_token_unverified(record.decode("ascii")).payload


def claims_in(value: JsonValue) -> dict[str, JsonValue] | None:
    """Return the claims that a decoded record is, or has in its member `claims`.

    Tools that decode tokens show them so. None where it is no object.
    """
    if not isinstance(value, dict):
        return None
    inner = value.get("claims")
    return inner if "events" not in value and isinstance(inner, dict) else value


def event_id(value: JsonValue) -> str | None:
    """Return ``<jti>@<iss>`` of a decoded record; None where it has not both.

    RFC 8417 makes the two unique together.
    """
    claims = claims_in(value) or {}
    jti, iss = claims.get("jti"), claims.get("iss")
    named = isinstance(jti, str) and isinstance(iss, str) and jti and iss
    return f"{jti}@{iss}" if named else None


def open_unverified(text: str) -> tuple[Token, Claims]:
    """Return a token and its claims, of which nothing was verified but the form.

    Raises `MalformedError` for what is no SET (RFC 8417 sections 2.2 and 2.3).
    """
    token = parse_token_unverified(text)
    typ = token.header.get("typ")
    named = typ.lower().removeprefix("application/") if isinstance(typ, str) else ""
    if named != _TYPE:
        raise MalformedError(f"token: its typ is not {_TYPE}")
    return token, read_claims(loads_json(token.payload, "token: claims"))


def read_claims(value: JsonValue) -> Claims:
    """Return the claims of a token; `MalformedError` where they are not those of a SET.

    `iss`, `jti` and `events` are required, and `iat`, a number.
    """
    if not isinstance(value, dict):
        raise MalformedError("token: its claims are not an object")
    iat = value.get("iat")
    if isinstance(iat, bool) or not isinstance(iat, int | float):
        raise MalformedError("token: iat is missing or no number")
    events = value.get("events")
    if not isinstance(events, dict) or not 1 <= len(events) <= MAX_EVENTS:
        raise MalformedError(f"token: events is no object of 1 to {MAX_EVENTS} events")
    if not all(isinstance(payload, dict) for payload in events.values()):
        raise MalformedError("token: an event's payload is not an object")
    audiences = _audiences(value.get("aud"))
    return Claims(_text(value, "iss"), _text(value, "jti"), audiences, events, value)


def verify_set(
    text: str,
    keys: Sequence[IssuerKey],
    *,
    issuer: str | None = None,
    audiences: Collection[str] = (),
    algorithms: Collection[str] = ALGORITHMS,
) -> VerifiedSet:
    """Return what a token says, once it is proved that a holder of `keys` said it.

    `issuer` is who has to have issued it, `audiences` are those of whom one has to be
    named; each is compared where it is given. Raises `MalformedError`,
    `SignatureError`, `WrongIssuerError` and `WrongAudienceError`.
    """
    token, claims = open_unverified(text)
    return verify_opened(
        token,
        claims,
        keys,
        issuer=issuer,
        audiences=audiences,
        algorithms=algorithms,
    )


def verify_opened(
    token: Token,
    claims: Claims,
    keys: Sequence[IssuerKey],
    *,
    issuer: str | None = None,
    audiences: Collection[str] = (),
    algorithms: Collection[str] = ALGORITHMS,
) -> VerifiedSet:
    """Return what `open_unverified` has opened, verified as `verify_set` does."""
    key = verify(token, keys, algorithms)
    if issuer is not None and claims.iss != issuer:
        raise WrongIssuerError("token: of another issuer")
    if audiences and set(audiences).isdisjoint(claims.audiences):
        raise WrongAudienceError("token: for another audience")
    return VerifiedSet(claims, key)


def _text(claims: dict[str, JsonValue], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedError(f"token: {name} is missing or no text")
    return value


def _audiences(value: JsonValue) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [] if value is None else [value]
    texts = tuple(each for each in listed if isinstance(each, str))
    if len(texts) != len(listed) or len(texts) > MAX_AUDIENCES:
        raise MalformedError(f"token: aud is not text, or more than {MAX_AUDIENCES}")
    return texts
