"""A server on the loopback that behaves as Google documents its Reports API.

It has the activities of one domain, by application. `startTime` is compared with the
time an activity carries; those that arrived late are there only from then on. The
newest come first, in pages that opaque tokens link; a token belongs to the query that
it was given for, and may have been forgotten. The token endpoint checks the grant: who
signed it, for whom, for how long. Only what is documented is believed: other
parameters, scopes and tokens are refused.
"""

import asyncio
import base64
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from provlog.merkle.encoding import parse_time
from provlog.server.intake.times import normalise_time
from support.services import now_ms

DAY: Final = 86_400_000
ADMIN: Final = "reports-reader@acme.example"
EMAIL: Final = "provlog@acme-audit.iam.gserviceaccount.com"
SCOPE: Final = "https://www.googleapis.com/auth/admin.reports.audit.readonly"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PREFIX: Final = "/admin/reports/v1/activity/users/all/applications/"
APPLICATIONS: Final = ("admin", "groups_enterprise", "user_accounts", "token")
_PARAMETERS: Final = {"startTime", "endTime", "maxResults", "pageToken"}
_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for activities: the application, its query, and how it was answered."""

    application: str
    query: dict[str, str]
    authorization: str | None
    status: int


@dataclass(frozen=True, slots=True)
class _Stored:
    time: int
    record: bytes
    arrives: int


@dataclass
class FakeGoogle:
    """The activities of one domain, and what goes wrong with its next answers.

    `skew` is how far its clock is ahead of ours, `page` the most it gives at a time,
    `faults` are the names of `fault_*` methods, one for each coming request for
    activities, None for a good answer; `refusals` the same for the token endpoint.
    """

    page: int = 1000
    skew: int = 0
    seconds: int = 3599
    url: str = ""
    elsewhere: str = ""
    stored: dict[str, list[_Stored]] = field(default_factory=dict)
    faults: deque[str | None] = field(default_factory=deque)
    refusals: deque[int] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    grants: list[dict[str, Any]] = field(default_factory=list)
    foreign: list[str | None] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    links: dict[str, tuple[tuple[str, ...], int]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)

    def now(self) -> int:
        """Return Google's own time in Unix milliseconds."""
        return now_ms() + self.skew

    def store(
        self, *records: bytes, application: str = "admin", arrives: int = 0
    ) -> None:
        """Store activities, which are there from a moment on."""
        listed = self.stored.setdefault(application, [])
        listed += [_Stored(_time_of(each), each, arrives) for each in records]

    @property
    def records(self) -> list[bytes]:
        """Every activity there is by now."""
        now = self.now()
        return [
            each.record
            for listed in self.stored.values()
            for each in listed
            if each.arrives <= now
        ]

    def key_file(self, **members: str) -> str:
        """Return the key of the account, as Google hands it out."""
        pem = _KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "acme-audit",
                "private_key_id": "0f9a",
                "private_key": pem.decode(),
                "client_email": EMAIL,
                "token_uri": f"{self.url}/token",
                **members,
            },
            indent=2,
        )

    async def token(self, request: web.Request) -> web.Response:
        """Answer the token endpoint."""
        if self.refusals:
            status = self.refusals.popleft()
            return web.json_response({"error": "internal_failure"}, status=status)
        form = await request.post()
        claims = _verified(str(form.get("assertion", "")))
        if form.get("grant_type") != GRANT or claims is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.grants.append(claims)
        now = self.now() // 1000
        fresh = now - 300 <= claims["iat"] <= now + 300
        bounded = 0 < claims["exp"] - claims["iat"] <= 3600
        if claims["aud"] != f"{self.url}/token" or not fresh or not bounded:
            return web.json_response({"error": "invalid_grant"}, status=400)
        if (claims["iss"], claims["sub"], claims["scope"]) != (EMAIL, ADMIN, SCOPE):
            return web.json_response({"error": "unauthorized_client"}, status=401)
        token = f"ya29.{secrets.token_urlsafe(16)}"
        self.tokens.add(token)
        return web.json_response(
            {"access_token": token, "expires_in": self.seconds, "token_type": "Bearer"}
        )

    async def activities(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for the activities of an application."""
        fault = self.faults.popleft() if self.faults else None
        application = request.match_info["application"]
        answer = self._answer(request, application)
        if fault is not None:
            changed = getattr(self, f"fault_{fault}")(request, answer)
            answer = changed if isinstance(changed, web.Response) else await changed
        authorization = request.headers.get("Authorization")
        query = dict(request.query)
        self.asked.append(Asked(application, query, authorization, answer.status))
        return answer

    async def anything(self, request: web.Request) -> web.Response:
        """Take what should never arrive: a request for something else."""
        self.foreign.append(request.headers.get("Authorization"))
        return web.Response(text="{}")

    def _answer(self, request: web.Request, application: str) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        if authorization.removeprefix("Bearer ") not in self.tokens:
            return _refusal(401, "authError")
        query = request.query
        limit = int(query.get("maxResults", "1000"))
        known = set(query) <= _PARAMETERS and len(query) == len(set(query))
        if application not in APPLICATIONS or not known or not 1 <= limit <= 1000:
            return _refusal(400, "invalid")
        asked, place = _asked(application, query), 0
        if "pageToken" in query:
            # What a token was given for, with another limit if need be.
            expected = self.links.get(query["pageToken"])
            if expected is None or expected[0] != asked:
                return _refusal(400, "invalid")
            place = expected[1]
        found = self._found(*asked)
        page = found[place : place + min(limit, self.page)]
        return self._page(asked, page, place, more=len(found))

    def _found(self, application: str, start: str, end: str) -> list[bytes]:
        now = self.now()
        since = max(parse_time(start), now - 180 * DAY)
        until = parse_time(end) if end else now
        there = [
            each
            for each in self.stored.get(application, [])
            # What is dated in the future is there as well; an edge is nobody's.
            if each.arrives <= now
            and each.time > since
            and (not end or each.time < until)
        ]
        return [each.record for each in sorted(there, key=lambda each: -each.time)]

    def _page(
        self, asked: tuple[str, ...], page: Sequence[bytes], place: int, more: int
    ) -> web.Response:
        members = [b'"kind":"admin#reports#activities"', b'"etag":"\\"Zk_h3\\""']
        if page:
            members.append(b'"items":[' + b",\n".join(page) + b"]")
        after = place + len(page)
        if after < more:
            # With signs that have to survive the way back.
            token = f"A.{asked[0]}+/={after}&{secrets.token_hex(4)}"
            self.links[token] = (asked, after)
            members.append(b'"nextPageToken":' + json.dumps(token).encode())
        answer = web.Response(
            body=b"{" + b",\n ".join(members) + b"}", content_type="application/json"
        )
        answer.headers["Date"] = formatdate(self.now() / 1000, usegmt=True)
        return answer

    def fault_429(self, _: web.Request, __: web.Response) -> web.Response:
        refused = _refusal(429, "rateLimitExceeded")
        refused.headers["Retry-After"] = "30"
        return refused

    def fault_403_rate(self, _: web.Request, __: web.Response) -> web.Response:
        return _refusal(403, "userRateLimitExceeded", "usageLimits")

    def fault_403_quota(self, _: web.Request, __: web.Response) -> web.Response:
        return _refusal(403, "quotaExceeded", "usageLimits")

    def fault_403(self, _: web.Request, __: web.Response) -> web.Response:
        return _refusal(403, "forbidden")

    def fault_403_off(self, _: web.Request, __: web.Response) -> web.Response:
        """Refuse as where the Admin SDK is not switched on for the project."""
        return _refusal(403, "accessNotConfigured", "usageLimits")

    def fault_403_long(self, _: web.Request, __: web.Response) -> web.Response:
        """Refuse at a length at which nobody looks for a reason."""
        return web.Response(text=" " * 100_000 + '{"error": {}}', status=403)

    def fault_401(self, _: web.Request, __: web.Response) -> web.Response:
        """Forget every access token, as when they were revoked."""
        self.tokens.clear()
        return _refusal(401, "authError")

    def fault_500(self, _: web.Request, __: web.Response) -> web.Response:
        return web.Response(text="<html>Ann's data</html>", status=500)

    def fault_503(self, _: web.Request, __: web.Response) -> web.Response:
        return _refusal(503, "backendError")

    def fault_expired(self, _: web.Request, __: web.Response) -> web.Response:
        """Forget the token of the page, and every other."""
        self.links.clear()
        return _refusal(400, "invalid")

    def fault_cut(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send a body that ends early and does not say so."""
        assert isinstance(answer.body, bytes)
        answer.body = answer.body[:-3]
        return answer

    def fault_array(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send what the connector would read, but this API never sends."""
        answer.body = b'[{"kind": "admin#reports#activity"}]'
        return answer

    def fault_other(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b'{"kind": "admin#directory#users", "users": []}'
        return answer

    def fault_nothing(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b"{}"
        return answer

    def fault_scalars(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b'{"kind": "admin#reports#activities", "items": [{"a": 1}, 7]}'
        return answer

    def fault_link_number(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b'{"kind": "admin#reports#activities", "nextPageToken": 7}'
        return answer

    def fault_link_long(self, _: web.Request, answer: web.Response) -> web.Response:
        token = json.dumps("9" * 5000).encode()
        answer.body = (
            b'{"kind": "admin#reports#activities", "nextPageToken": ' + token + b"}"
        )
        return answer

    def fault_redirect(self, _: web.Request, __: web.Response) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{self.elsewhere}/"})

    def fault_circle(self, request: web.Request, answer: web.Response) -> web.Response:
        """Send a page that leads to itself."""
        body = {"kind": "admin#reports#activities", "nextPageToken": "again"}
        asked = _asked(request.match_info["application"], request.query)
        self.links["again"] = (asked, 0)
        answer.body = json.dumps(body).encode()
        return answer

    def fault_twice(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send each activity of the page two times."""
        assert isinstance(answer.body, bytes)
        page = json.loads(answer.body)
        raw = answer.body.split(b'"items":[')[1].rsplit(b"]", 1)[0]
        page.pop("items")
        head = json.dumps(page).encode()[:-1]
        answer.body = head + b', "items": [' + raw + b"," + raw + b"]}"
        return answer


def _asked(application: str, query: Mapping[str, str]) -> tuple[str, str, str]:
    return application, query.get("startTime", ""), query.get("endTime", "")


def _refusal(status: int, reason: str, domain: str = "global") -> web.Response:
    error = {"domain": domain, "reason": reason, "message": "Not Ann's business."}
    body = {"error": {"code": status, "message": "No.", "errors": [error]}}
    return web.json_response(body, status=status)


def _time_of(record: bytes) -> int:
    """Return when an activity is dated; one without a date, at the beginning."""
    try:
        return parse_time(normalise_time(json.loads(record)["id"]["time"]))
    except (ValueError, KeyError, TypeError):
        return 0


def _verified(assertion: str) -> dict[str, Any] | None:
    """Return the claims of a JWT that the account's key signed, None for others."""
    try:
        head, claims, signature = assertion.split(".")
        header = json.loads(_decoded(head))
        signed = f"{head}.{claims}".encode()
        public = _KEY.public_key()
        public.verify(_decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
    except (ValueError, InvalidSignature):
        return None
    if header != {"alg": "RS256", "kid": "0f9a", "typ": "JWT"}:
        return None
    read: dict[str, Any] = json.loads(_decoded(claims))
    return read if read.keys() == {"iss", "sub", "scope", "aud", "iat", "exp"} else None


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@asynccontextmanager
async def fake_google(**settings: Any) -> AsyncIterator[FakeGoogle]:  # noqa: ANN401
    """Run a fake Google on a free port, and another server that nobody should ask."""
    google = FakeGoogle(**settings)
    app, other = web.Application(), web.Application()
    app.router.add_get(PREFIX + "{application}", google.activities)
    app.router.add_post("/token", google.token)
    for each in (app, other):
        each.router.add_route("*", "/{tail:.*}", google.anything)
    runners = [
        web.AppRunner(each, access_log=None, shutdown_timeout=0.2)
        for each in (app, other)
    ]
    try:
        google.url, google.elsewhere = [await _start(runner) for runner in runners]
        yield google
    finally:
        google.ended.set()
        for runner in runners:
            await runner.cleanup()


async def _start(runner: web.AppRunner) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


def write_settings(folder: Path, google: FakeGoogle, **poll: object) -> Path:
    """Write the key file, and the source's settings beside it; return their path."""
    key = folder / "google-key.json"
    key.write_text(google.key_file())
    key.chmod(0o600)
    table = {"key_file": key.name, "subject": ADMIN, "url": google.url, **poll}
    lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    path = folder / "google.toml"
    path.write_text("\n".join(['source = "urn:google:acme"', "[poll]", *lines, ""]))
    return path
