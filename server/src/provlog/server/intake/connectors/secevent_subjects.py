"""Whom a security event token is about: subject identifiers as parties of an event.

RFC 9493 (formats), RFC 9967 section 2.1 (``scim``), and the complex subjects of OpenID
SSF; the older spelling `subject_type` too. A subject of another issuer than the token's
keeps that issuer as its namespace.
"""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import fitting_id, text_members
from provlog.server.intake.data_members import is_namespace

Object = dict[str, JsonValue]

_COMPLEX: Final = ("user", "group", "session", "device", "application", "tenant")
_KINDS: Final = {"Users": "user", "Groups": "group", "Me": "user"}
_OPAQUE: Final = {"opaque": "id", "uri": "uri", "did": "url", "account": "uri"}


def target_of(subject: JsonValue, issuer: JsonValue) -> Object:
    """Return the members `target`, and `resource` of a complex subject."""
    if not isinstance(subject, dict):
        return {}
    if not _is_complex(subject):
        party = _party(subject, issuer)
        return {"target": party} if party else {}
    found: list[Object] = []
    for name in _COMPLEX:
        part = subject.get(name)
        party = _party(part, issuer) if isinstance(part, dict) else {}
        if party:
            found.append({"type": name, **party})
    return dict(zip(("target", "resource"), found[:2], strict=False))


def resource_kind(subject: JsonValue) -> str | None:
    """Return what a SCIM subject is, as the last part but one of its URI says."""
    uri = subject.get("uri") if isinstance(subject, dict) else None
    parts = _path(uri) if isinstance(uri, str) else []
    if parts and parts[-1] == "Me":
        return "Me"
    return parts[-2] if len(parts) > 1 else None


def _is_complex(subject: Mapping[str, JsonValue]) -> bool:
    named = _format(subject)
    return named == "complex" or (
        not named and any(isinstance(subject.get(each), dict) for each in _COMPLEX)
    )


def _format(subject: Mapping[str, JsonValue]) -> str:
    named = subject.get("format") or subject.get("subject_type")
    return named.lower().replace("-", "_") if isinstance(named, str) else ""


def _party(subject: Object, issuer: JsonValue) -> Object:
    named = _format(subject)
    if named == "aliases":
        listed = subject.get("identifiers")
        first = listed[0] if isinstance(listed, list) and listed else None
        nested = isinstance(first, dict) and _format(first) == "aliases"
        return _party(first, issuer) if isinstance(first, dict) and not nested else {}
    read = _READERS.get(named)
    return {} if read is None else read(subject, issuer)


def _scim(subject: Object, _: JsonValue) -> Object:
    uri = subject.get("uri")
    parts = _path(uri) if isinstance(uri, str) else []
    kind = resource_kind(subject)
    own = subject.get("id") or (unquote(parts[-1]) if len(parts) > 1 else None)
    return fitting_id(own) | text_members(
        type=_KINDS.get(kind, kind.lower()) if kind else None,
        name=subject.get("userName") or subject.get("displayName"),
        external_id=subject.get("externalId"),
        uri=uri,
    )


def _iss_sub(subject: Object, issuer: JsonValue) -> Object:
    theirs = subject.get("iss")
    foreign = isinstance(theirs, str) and theirs != issuer and is_namespace(theirs)
    ns: Object = {"ns": theirs} if foreign else {}
    return _named(subject.get("sub"), "user") | ns


def _opaque(subject: Object, _: JsonValue) -> Object:
    named = _format(subject)
    return _named(subject.get(_OPAQUE[named]), "user" if named == "account" else None)


def _email(subject: Object, _: JsonValue) -> Object:
    email = subject.get("email")
    party = _named(email, "user")
    return party | text_members(name=email) if party else {}


def _phone(subject: Object, _: JsonValue) -> Object:
    return _named(subject.get("phone_number") or subject.get("phone"), "user")


def _jwt_id(subject: Object, _: JsonValue) -> Object:
    return _named(subject.get("jti"), "token")


def _assertion(subject: Object, _: JsonValue) -> Object:
    return _named(subject.get("assertion_id"), "assertion")


_READERS: Final[Mapping[str, Callable[[Object, JsonValue], Object]]] = {
    "scim": _scim,
    "iss_sub": _iss_sub,
    "opaque": _opaque,
    "uri": _opaque,
    "did": _opaque,
    "account": _opaque,
    "email": _email,
    "phone_number": _phone,
    "phone": _phone,
    "jwt_id": _jwt_id,
    "saml_assertion_id": _assertion,
}


def _named(value: JsonValue, kind: str | None) -> Object:
    party = fitting_id(value)
    return party | text_members(type=kind) if party else {}


def _path(uri: str) -> list[str]:
    """Return the parts of a SCIM resource's URI, relative or not."""
    return [part for part in uri.partition("?")[0].split("/") if part]
