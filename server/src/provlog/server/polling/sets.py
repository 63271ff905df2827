"""Security event tokens that are polled (RFC 8936).

A transmitter hands a token out until it is acknowledged, so there is no place to go on
from: a page acknowledges what was committed of the page before, and only that. If we
die between the two, the token comes again, is found in the log, and is acknowledged. A
token that does not verify is no event of the source: it is reported in `setErrs` and
not logged. One of which nothing can be said, because keys are out of reach, is neither,
and comes again.

A round ends with a page that brings nothing, by which everything was acknowledged. The
cursor is the newest `iat`; nothing depends on it.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final

import msgspec
from yarl import URL

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.merkle.event_tokens import Claims
from provlog.server.intake.connectors.secevent import VERIFIED
from provlog.server.issuer_keys import KeysUnavailableError
from provlog.server.polling.feed import Feed, FetchError, Page, UnfitError
from provlog.server.polling.fetching import ANSWER_SECONDS, Fetcher
from provlog.server.polling.kinds import FeedKind
from provlog.server.polling.tokens import read_token
from provlog.server.set_verifier import SetRefusedError, SetVerifier, make_verifier
from provlog.server.source_settings import SourceSettings

logger = logging.getLogger(__name__)

MAX_SETS: Final = 1000
"""How many tokens are taken from one answer, however many were asked for."""
MAX_ANSWER: Final = 8 * 1024 * 1024
DEFAULT_EVENTS: Final = 100


class SetPoll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[poll]` of a source of tokens.

    `url` is the transmitter's endpoint for this stream, `token_file` holds the bearer
    token for it, `max_events` is how many tokens are asked for at a time.
    """

    url: str
    token_file: str
    max_events: Annotated[int, msgspec.Meta(ge=1, le=MAX_SETS)] = DEFAULT_EVENTS


class SetFeed:
    """The tokens of one stream of a transmitter.

    `token` returns what is sent as authorization, with its scheme or as `Bearer`.
    """

    def __init__(
        self,
        poll: SetPoll,
        token: Callable[[], str],
        verifier: SetVerifier,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        origin, self._path = split_url(poll.url)
        self._fetcher = Fetcher(origin, lambda: authorization(token()), seconds)
        self._most = poll.max_events
        self._verifier = verifier
        self._durable: dict[str, None] = {}
        self._refused: dict[str, SetRefusedError] = {}
        self._number = 0

    async def page(self, since: int, link: str | None) -> Page:  # noqa: ARG002
        """Return what the transmitter holds, and acknowledge what is durable of it.

        `since` has no meaning here: a transmitter keeps what was not acknowledged.
        """
        durable, refused = [*self._durable], dict(self._refused)
        answer = await self._fetcher.post(
            self._path,
            self._request(),
            "application/json",
            MAX_ANSWER,
            language="en" if refused else None,
        )
        # The transmitter has heard of these.
        for jti in durable:
            del self._durable[jti]
        for jti in refused:
            del self._refused[jti]
        taken = await self._judge(_parse(answer.body))
        # A transmitter that hands out again what it was just told of is left alone
        # until the next round.
        fresh = {*taken, *self._refused} - {*durable, *refused}
        self._number += 1
        return Page(
            [text.encode("ascii") for text, _ in taken.values()],
            [_milliseconds(claims) for _, claims in taken.values()],
            str(self._number) if fresh else None,
            answer.clock,
            answer.pause,
            settles=False,
            committed=partial(self._durable.update, dict.fromkeys(taken)),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._fetcher.close()
        await self._verifier.close()

    def _request(self) -> bytes:
        body: dict[str, JsonValue] = {
            "maxEvents": self._most,
            "returnImmediately": True,
        }
        if self._durable:
            body["ack"] = list[JsonValue](self._durable)
        if self._refused:
            body["setErrs"] = {
                jti: {"err": error.code, "description": error.description}
                for jti, error in self._refused.items()
            }
        return msgspec.json.encode(body)

    async def _judge(self, sets: dict[str, JsonValue]) -> dict[str, tuple[str, Claims]]:
        """Return the tokens that verify, with their claims; note those that do not.

        Raises `FetchError` where nothing can be said of any.
        """
        taken: dict[str, tuple[str, Claims]] = {}
        away: KeysUnavailableError | None = None
        for jti, text in sets.items():
            try:
                found = await self._verifier.verify_named(jti, text)
                taken[jti] = str(text), found.claims
            except SetRefusedError as error:
                self._refused[jti] = error
                logger.warning("a token was refused: %s", error)
            except KeysUnavailableError as error:
                away = error
            await asyncio.sleep(0)
        if away is not None and not taken and not self._refused:
            raise FetchError(str(away))
        return taken


def authorization(token: str) -> str:
    """Return the value of the header: `Bearer` unless the token names its scheme."""
    return token if " " in token else f"Bearer {token}"


def split_url(url: str) -> tuple[str, str]:
    """Return the origin of an endpoint's URL, and its path with the query.

    Raises `UnfitError`.
    """
    try:
        parsed = URL(url)
        origin = str(parsed.origin())
    except ValueError:
        raise UnfitError("url starts with https:// and a host") from None
    if parsed.user is not None or parsed.password is not None or parsed.fragment:
        raise UnfitError("url is a place alone; use token_file")
    return origin, parsed.raw_path_qs


def _parse(body: bytes) -> dict[str, JsonValue]:
    """Return the member `sets` of an answer (RFC 8936 section 2.3)."""
    try:
        value = loads_json(body, "a page")
    except MalformedError as error:
        raise FetchError(f"a page cannot be read: {error}") from None
    sets = value.get("sets") if isinstance(value, dict) else None
    if not isinstance(sets, dict):
        raise FetchError("a page is no object with an object sets")
    if len(sets) > MAX_SETS:
        raise FetchError(f"a page holds more than {MAX_SETS} tokens")
    return sets


def _milliseconds(claims: Claims) -> int:
    """Return when a token was issued; 0 where no clock could show it."""
    iat = claims.all["iat"]
    sound = isinstance(iat, int | float) and 0 <= iat < 2**40
    return int(iat * 1000) if sound and isinstance(iat, int | float) else 0


def _make(poll: SetPoll, settings: SourceSettings) -> Feed:
    path = settings.file(poll.token_file)
    read_token(path)
    return SetFeed(poll, partial(read_token, path), make_verifier(settings))


KIND: Final = FeedKind(
    SetPoll, _make, connector=VERIFIED, ingest={"signature": "verified"}
)
