"""Deliveries that are signed: an HMAC over the raw bytes, in place of a token.

The secret stands in a file that the source's settings name, and with the provider. It
is read for each delivery, so that it can be replaced at any time.
"""

import base64
import hmac
from typing import Final

from aiohttp import web

from provlog.server.http.access import CLIENT, LOG, TOKEN
from provlog.server.http.auth import Caller
from provlog.server.http.context import SERVICE
from provlog.server.http.problems import Problem
from provlog.server.source_settings import HookSettings, SourceSettings
from provlog.server.storage.base import TokenRecord

AUTHENTICATION: Final = "hmac"
CHALLENGE: Final = 'HMAC-SHA256 realm="provlog"'
MAX_SIGNATURE: Final = 256


def signed_settings(request: web.Request) -> SourceSettings | None:
    """Return the settings of the source in the path, None unless they ask to sign."""
    match = request.match_info
    settings = request.app[SERVICE].settings.find(match["log"], match["source"])
    return settings if settings is not None and settings.hook is not None else None


async def require_signed_hook(request: web.Request) -> Caller:
    """Return as whom a signed delivery is taken; its signature is still to be checked.

    It has no token of its own: rates are those of its source. Until it is known to be
    the provider's, turns and room are those of the source and the address it is from,
    so that strangers take none of the provider's.
    """
    service, match = request.app[SERVICE], request.match_info
    log = await service.log(match["log"])
    if log is None:
        raise Problem("not-found", "there is no such hook")
    sender = f"{AUTHENTICATION}:{match['source']}"
    caller = Caller(log, _stand_in(log.id, match["source"], sender))
    request[LOG] = log.record.name
    await service.workplace.turn(log.id, unproven(request, caller))
    return caller


def unproven(request: web.Request, caller: Caller) -> str:
    """Return on whose account a delivery is until its signature was checked."""
    return f"{caller.token.id} {request.get(CLIENT, '')}"


def require_signature(
    request: web.Request, settings: SourceSettings, body: bytes
) -> None:
    """Raise the problem (401) unless the body is signed under the source's secret."""
    hook = settings.hook
    assert hook is not None  # noqa: S101  what `signed_settings` returns has one
    secret = settings.secret(hook.hmac_secret_file).encode("ascii")
    sent = request.headers.getall(hook.hmac_header, ())
    expected = _signature(hook, hmac.digest(secret, body, "sha256"))
    given = sent[0] if len(sent) == 1 else ""
    if len(given) > MAX_SIGNATURE or not hmac.compare_digest(
        _comparable(hook, given), expected
    ):
        raise Problem(
            "unauthenticated",
            "the delivery is not signed as agreed",
            headers={"WWW-Authenticate": CHALLENGE},
        )
    request[TOKEN] = AUTHENTICATION


def _signature(hook: HookSettings, digest: bytes) -> bytes:
    encoded = (
        digest.hex().encode()
        if hook.hmac_encoding == "hex"
        else base64.b64encode(digest)
    )
    return hook.hmac_prefix.encode() + encoded


def _comparable(hook: HookSettings, given: str) -> bytes:
    # Hexadecimal digits may be large; the prefix is as agreed.
    length = len(hook.hmac_prefix)
    if hook.hmac_encoding == "hex":
        given = given[:length] + given[length:].lower()
    return given.encode("utf-8", "surrogateescape")


def _stand_in(log: int, source: str, sender: str) -> TokenRecord:
    return TokenRecord(
        sender,
        b"",
        frozenset({log}),
        frozenset({"hook"}),
        (source,),
        "",
        None,
        0,
        None,
        None,
    )
