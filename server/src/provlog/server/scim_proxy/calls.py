"""Requests before they pass: which may, where they go, who makes them."""

import re
import secrets
import ssl
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from provlog.merkle.encoding import JsonValue
from provlog.server.http.addresses import (
    client_address,
    is_proxy_or_local,
    is_trusted,
)
from provlog.server.scim_proxy.answers import Refusal
from provlog.server.scim_proxy.callers import Callers, peer_certificate
from provlog.server.scim_proxy.headers import (
    OVERRIDES,
    Origin,
    named_in_connection,
    request_fields,
)
from provlog.server.scim_proxy.paths import TargetError, is_search, upstream_url
from provlog.server.scim_proxy.settings import ProxySettings

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CHANGES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_FIELD: Final = 512
NUMBER: Final = web.RequestKey("number", str)
"""The id under which a request is recorded, once it was admitted."""

_SINGLE = ("Authorization", "Content-Encoding", "Content-Type", "Host", "If-Match")
_FOR_ALL = frozenset(
    {"authorization", "content-encoding", "content-length", "content-type", "host"}
)
_SECRET_QUERY = re.compile(r"(?i)(token|secret|password|key|code|signature)=[^&]*")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may pass: where to, and with which fields.

    `number` is the id under which it is recorded, `trusted` whether it comes from a
    proxy that is believed, `ip` the address of whoever called that.
    """

    request: web.Request
    number: str
    url: URL
    fields: CIMultiDict[str]
    trusted: bool
    ip: str

    @property
    def query(self) -> str:
        """The query without the values of what looks like secrets."""
        text = self.request.rel_url.raw_query_string[: 8 * MAX_FIELD]
        return _SECRET_QUERY.sub(r"\1=[redacted]", text)


def only_reads(request: web.Request) -> bool:
    """Tell whether a request changes nothing, by its method and path."""
    if request.method == "POST":
        return is_search(request.rel_url.raw_path)
    return request.method in READS


def admit(request: web.Request, settings: ProxySettings) -> Call:
    """Return what may pass; raise the `Refusal` of what may not."""
    _require_plain(request)
    peer = request.remote or ""
    if settings.proxies_only and not is_proxy_or_local(peer, settings.proxies):
        raise Refusal(403, "past_the_proxy", "this server is reached through its proxy")
    path, query = request.rel_url.raw_path, request.rel_url.raw_query_string
    try:
        url = upstream_url(settings.upstream, path, query)
    except TargetError:
        raise Refusal(400, "malformed", "this path is not passed on") from None
    trusted = is_trusted(peer, settings.proxies)
    number, header = secrets.token_hex(16), settings.certificate_header
    request[NUMBER] = number
    fields = request_fields(
        request.headers,
        Origin(peer, request.host, request.scheme, trusted),
        number,
        host=url.authority if settings.own_host else None,
        public_url=settings.public_url,
        untrusted=(header,) if header else (),
    )
    hops = request.headers.getall("X-Forwarded-For", ())
    ip = client_address(peer, hops, settings.proxies)
    return Call(request, number, url, fields, trusted, ip)


def caller_of(
    call: Call, settings: ProxySettings, callers: Callers
) -> dict[str, JsonValue]:
    """Return who makes a request, as it is recorded: by credentials or certificate."""
    headers = call.request.headers
    caller = callers.of_credentials(headers.get("Authorization"))
    certificate = _certificate(call, settings, callers)
    if certificate is None:
        return caller
    if "id" not in caller:
        return certificate
    return caller | {"certificate": certificate["id"]}


def _certificate(
    call: Call, settings: ProxySettings, callers: Callers
) -> dict[str, JsonValue] | None:
    transport = call.request.transport
    link = None if transport is None else transport.get_extra_info("ssl_object")
    shown = peer_certificate(link if isinstance(link, ssl.SSLObject) else None)
    if shown is not None:
        return callers.of_certificate(shown)
    name = settings.certificate_header
    text = call.request.headers.get(name, "") if name and call.trusted else ""
    return callers.of_header(text) if text else None


def _require_plain(request: web.Request) -> None:
    """Refuse what two servers could read in two ways."""
    headers = request.headers
    if request.method not in READS | CHANGES:
        raise Refusal(405, "method", "this method is not passed on")
    if any(name.lower().replace("_", "-") in OVERRIDES for name in headers):
        raise Refusal(400, "method", "fields that stand for another method are refused")
    if any(len(headers.getall(name, ())) > 1 for name in _SINGLE):
        raise Refusal(400, "malformed", "a field that stands alone came twice")
    if named_in_connection(headers) & _FOR_ALL:
        # The SCIM server would read another request than was recorded.
        raise Refusal(400, "malformed", "Connection names a field that is for all")
    codings = headers.getall("Transfer-Encoding", ())
    if codings and ("Content-Length" in headers or request.version < (1, 1)):
        raise Refusal(400, "malformed", "a body has one length")
    if codings and [each.strip().lower() for each in codings] != ["chunked"]:
        raise Refusal(400, "malformed", "this transfer coding is not passed on")
