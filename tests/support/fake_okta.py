"""A server on the loopback that behaves as Okta documents its System Log API.

Without `until` a request is a polling request: `since` is compared with the time a
record was stored at, records come in the order they were stored in, and every answer
has a link to the next page, an empty one too. Only the documented is believed: other
parameters, orders and tokens are refused.
"""

import asyncio
import gzip
import itertools
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any, TypeAlias

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provlog.merkle.encoding import format_time, parse_time
from support.okta import GROUP, USER, okta_record
from support.services import now_ms

TOKEN = "00Qz-secret-of-the-test_x"
DAY = 86_400_000
Fault: TypeAlias = Callable[
    [web.Request, web.Response], web.StreamResponse | Awaitable[web.StreamResponse]
]
_PARAMETERS = {"since", "sortOrder", "limit", "after"}
_serial = itertools.count(1)


def okta_bytes(published: int | str | None = None, **members: Any) -> bytes:  # noqa: ANN401
    """Return a record as Okta sends it, with an id of its own unless one is given."""
    if published is None:
        published = now_ms()
    members.setdefault("uuid", f"uuid-{next(_serial):06}")
    members["published"] = (
        published if isinstance(published, str) else format_time(published)
    )
    return json.dumps(okta_record(USER, GROUP, **members)).encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was made: its query, and the header with the token."""

    query: dict[str, str]
    authorization: str | None
    status: int


@dataclass
class FakeOkta:
    """The records of one organisation, and what goes wrong with its next answers.

    `skew` is how far its clock is ahead of ours, `page` the most records it gives at a
    time, `faults` are the names of `fault_*` methods, one for each coming request, None
    for a good answer.
    """

    page: int = 1000
    skew: int = 0
    authorization: str = f"SSWS {TOKEN}"
    remaining: int = 50
    url: str = ""
    elsewhere: str = ""
    stored: list[tuple[int, bytes]] = field(default_factory=list)
    faults: deque[str | None] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    foreign: list[str | None] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    on_page: Callable[[int], Awaitable[None]] | None = None

    def now(self) -> int:
        """Return Okta's own time in Unix milliseconds."""
        return now_ms() + self.skew

    def store(self, *records: bytes, at: int | None = None) -> None:
        """Store records now, or at a time, after all that was stored before."""
        at = self.now() if at is None else at
        if self.stored:
            at = max(at, self.stored[-1][0])
        self.stored += [(at, record) for record in records]

    @property
    def records(self) -> list[bytes]:
        """Every record there is."""
        return [record for _, record in self.stored]

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /api/v1/logs`."""
        fault = self.faults.popleft() if self.faults else None
        answer = await self._answer(request, fault)
        self.asked.append(
            Asked(
                dict(request.query),
                request.headers.get("Authorization"),
                answer.status,
            )
        )
        return answer

    async def anything(self, request: web.Request) -> web.Response:
        """Take what should never arrive: a request for something else."""
        self.foreign.append(request.headers.get("Authorization"))
        return web.Response(text="[]")

    async def _answer(
        self, request: web.Request, fault: str | None
    ) -> web.StreamResponse:
        if request.headers.get("Authorization") != self.authorization:
            return web.json_response({"errorCode": "E0000011"}, status=401)
        if not set(request.query) <= _PARAMETERS or len(request.query) != len(
            set(request.query)
        ):
            return web.json_response({"errorCode": "E0000001"}, status=400)
        limit = int(request.query.get("limit", "100"))
        order = request.query.get("sortOrder", "ASCENDING")
        if not 1 <= limit <= 1000 or order != "ASCENDING":
            return web.json_response({"errorCode": "E0000001"}, status=400)
        start = self._start(request)
        found = self.records[start : start + min(limit, self.page)]
        if self.on_page is not None:
            await self.on_page(len(found))
        answer = self._page(found, start + len(found), limit)
        if fault is None:
            return answer
        make: Fault = getattr(self, f"fault_{fault}")
        changed = make(request, answer)
        return changed if isinstance(changed, web.StreamResponse) else await changed

    def _start(self, request: web.Request) -> int:
        if "after" in request.query:
            return int(request.query["after"].removeprefix("+/=&").removesuffix("_1"))
        since = self.now() - 7 * DAY
        if "since" in request.query:
            since = parse_time(request.query["since"])
        since = max(since, self.now() - 90 * DAY)
        return sum(at < since for at, _ in self.stored)

    def _page(self, records: Sequence[bytes], after: int, limit: int) -> web.Response:
        answer = web.Response(
            body=b"[" + b",\n".join(records) + b"]", content_type="application/json"
        )
        self._link(answer, f"{self.url}/api/v1/logs?{_after(after)}&limit={limit}")
        answer.headers["Date"] = formatdate(self.now() / 1000, usegmt=True)
        answer.headers["X-Rate-Limit-Limit"] = "60"
        answer.headers["X-Rate-Limit-Remaining"] = str(self.remaining)
        answer.headers["X-Rate-Limit-Reset"] = str(self.now() // 1000 + 30)
        return answer

    def _link(self, answer: web.Response, *targets: str) -> None:
        answer.headers.popall("Link", None)
        answer.headers.add("Link", f'<{self.url}/api/v1/logs?limit=20>; rel="self"')
        for target in targets:
            answer.headers.add("Link", f'<{target}>; rel="next"')

    def fault_429(self, _: web.Request, answer: web.Response) -> web.Response:
        refused = web.json_response({"errorCode": "E0000047"}, status=429)
        for name in ("Date", "X-Rate-Limit-Limit", "X-Rate-Limit-Reset"):
            refused.headers[name] = answer.headers[name]
        refused.headers["X-Rate-Limit-Remaining"] = "0"
        return refused

    def fault_500(self, _: web.Request, __: web.Response) -> web.Response:
        return web.Response(text="<html>Ann's data</html>", status=500)

    def fault_503(self, _: web.Request, __: web.Response) -> web.Response:
        return web.Response(status=503)

    def fault_403(self, _: web.Request, __: web.Response) -> web.Response:
        return web.json_response({"errorCode": "E0000006"}, status=403)

    def fault_drop(self, request: web.Request, answer: web.Response) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return answer

    async def fault_truncated(
        self, request: web.Request, answer: web.Response
    ) -> web.StreamResponse:
        """Announce the whole body, send half of it and close."""
        assert isinstance(answer.body, bytes)
        half = web.StreamResponse(headers=answer.headers)
        half.content_length = len(answer.body)
        await half.prepare(request)
        await half.write(answer.body[: len(answer.body) // 2])
        assert request.transport is not None
        request.transport.close()
        return half

    async def fault_slow(
        self, request: web.Request, answer: web.Response
    ) -> web.StreamResponse:
        """Send the beginning, and then nothing as long as this server runs."""
        slow = web.StreamResponse(headers=answer.headers)
        await slow.prepare(request)
        await slow.write(b"[")
        await self.ended.wait()
        return slow

    def fault_cut(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send a body that ends early and does not say so."""
        assert isinstance(answer.body, bytes)
        answer.body = answer.body[:-3]
        return answer

    def fault_object(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b'{"errorCode": "E0000009"}'
        return answer

    def fault_lines(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send what the connector would read, but this API never sends."""
        answer.body = b'{"uuid": "line-1"}\n{"uuid": "line-2"}\n'
        return answer

    def fault_scalars(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b'[{"uuid": "among-scalars"}, 7]'
        return answer

    def fault_gzip(self, _: web.Request, answer: web.Response) -> web.Response:
        assert isinstance(answer.body, bytes)
        answer.body = gzip.compress(answer.body)
        answer.headers["Content-Encoding"] = "gzip"
        return answer

    def fault_redirect(self, _: web.Request, __: web.Response) -> web.Response:
        return web.Response(
            status=302, headers={"Location": f"{self.elsewhere}/api/v1/logs"}
        )

    def fault_no_link(self, _: web.Request, answer: web.Response) -> web.Response:
        self._link(answer)
        return answer

    def fault_two_links(self, _: web.Request, answer: web.Response) -> web.Response:
        page = f"{self.url}/api/v1/logs?after="
        self._link(answer, page + "1_1", page + "2_1")
        return answer

    def fault_link_elsewhere(
        self, _: web.Request, answer: web.Response
    ) -> web.Response:
        self._link(answer, f"{self.elsewhere}/api/v1/logs?{_after(0)}")
        return answer

    def fault_link_with_user(
        self, _: web.Request, answer: web.Response
    ) -> web.Response:
        rest = self.url.removeprefix("http://")
        self._link(answer, f"http://a:b@{rest}/api/v1/logs?{_after(0)}")
        return answer

    def fault_link_up(self, _: web.Request, answer: web.Response) -> web.Response:
        self._link(answer, f"{self.url}/api/v1/users?{_after(0)}")
        return answer

    def fault_link_nowhere(self, _: web.Request, answer: web.Response) -> web.Response:
        self._link(answer, f"{self.url}/api/v1/logs?limit=100")
        return answer

    def fault_link_long(self, _: web.Request, answer: web.Response) -> web.Response:
        self._link(answer, f"{self.url}/api/v1/logs?after={'9' * 5000}")
        return answer

    def fault_link_no_url(self, _: web.Request, answer: web.Response) -> web.Response:
        self._link(answer, "http://[::1/api/v1/logs?after=1")
        return answer

    def fault_circle(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send the records, and a link to the beginning."""
        self._link(answer, f"{self.url}/api/v1/logs?{_after(0)}&limit=1000")
        return answer

    def fault_twice(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send each record of the page two times."""
        assert isinstance(answer.body, bytes)
        inner = answer.body[1:-1]
        answer.body = b"[" + inner + b"," + inner + b"]"
        return answer


def _after(place: int) -> str:
    # Okta's cursors are opaque; one with signs that have to survive the way back.
    return f"after=%2B%2F%3D%26{place}_1"


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return what serves 127.0.0.1 with a certificate of no authority's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@asynccontextmanager
async def fake_okta(
    certificate: ssl.SSLContext | None = None,
    **settings: Any,  # noqa: ANN401
) -> AsyncIterator[FakeOkta]:
    """Run a fake Okta on a free port, and another server that nobody should ask."""
    okta = FakeOkta(**settings)
    app, other = web.Application(), web.Application()
    app.router.add_get("/api/v1/logs", okta.logs)
    app.router.add_route("*", "/{tail:.*}", okta.anything)
    other.router.add_route("*", "/{tail:.*}", okta.anything)
    runners = [
        web.AppRunner(each, access_log=None, shutdown_timeout=0.2)
        for each in (app, other)
    ]
    try:
        urls = [await _start(runner, certificate) for runner in runners]
        okta.url, okta.elsewhere = urls
        yield okta
    finally:
        okta.ended.set()
        for runner in runners:
            await runner.cleanup()


async def _start(runner: web.AppRunner, certificate: ssl.SSLContext | None) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=certificate).start()
    host, port = runner.addresses[0][:2]
    return f"{'https' if certificate else 'http'}://{host}:{port}"
