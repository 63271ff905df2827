"""The keys of those who issue security event tokens, as a source's settings name them.

A JWK Set behind a URL is kept for an hour and fetched anew where a token names a key
that is not in it, but no more than once a minute, whoever asks: what comes from outside
decides nothing about how often. While it is fetched, everybody waits for the same
fetch. That a token is signed with no key of the set is only ever said of a set that was
fetched after the token came; until then there is nothing to say, and the token may come
again. Only where token and key bear the same name does a false signature speak for
itself.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import aiohttp

from provlog.merkle.errors import MalformedError
from provlog.merkle.jwk import MAX_KEY_SET, IssuerKey, parse_key_set, parse_keys
from provlog.server.errors import UnavailableError

LIFETIME: Final = 3600.0
"""For how many seconds a fetched set is taken for current."""
LONGEST: Final = 86_400.0
"""For how many seconds it is used where no newer one can be had."""
BETWEEN: Final = 60.0
"""How many seconds lie between two fetches, at least."""
FETCH_SECONDS: Final = 10.0


class KeysUnavailableError(UnavailableError):
    """The keys cannot be had now, so that nothing can be said of a token."""


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """An issuer's keys; `current` if it showed them after they were asked for."""

    keys: Sequence[IssuerKey]
    current: bool


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    async def keys(self, kid: str | None, *, current: bool = False) -> KnownKeys:
        """Return the keys to verify a token with that names `kid`, or names none.

        With `current`, none but current ones. Raises `KeysUnavailableError`.
        """

    async def close(self) -> None:
        """End what is under way."""


class FileKeys:
    """The keys in a file, read anew whenever it has changed.

    Raises `MalformedError` and `OSError` where they cannot be read to begin with.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = _state_of(path)
        self._keys = parse_keys(_read(path))

    async def keys(
        self,
        kid: str | None,  # noqa: ARG002
        *,
        current: bool = False,  # noqa: ARG002
    ) -> KnownKeys:
        """Return all keys of the file, which are always current."""
        try:
            state = _state_of(self._path)
            if state != self._state:
                self._keys = parse_keys(_read(self._path))
                self._state = state
        except (OSError, MalformedError):
            raise KeysUnavailableError("a file of issuer keys is unreadable") from None
        return KnownKeys(self._keys, current=True)

    async def close(self) -> None:
        """There is nothing under way."""


class RemoteKeys:
    """The JWK Set behind a URL; see the module. `clock` is in seconds, steady."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: Sequence[IssuerKey] = ()
        self._fetched = self._tried = float("-inf")
        self._fetch: asyncio.Task[None] | None = None

    async def keys(self, kid: str | None, *, current: bool = False) -> KnownKeys:
        """Return the set's keys, fetched anew where they are old or lack `kid`."""
        came = self._clock()
        known = not current and any(key.may_be(kid) for key in self._keys)
        if known and came - self._fetched < LIFETIME:
            return KnownKeys(self._keys, current=False)
        try:
            await self._refresh(came)
        except KeysUnavailableError:
            if not known or came - self._fetched >= LONGEST:
                raise
            return KnownKeys(self._keys, current=False)
        # A fetch that was under way already may have begun before the token came.
        return KnownKeys(self._keys, current=self._fetched >= came)

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._fetch is not None:
            self._fetch.cancel()
            with suppress(asyncio.CancelledError, KeysUnavailableError):
                await self._fetch

    async def _refresh(self, came: float) -> None:
        """Return once the set was fetched by a request made at `came` or later."""
        if self._fetch is None:
            if came - self._tried < BETWEEN:
                raise KeysUnavailableError(
                    "the issuer's keys were asked for a moment ago; send again"
                )
            self._tried = came
            self._fetch = asyncio.create_task(self._load())
            self._fetch.add_done_callback(_look_at)
        # Whoever waits may give up; the fetch goes on for the next one.
        await asyncio.shield(self._fetch)

    async def _load(self) -> None:
        begun = self._clock()
        try:
            self._keys = parse_key_set(await fetch(self._url))
            self._fetched = begun
        except MalformedError:
            raise KeysUnavailableError("the issuer's keys are no JWK Set") from None
        except (aiohttp.ClientError, TimeoutError, ValueError):
            raise KeysUnavailableError("the issuer's keys cannot be fetched") from None
        finally:
            self._fetch = None


def _look_at(task: asyncio.Task[None]) -> None:
    """Take note of how a fetch ended that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


async def fetch(url: str) -> bytes:
    """Return what stands behind a URL, of at most `MAX_KEY_SET` bytes.

    No redirect is followed, and nothing compressed is taken. Raises `ValueError` for
    any answer but 200, or a longer one, and what `aiohttp` raises.
    """
    async with (
        aiohttp.ClientSession(
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=FETCH_SECONDS),
        ) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}")
        data = bytearray()
        async for chunk in response.content.iter_chunked(16 << 10):
            data += chunk
            if len(data) > MAX_KEY_SET:
                raise ValueError("too long")
        return bytes(data)


def _state_of(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_KEY_SET + 1)
