"""Access tokens that a provider hands out for a grant (RFC 6749, section 4.4).

A token is asked for when it is needed, and again shortly before it ends. The server
that hands it out is sent the grant alone, and the API the token alone.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.polling.feed import FetchError
from provlog.server.polling.fetching import Fetcher

MAX_ANSWER: Final = 64 << 10
MAX_TOKEN: Final = 16 << 10
EARLY_SECONDS: Final = 60.0
DEFAULT_SECONDS: Final = 300.0
LONGEST_SECONDS: Final = 86_400


class AccessToken:
    """A token of one client, renewed in time.

    `fields` returns the form of the grant, made anew for each token. The fetcher is
    closed with it.
    """

    def __init__(
        self, fetcher: Fetcher, path: str, fields: Callable[[], Mapping[str, str]]
    ) -> None:
        self._fetcher = fetcher
        self._path = path
        self._fields = fields
        self._header = ""
        self._ends = 0.0

    async def header(self) -> str:
        """Return the value of `Authorization`.

        Raises `FetchError` where a token may be had later, and `ConfigurationError`
        where the client is refused.
        """
        if time.monotonic() >= self._ends:
            await self._renew()
        return self._header

    def forget(self) -> None:
        """Ask for another token next time: this one was refused."""
        self._ends = 0.0

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()

    async def _renew(self) -> None:
        asked = time.monotonic()
        try:
            answer = await self._fetcher.post_form(
                self._path, self._fields(), MAX_ANSWER
            )
            token, seconds = _parse(answer.body)
        except FetchError as error:
            # HTTP 400 here and there mean different things to whoever looks into it.
            raise FetchError(f"no access token: {error}", error.pause) from None
        self._header = f"Bearer {token}"
        # Of a short one half is used, so that there is one at all.
        self._ends = asked + max(seconds / 2, seconds - EARLY_SECONDS)


def _parse(body: bytes) -> tuple[str, float]:
    try:
        value = loads_json(body)
    except MalformedError:
        value = None
    answer = value if isinstance(value, dict) else {}
    token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    fits = isinstance(token, str) and 1 <= len(token) <= MAX_TOKEN
    if not fits or not str(token).isascii() or not str(token).isprintable():
        raise FetchError("the answer to the grant holds no access token")
    if str(kind).lower() != "bearer":
        raise FetchError("the access token is of another type than Bearer")
    return str(token), _seconds(answer.get("expires_in"))


def _seconds(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int):
        return DEFAULT_SECONDS
    return float(min(max(value, 1), LONGEST_SECONDS))
