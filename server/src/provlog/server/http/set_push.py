"""Security event tokens that are pushed: one (RFC 8935), or many in one request.

One token is answered 202 without a body once its entry is durable, whether it is new or
known: a transmitter that had no answer sends it again, and gets the same. A token that
does not verify is no event of the source: it is refused and counted, not logged. Where
nothing can be said of a token, because keys or the log are out of reach, the answer is
503, and the transmitter keeps it.

Many are those of draft-deshpande-secevent-http-multi-set-push-02: a token is in `ack`
once its entry is durable, in `setErrs` where it is refused, and in neither where it has
to come again. Nothing is acknowledged later than in the answer to its own request.

What is wrong with the transmitter (`authentication_failed`, `access_denied`) is said
with status 400 to one token, as RFC 8935 section 2.3 has it, and in the member `err` of
a problem to many.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from aiohttp import hdrs, web

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.merkle.event_tokens import MEDIA_TYPE
from provlog.server.http.auth import Caller
from provlog.server.http.context import SERVICE, VERIFIERS
from provlog.server.http.deliveries import log_records, received
from provlog.server.http.problems import Problem, problem_of
from provlog.server.http.responses import json_response
from provlog.server.intake.connectors.secevent import VERIFIED
from provlog.server.issuer_keys import KeysUnavailableError
from provlog.server.set_verifier import SetRefusedError, SetVerifier
from provlog.server.storage.base import SourceRecord

MEDIA_TYPE_OF_MANY: Final = "application/secevents+json"
MAX_SETS: Final = 100
"""How many tokens one request may push."""
MAX_BYTES: Final = 1024 * 1024
"""How long such a request may be; of a single token, as of an event, a quarter."""

_LANGUAGE: Final = {"Content-Language": "en"}
_CODES: Final = {
    "unauthenticated": "authentication_failed",
    "forbidden": "access_denied",
    "malformed": "invalid_request",
    "unsupported-media-type": "invalid_request",
}
"""What RFC 8935 calls a problem with the transmitter or its request. Others are general
conditions of HTTP, with their own status."""


class SetProblem(Problem):
    """The refusal of a single token, in the form of RFC 8935 section 2.3."""

    def __init__(self, slug: str, code: str, description: str) -> None:
        super().__init__(slug, description, headers=_LANGUAGE)
        self.status = 400
        self._body = {"err": code, "description": description}

    def response(self) -> web.Response:
        """Return the refusal as an answer."""
        return web.Response(
            body=msgspec.json.encode(self._body),
            status=self.status,
            content_type="application/json",
            headers=self.headers,
        )


@contextmanager
def set_answers(request: web.Request) -> Iterator[None]:
    """Say what is wrong in the way that transmitters of tokens read it."""
    try:
        yield
    except Exception as error:
        problem, media_type = problem_of(error), _media_type(request)
        code = None if problem is None else _CODES.get(problem.slug)
        if problem is None or code is None or isinstance(problem, SetProblem):
            raise
        if media_type == MEDIA_TYPE:
            raise SetProblem(problem.slug, code, problem.detail) from None
        if media_type == MEDIA_TYPE_OF_MANY:
            problem.more = {**problem.more, "err": code}
            raise problem from None
        raise


async def take_sets(
    request: web.Request, caller: Caller, source: SourceRecord
) -> web.Response:
    """Take the tokens of a push; say what became of them once they are durable."""
    verifier = request.app[VERIFIERS].find(caller.log.record.name, source.uri)
    match _media_type(request):
        case "application/secevent+jwt":
            return await _take_one(request, caller, source, verifier)
        case "application/secevents+json":
            return await _take_many(request, caller, source, verifier)
    raise Problem(
        "unsupported-media-type",
        f"tokens are pushed as {MEDIA_TYPE} or {MEDIA_TYPE_OF_MANY}",
    )


async def _take_one(
    request: web.Request, caller: Caller, source: SourceRecord, verifier: SetVerifier
) -> web.Response:
    async with received(request, caller, MAX_BYTES // 4) as body:
        # Characters of Latin-1 are none of a token's.
        text = body.decode("latin-1").strip(" \t\r\n")
        try:
            await verifier.verify(text)
        except SetRefusedError as error:
            raise SetProblem("refused-token", error.code, error.description) from None
        await _log(request, caller, source, [text])
    return web.Response(status=202)


async def _take_many(
    request: web.Request, caller: Caller, source: SourceRecord, verifier: SetVerifier
) -> web.Response:
    async with received(request, caller, MAX_BYTES) as body:
        sets = _parse(body)
        taken, refused = await _judge(verifier, sets)
        if taken:
            await _log(request, caller, source, [str(sets[jti]) for jti in taken])
    metrics = request.app[SERVICE].metrics
    for _ in refused:
        metrics.hook_refused("refused-token", source.uri)
    answer: dict[str, JsonValue] = {"ack": list[JsonValue](taken)}
    if refused:
        answer["setErrs"] = {
            jti: {"err": error.code, "description": error.description}
            for jti, error in refused.items()
        }
    response = json_response(answer, 202)
    if refused:
        response.headers.update(_LANGUAGE)
    return response


async def _judge(
    verifier: SetVerifier, sets: dict[str, JsonValue]
) -> tuple[list[str], dict[str, SetRefusedError]]:
    """Return the ids of the tokens that verify, and of those that do not, with why.

    Raises `KeysUnavailableError` where nothing can be said of any.
    """
    taken: list[str] = []
    refused: dict[str, SetRefusedError] = {}
    away: KeysUnavailableError | None = None
    for jti, text in sets.items():
        try:
            await verifier.verify_named(jti, text)
            taken.append(jti)
        except SetRefusedError as error:
            refused[jti] = error
        except KeysUnavailableError as error:
            away = error
        await asyncio.sleep(0)
    if away is not None and not taken and not refused:
        raise away
    return taken, refused


def _parse(body: bytes) -> dict[str, JsonValue]:
    """Return the member `sets` of a request; a name that stands twice is refused."""
    try:
        value = loads_json(body, "body")
    except MalformedError as error:
        raise Problem("malformed", str(error)) from None
    sets = value.get("sets") if isinstance(value, dict) else None
    if not isinstance(sets, dict):
        raise Problem("malformed", "the body is no object with an object sets")
    if len(sets) > MAX_SETS:
        raise Problem(
            "too-large",
            f"a request pushes at most {MAX_SETS} tokens",
            more={"err": "too_many_sets"},
        )
    return sets


async def _log(
    request: web.Request, caller: Caller, source: SourceRecord, texts: list[str]
) -> None:
    records = [text.encode("ascii") for text in texts]
    more: dict[str, JsonValue] = {"signature": "verified"}
    await log_records(request, caller, source, records, VERIFIED, more)


def _media_type(request: web.Request) -> str:
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
    return content_type.partition(";")[0].strip().lower()
