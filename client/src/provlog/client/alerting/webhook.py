"""Alerts by webhook: each is one POST of JSON, signed where a secret is shared.

With a secret the request has ``X-Provlog-Signature: sha256=HEX``, an HMAC-SHA256 of
the body. Every answer 2xx is a delivery; nothing that is answered is kept or shown.
"""

import hashlib
import hmac
import json
from importlib.metadata import version
from typing import Final

import aiohttp
from yarl import URL

from provlog.client.addresses import is_loopback
from provlog.client.alerting.alerts import Alert, Severity
from provlog.client.alerting.sending import DeliveryError
from provlog.client.errors import UsageError

TIMEOUT: Final = 15.0
SIGNATURE: Final = "X-Provlog-Signature"

# What may be said of one alert, where others are taken.
_OF_ONE: Final = frozenset({400, 406, 409, 413, 415, 422, 451, 500})


class Webhook:
    """A receiver at `url`, told of alerts of severity `least` and worse.

    Raises `UsageError` for a URL that is none, and for one of plain HTTP beyond this
    machine: alerts say what is watched, and what was found.
    """

    name = "webhook"

    def __init__(
        self, url: str, secret: str | None = None, least: Severity = "warning"
    ) -> None:
        self._url = _parse(url)
        self._secret = None if secret is None else secret.encode()
        self.least: Severity = least
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, alert: Alert) -> None:
        """Send one alert; raises `DeliveryError` unless it was taken."""
        body = json.dumps(alert.to_json()).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret is not None:
            digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        try:
            async with self._open().post(
                self._url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            ) as response:
                status = response.status
                # The answer is not read: the connection ends with it.
                response.close()
        except TimeoutError:
            raise DeliveryError("no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise DeliveryError(f"no connection ({type(error).__name__})") from None
        if not 200 <= status < 300:
            alone = status in _OF_ONE
            raise DeliveryError(f"answered with HTTP status {status}", alone=alone)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            agent = f"provlog-client/{version('provlog-client')}"
            self._session = aiohttp.ClientSession(
                headers={"User-Agent": agent},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def _parse(url: str) -> URL:
    try:
        parsed = URL(url)
    except ValueError:
        raise UsageError("webhook: its URL is none") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError("webhook: its URL starts with https://")
    if parsed.user is not None or parsed.password is not None or parsed.fragment:
        raise UsageError("webhook: its URL has a name, a password or a fragment")
    if parsed.scheme == "http" and not is_loopback(parsed.host):
        raise UsageError("webhook: alerts would travel unencrypted: use an https URL")
    return parsed
