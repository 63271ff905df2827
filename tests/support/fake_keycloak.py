"""A server on the loopback that behaves as Keycloak's token endpoint and admin API.

Events are handed out newest first, by `first` and `max`; those of one millisecond have
no order among them, and another one with each request, as a database may have it.
Only what older versions know is taken too: no direction, no time in milliseconds.
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web

from provlog.merkle.encoding import JsonValue
from support.keycloak import keycloak_bytes
from support.services import now_ms

DAY = 86_400_000
CLIENT_ID = "provlog"
CLIENT_SECRET = "Zq8-secret-of-the-test"
REALM = "acme"
_PARAMETERS = {"first", "max", "type"}
_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was made for events, and how it was answered."""

    path: str
    query: dict[str, str]
    authorization: str | None
    status: int


@dataclass
class FakeKeycloak:
    """One realm, and what goes wrong with its next answers.

    `skew` is how far its clock is ahead of ours, `most` the most events it gives at a
    time. `uses` is how many requests a token is good for, whatever it says. `faults`
    are names of `fault_*` methods, one for each coming request for events, None for a
    good answer. `on_page` is awaited when a page was made and before it is sent.
    """

    base: str = ""
    realm: str = REALM
    most: int = 100_000
    skew: int = 0
    uses: int = 1_000_000
    url: str = ""
    expires_in: int = 60
    secret: str = CLIENT_SECRET
    allowed: bool = True
    admin: list[tuple[int, bytes]] = field(default_factory=list)
    users: list[tuple[int, bytes]] = field(default_factory=list)
    faults: deque[str | None] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    grants: list[dict[str, str]] = field(default_factory=list)
    on_page: Callable[[int], Awaitable[None]] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _tokens: dict[str, int] = field(default_factory=dict)

    def now(self) -> int:
        """Return Keycloak's own time in Unix milliseconds."""
        return now_ms() + self.skew

    def store(self, *times: int, **members: Any) -> list[bytes]:  # noqa: ANN401
        """Store an admin event of each time; return them."""
        records = [keycloak_bytes(time, **members) for time in times]
        self.admin += zip(times, records, strict=True)
        return records

    def expire(self, before: int) -> None:
        """Delete the admin events dated before a time, as the realm's expiration."""
        self.admin = [each for each in self.admin if each[0] >= before]

    @property
    def records(self) -> list[bytes]:
        """Every event there is."""
        return [record for _, record in (*self.admin, *self.users)]

    async def token(self, request: web.Request) -> web.Response:
        """Answer a grant of client credentials."""
        self._require_realm(request)
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.grants.append(form)
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if (form.get("client_id"), form.get("client_secret")) != (
            CLIENT_ID,
            self.secret,
        ):
            said = {"error": "unauthorized_client", "error_description": "Invalid"}
            return web.json_response(said, status=401)
        token = f"eyJ-{next(_serial)}"
        self._tokens[token] = self.uses
        answer = {"access_token": token, "expires_in": self.expires_in}
        return web.json_response({**answer, "token_type": "Bearer", "scope": ""})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET …/admin-events` and `GET …/events`."""
        fault = self.faults.popleft() if self.faults else None
        answer = await self._answer(request, fault)
        self.asked.append(
            Asked(
                request.path,
                {name: request.query[name] for name in request.query},
                request.headers.get("Authorization"),
                answer.status,
            )
        )
        return answer

    async def _answer(
        self, request: web.Request, fault: str | None
    ) -> web.StreamResponse:
        self._require_realm(request)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self._tokens.get(token, 0) < 1:
            return web.json_response({"error": "HTTP 401 Unauthorized"}, status=401)
        self._tokens[token] -= 1
        if not self.allowed:
            return web.json_response({"error": "HTTP 403 Forbidden"}, status=403)
        if not set(request.query) <= _PARAMETERS:
            return web.json_response({"error": "unknown"}, status=400)
        first = int(request.query.get("first", "0"))
        most = min(int(request.query.get("max", "100")), self.most)
        found = self._ordered(request)[first : first + most]
        if self.on_page is not None:
            await self.on_page(first)
        answer = web.Response(
            body=b"[" + b",".join(found) + b"]", content_type="application/json"
        )
        answer.headers["Date"] = formatdate(self.now() / 1000, usegmt=True)
        if fault is None:
            return answer
        changed: web.StreamResponse = await getattr(self, f"fault_{fault}")(
            request, answer
        )
        return changed

    def _require_realm(self, request: web.Request) -> None:
        if request.match_info["realm"] != self.realm:
            raise web.HTTPNotFound

    def _ordered(self, request: web.Request) -> list[bytes]:
        """Return the events, the newest first; of one time in any order."""
        if request.path.endswith("/admin-events"):
            chosen = list(self.admin)
        else:
            kinds = request.query.getall("type", [])
            chosen = [each for each in self.users if _kind(each[1]) in kinds]
        if len(self.asked) % 2:
            chosen.reverse()
        return [record for _, record in sorted(chosen, key=lambda each: -each[0])]

    async def fault_500(self, _: web.Request, __: web.Response) -> web.Response:
        return web.json_response({"error": "unknown_error of ann's"}, status=500)

    async def fault_503(self, _: web.Request, __: web.Response) -> web.Response:
        return web.Response(status=503)

    async def fault_429(self, _: web.Request, __: web.Response) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    async def fault_drop(
        self, request: web.Request, answer: web.Response
    ) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return answer

    async def fault_cut(self, _: web.Request, answer: web.Response) -> web.Response:
        assert isinstance(answer.body, bytes)
        answer.body = answer.body[:-3]
        return answer

    async def fault_object(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b'{"error": "no"}'
        return answer

    async def fault_scalars(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b'[{"id": "among-scalars"}, 7]'
        return answer

    async def fault_redirect(self, _: web.Request, __: web.Response) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{self.url}/elsewhere"})

    async def fault_twice(self, _: web.Request, answer: web.Response) -> web.Response:
        assert isinstance(answer.body, bytes)
        inner = answer.body[1:-1]
        answer.body = b"[" + inner + b"," + inner + b"]" if inner else b"[]"
        return answer


def _kind(record: bytes) -> JsonValue:
    value: JsonValue = json.loads(record)["type"]
    return value


@asynccontextmanager
async def fake_keycloak(**settings: Any) -> AsyncIterator[FakeKeycloak]:  # noqa: ANN401
    """Run a fake Keycloak on a free port."""
    fake = FakeKeycloak(**settings)
    app = web.Application()
    token = f"{fake.base}/realms/{{realm}}/protocol/openid-connect/token"
    app.router.add_post(token, fake.token)
    for name in ("admin-events", "events"):
        app.router.add_get(f"{fake.base}/admin/realms/{{realm}}/{name}", fake.events)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        fake.url = f"http://{host}:{port}"
        yield fake
    finally:
        fake.ended.set()
        await runner.cleanup()
