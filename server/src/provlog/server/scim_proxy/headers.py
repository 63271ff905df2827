"""Which fields pass, in both directions (RFC 9110 sections 7.6.1 and 7.6.3).

`X-Forwarded-*` are believed from trusted proxies alone; from others they are replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    }
)
OVERRIDES: Final = frozenset(
    {"x-http-method-override", "x-http-method", "x-method-override"}
)
"""Fields that make another method of a request, for servers that heed them. To many of
these a `_` in a name is a `-`."""

REQUEST_ID: Final = "Provlog-Request-Id"

_OURS = frozenset({"expect", "content-length", "host", REQUEST_ID.lower()})
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
_MAX_FIELD = 4096


@dataclass(frozen=True, slots=True)
class Origin:
    """How the proxy itself was called: by whom, by which name, and how.

    `trusted`: the peer is a proxy whose `X-Forwarded-*` are believed.
    """

    peer: str
    host: str
    scheme: str
    trusted: bool


def request_fields(
    given: CIMultiDictProxy[str],
    origin: Origin,
    number: str,
    *,
    host: str | None,
    public_url: str | None,
    untrusted: Sequence[str] = (),
) -> CIMultiDict[str]:
    """Return the fields of the request that is passed on.

    `host` replaces the name that was called, `untrusted` are dropped unless the peer is
    trusted. Length and coding of the body are for whoever sends it.
    """
    dropped = HOP_BY_HOP | _OURS | named_in_connection(given)
    if not origin.trusted:
        dropped |= {each.lower() for each in (*_FORWARDED, *untrusted)}
    fields = _without(given, dropped)
    _add_forwarded(fields, origin, public_url)
    fields["Host"] = host or origin.host
    fields["Via"] = ", ".join([*fields.getall("Via", ()), "1.1 provlog"])[-_MAX_FIELD:]
    fields[REQUEST_ID] = number
    return fields


def response_fields(given: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return the fields of an answer as they are passed on; its length is kept."""
    return _without(given, HOP_BY_HOP | named_in_connection(given))


def _add_forwarded(
    fields: CIMultiDict[str], origin: Origin, public_url: str | None
) -> None:
    chain = [*fields.popall("X-Forwarded-For", ()), origin.peer]
    fields["X-Forwarded-For"] = ", ".join(each for each in chain if each)[-_MAX_FIELD:]
    if public_url is not None:
        scheme, _, rest = public_url.partition("://")
        fields["X-Forwarded-Proto"] = scheme
        fields["X-Forwarded-Host"] = rest.partition("/")[0]
    else:
        fields.setdefault("X-Forwarded-Proto", origin.scheme)
        fields.setdefault("X-Forwarded-Host", origin.host)


def named_in_connection(given: CIMultiDictProxy[str]) -> frozenset[str]:
    """Return the fields that are for this hop alone because Connection names them."""
    values = given.getall("Connection", ())
    return frozenset(
        each.strip().lower() for value in values for each in value.split(",")
    )


def _without(given: CIMultiDictProxy[str], dropped: frozenset[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in given.items() if name.lower() not in dropped
    )
