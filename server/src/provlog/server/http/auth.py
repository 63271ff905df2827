"""Who asks, and what they may do: bearer tokens, roles, rates."""

from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from provlog.server.errors import RetiredError
from provlog.server.http.access import LOG, TOKEN
from provlog.server.http.context import SERVICE
from provlog.server.http.problems import Problem, rate_problem
from provlog.server.log import Log
from provlog.server.rates import Bucket
from provlog.server.service import Service
from provlog.server.storage.base import TokenRecord
from provlog.server.tokens import authenticate, reaches

SUBMITTER: Final = frozenset({"submitter"})
AUDITOR: Final = frozenset({"auditor"})
ADMIN: Final = frozenset({"admin"})
HOOK: Final = frozenset({"hook"})
MONITORS: Final = frozenset({"monitor", "auditor"})
"""Who reads what outsiders may read; an auditor sees the same and more."""
FOLLOWERS: Final = MONITORS | SUBMITTER
"""Who reads checkpoints and consistency proofs."""
ANYBODY: Final = frozenset({"submitter", "monitor", "auditor", "privacy", "admin"})


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may read a log; `token` is None for anybody, of a public log."""

    log: Log
    token: TokenRecord | None

    def has(self, role: str) -> bool:
        """Tell whether the caller's token reaches the log and has a role."""
        token = self.token
        return token is not None and reaches(token, self.log.id) and role in token.roles


@dataclass(frozen=True, slots=True)
class Caller:
    """A valid token that reaches a log and has the role that is needed."""

    log: Log
    token: TokenRecord


async def require_token(request: web.Request) -> TokenRecord:
    """Return the valid token of a request, or raise the problem (401)."""
    header = request.headers.get(hdrs.AUTHORIZATION)
    if header is None:
        raise _unauthenticated("send Authorization: Bearer plt_…", "")
    scheme, _, text = header.partition(" ")
    return await _authenticate(request, text if scheme.lower() == "bearer" else "")


async def _authenticate(request: web.Request, text: str) -> TokenRecord:
    service = request.app[SERVICE]
    token = await authenticate(service.storage, text, service.clock.now())
    if token is None:
        raise _unauthenticated(
            "the token is unknown, expired or revoked", ', error="invalid_token"'
        )
    request[TOKEN] = token.id
    return token


async def require_hook(request: web.Request) -> Caller:
    """Return who delivers to the hook of the path, or raise the problem.

    The token may be sent without "Bearer", as providers send what they were given. A
    log or source that it is not for is the same 404 as one that does not exist.
    """
    header = request.headers.get(hdrs.AUTHORIZATION, "")
    if header.startswith("plt_"):
        token = await _authenticate(request, header)
    else:
        token = await require_token(request)
    log = await _reached(request, token)
    require_role(token, HOOK)
    if request.match_info["source"] not in token.sources:
        raise Problem("not-found", "the token is for another source")
    await _turn(request, log, token)
    return Caller(log, token)


async def require_caller(request: web.Request, roles: frozenset[str]) -> Caller:
    """Return who calls for the log of the path, or raise the problem.

    Without a valid token 401; an unknown log and one that the token does not reach are
    the same 404; 403 where the token has none of `roles`.
    """
    token = await require_token(request)
    log = await _reached(request, token)
    require_role(token, roles)
    await _turn(request, log, token)
    return Caller(log, token)


async def require_reader(request: web.Request, roles: frozenset[str]) -> Reader:
    """Return who reads the log of the path: anybody, if the log is public."""
    name, logs = request.match_info["log"], request.app[SERVICE].logs
    public = logs.public(name)
    _require_living(logs.successor(name, None))
    if public is not None and hdrs.AUTHORIZATION not in request.headers:
        await _turn(request, public, None)
        return Reader(public, None)
    token = await require_token(request)
    log = public or await _reached(request, token)
    if not log.record.public:
        require_role(token, roles)
    await _turn(request, log, token)
    return Reader(log, token)


def require_role(token: TokenRecord, roles: frozenset[str]) -> None:
    """Raise the problem (403) where a token has none of the roles."""
    if roles.isdisjoint(token.roles):
        raise Problem("forbidden", f"this needs the role {' or '.join(sorted(roles))}")


def require_rate(service: Service, caller: Caller, events: int) -> None:
    """Take `events` from the rates of token and log, or raise the problem (429)."""
    _admit(service.rates.take(_buckets(service, caller), events))


def require_any_rate(service: Service, caller: Caller) -> None:
    """Raise the problem (429) where a rate would not take one event now."""
    _admit(service.rates.wait(_buckets(service, caller), 1))


def charge_rate(service: Service, caller: Caller, events: int) -> None:
    """Take `events` that came along with others from the rates in any case."""
    service.rates.charge(_buckets(service, caller), events)


def _buckets(service: Service, caller: Caller) -> list[Bucket]:
    token = caller.token
    own = None if token.rate is None else Bucket(token.id, token.rate)
    shared = service.log_rates.bucket(caller.log.record.name)
    return [bucket for bucket in (own, shared) if bucket is not None]


def _admit(seconds: float) -> None:
    if seconds > 0:
        raise rate_problem(seconds)


async def _turn(request: web.Request, log: Log, token: TokenRecord | None) -> None:
    """Let others work first whose turn it is."""
    sender = None if token is None else token.id
    await request.app[SERVICE].workplace.turn(log.id, sender)


async def _reached(request: web.Request, token: TokenRecord) -> Log:
    name = request.match_info["log"]
    logs = request.app[SERVICE].logs
    log = await logs.reached(name, token)
    _require_living(logs.successor(name, token))
    if log is None:
        raise Problem(
            "not-found", "there is no log of that name that the token reaches"
        )
    request[LOG] = log.record.name
    return log


def _require_living(successor: str | None) -> None:
    """Refuse a log that is retired, in whose place its successor goes on."""
    if successor is not None:
        raise RetiredError(successor)


def _unauthenticated(detail: str, error: str) -> Problem:
    challenge = {"WWW-Authenticate": f'Bearer realm="provlog"{error}'}
    return Problem("unauthenticated", detail, headers=challenge)
