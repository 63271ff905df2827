"""What the SCIM proxy passes on, in both directions, and what it refuses."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from provlog.server.http.addresses import parse_network
from provlog.server.scim_proxy.settings import ProxySettings
from support import raw_http
from support.fake_scim import FakeScim, Proxied, fake_scim, proxied

LOOPBACK = parse_network("127.0.0.0/8")


@pytest.fixture
async def scim() -> AsyncIterator[FakeScim]:
    async with fake_scim() as scim:
        yield scim


@pytest.fixture
async def proxy(scim: FakeScim) -> AsyncIterator[Proxied]:
    async with proxied(scim) as proxy:
        yield proxy


async def raw(proxy: Proxied, request: bytes) -> bytes:
    """Return all that comes back for bytes that are sent, until the end."""
    address = URL(proxy.url)
    assert address.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


async def test_reads_pass_without_a_record(proxy: Proxied) -> None:
    status, body, headers = await proxy.ask("GET", "/v2/Users?filter=x%20eq%20%22y%22")
    assert (status, json.loads(body)["id"]) == (200, "u1")
    assert headers["ETag"] == 'W/"1"'
    await proxy.ask("POST", "/v2/.search", json={})
    await proxy.ask("POST", "/v2/Users/.search", json={})
    await proxy.ask("OPTIONS", "/v2/Users")
    assert proxy.book.records == []
    seen = [f"{each.method} {each.path}" for each in proxy.scim.seen]
    assert seen == [
        "GET /v2/Users?filter=x%20eq%20%22y%22",
        "POST /v2/.search",
        "POST /v2/Users/.search",
        "OPTIONS /v2/Users",
    ]


async def test_the_answer_to_head_says_the_length_and_has_no_body(
    proxy: Proxied,
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 77, content_type="application/scim+json")

    proxy.scim.handler = answer
    status, body, headers = await proxy.ask("HEAD", "/Users/u1")
    assert (status, body, headers["Content-Length"]) == (200, b"", "77")


async def test_a_change_passes_as_it_came(proxy: Proxied) -> None:
    sent = b'{ "userName":"ann" ,"active": true}'
    fields = {
        "Content-Type": "application/scim+json; charset=utf-8",
        "Authorization": "Bearer s3cret",
        "If-Match": 'W/"7"',
        "User-Agent": "Entra",
        "Accept": "application/scim+json",
        "Host": "scim.acme.example",
    }
    status, _, headers = await proxy.ask(
        "PUT", "/v2/Users/a%2Fb%20c?attributes=x", data=sent, headers=fields
    )
    assert status == 200
    assert headers["Location"] == "https://scim.example/v2/Users/u1"
    (seen,) = proxy.scim.seen
    assert (seen.path, seen.body) == ("/v2/Users/a%2Fb%20c?attributes=x", sent)
    for name, value in fields.items():
        assert seen.field(name) == value
    assert seen.field("Accept-Encoding") == "gzip, deflate"  # the caller's own


async def test_nothing_is_added_that_the_caller_did_not_send(proxy: Proxied) -> None:
    request = b"DELETE /Users/u1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert b" 204 " in await raw(proxy, request)
    (seen,) = proxy.scim.seen
    assert {name.lower() for name, _ in seen.headers} == {
        "content-length",
        "host",
        "via",
        "provlog-request-id",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    }
    assert seen.body == b""


async def test_fields_of_one_hop_are_not_passed_on(proxy: Proxied) -> None:
    async def answer(_: web.Request) -> web.Response:
        fields = {"Connection": "X-Inner", "X-Inner": "1", "Keep-Alive": "timeout=9"}
        return web.Response(text="{}", headers=fields | {"X-Outer": "2"})

    proxy.scim.handler = answer
    sent = {
        "Connection": "keep-alive, X-Mine",
        "X-Mine": "1",
        "Keep-Alive": "5",
        "TE": "trailers",
        "Proxy-Authorization": "Basic eA==",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AA",
        "X-Kept": "yes",
    }
    _, _, headers = await proxy.ask("POST", "/Users", json={}, headers=sent)
    (seen,) = proxy.scim.seen
    names = {name.lower() for name, _ in seen.headers}
    assert "x-kept" in names
    assert not names & {each.lower() for each in sent if each != "X-Kept"}
    assert headers["X-Outer"] == "2"
    assert not {"X-Inner", "Keep-Alive"} & {*headers}


async def test_strangers_cannot_say_who_they_are_called_for(proxy: Proxied) -> None:
    forged = {
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Host": "evil",
        "Forwarded": "x",
    }
    assert await proxy.change(headers=forged | {"X-Forwarded-Proto": "https"}) == 201
    (seen,) = proxy.scim.seen
    assert seen.field("X-Forwarded-For") == "127.0.0.1"
    assert seen.field("X-Forwarded-Proto") == "http"
    assert seen.field("X-Forwarded-Host") == URL(proxy.url).authority
    assert seen.field("Forwarded") is None
    assert proxy.book.last["ip"] == "127.0.0.1"


async def test_a_trusted_proxy_is_believed(scim: FakeScim) -> None:
    settings = ProxySettings(
        URL(), proxies=(LOOPBACK,), certificate_header="X-Client-Cert"
    )
    fields = {
        "X-Forwarded-For": "192.0.2.9",
        "X-Forwarded-Proto": "https",
        "X-Client-Cert": "CN=entra",
    }
    async with proxied(scim, settings) as proxy:
        assert await proxy.change(headers=fields) == 201
    assert scim.seen[0].field("X-Forwarded-For") == "192.0.2.9, 127.0.0.1"
    assert scim.seen[0].field("X-Forwarded-Proto") == "https"
    assert proxy.book.last["ip"] == "192.0.2.9"
    assert proxy.book.last["caller"] == {"id": "CN=entra", "type": "certificate"}
    async with proxied(
        scim, ProxySettings(URL(), certificate_header="X-Client-Cert")
    ) as p:
        assert await p.change(headers=fields) == 201
    assert scim.seen[1].field("X-Client-Cert") is None
    assert p.book.last["caller"] == {"type": "anonymous"}


async def test_the_public_url_and_the_server_s_own_name_can_be_told(
    scim: FakeScim,
) -> None:
    settings = ProxySettings(
        URL(), own_host=True, public_url="https://scim.acme.example:8443/x"
    )
    async with proxied(scim, settings) as proxy:
        assert await proxy.change(headers={"Host": "other.example"}) == 201
    (seen,) = scim.seen
    assert seen.field("Host") == URL(scim.url).authority
    assert seen.field("X-Forwarded-Host") == "scim.acme.example:8443"
    assert seen.field("X-Forwarded-Proto") == "https"


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../admin",
        "/v2/%2e%2e/admin",
        "/v2/.%2E/admin",
        "/v2/..;x=1/admin",
        "/v2/%2e%2e%2fadmin",
        "/v2/..%5cadmin",
        "/v2/./Users",
        "/v2\\..\\admin",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_path_that_climbs_is_refused(
    proxy: Proxied, method: str, path: str
) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await raw(proxy, request.encode())).startswith(b"HTTP/1.1 400")
    assert proxy.scim.seen == []


async def test_it_is_no_open_proxy(proxy: Proxied) -> None:
    async with fake_scim() as other:
        for request in (
            f"GET {other.url}/Users HTTP/1.1\r\nHost: other.example\r\n",
            f"GET //{URL(other.url).authority}/Users HTTP/1.1\r\nHost: x\r\n",
            f"GET /@{URL(other.url).authority}/Users HTTP/1.1\r\nHost: x\r\n",
        ):
            await raw(proxy, (request + "Connection: close\r\n\r\n").encode())
        await raw(
            proxy, f"CONNECT {URL(other.url).authority} HTTP/1.1\r\n\r\n".encode()
        )
        assert other.seen == []


_BODY = b"5\r\n{    \r\n1\r\n}\r\n0\r\n\r\n"
_CLOSE = b"Host: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /Users HTTP/1.1\r\n" + _CLOSE + b"Content-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + _BODY,
        b"POST /Users HTTP/1.1\r\n" + _CLOSE + b"Content-Length: 2\r\n"
        b"Content-Length: 30\r\n\r\n{}",
        b"POST /Users HTTP/1.1\r\n" + _CLOSE + b"Transfer-Encoding: gzip, chunked"
        b"\r\n\r\n" + _BODY,
        b"POST /Users HTTP/1.1\r\n" + _CLOSE + b"Transfer-Encoding: chunked\r\n"
        b"Transfer-Encoding: identity\r\n\r\n" + _BODY,
        b"POST /Users HTTP/1.1\r\n"
        + _CLOSE
        + b"Transfer-Encoding : chunked\r\n\r\n"
        + _BODY,
        b"POST /Users HTTP/1.1\r\n" + _CLOSE + b"Content-Length: +2\r\n\r\n{}",
        b"POST /Users HTTP/1.1\r\n" + _CLOSE + b"Content-Length: 2\r\n"
        b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\n{}",
        b"POST /Users HTTP/1.1\r\n" + _CLOSE + b"Content-Length: 2\r\n"
        b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n{}",
    ],
    ids=["both", "two", "other", "twice", "blank", "sign", "codings", "callers"],
)
async def test_a_body_that_two_servers_could_read_differently_is_refused(
    proxy: Proxied, request_: bytes
) -> None:
    assert b" 400 " in (await raw(proxy, request_)).partition(b"\r\n")[0]
    assert proxy.scim.seen == []
    assert proxy.book.records == []


@pytest.mark.parametrize(
    ("method", "fields", "status"),
    [
        ("TRACE", {}, 405),
        ("PROPFIND", {}, 405),
        ("GET", {"X-HTTP-Method-Override": "DELETE"}, 400),
        ("POST", {"X-Method-Override": "PATCH"}, 400),
        ("GET", {"X_HTTP_Method-Override": "DELETE"}, 400),
        ("PUT", {"Connection": "close, Content-Encoding"}, 400),
        ("PUT", {"Connection": "Authorization"}, 400),
    ],
)
async def test_methods_that_could_change_something_unseen_are_refused(
    proxy: Proxied, method: str, fields: dict[str, str], status: int
) -> None:
    answered, body, _ = await proxy.ask(method, "/Users/u1", headers=fields)
    assert answered == status
    assert json.loads(body)["schemas"] == [
        "urn:ietf:params:scim:api:messages:2.0:Error"
    ]
    assert proxy.scim.seen == []


async def test_chunks_and_a_body_that_was_asked_for_pass(proxy: Proxied) -> None:
    request = (
        b"POST /Users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n" + _BODY
    )
    answer = await raw(proxy, request)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201")
    (seen,) = proxy.scim.seen
    assert seen.body == b"{    }"
    assert seen.field("Expect") is None
    assert seen.field("Content-Length") == "6"
    assert proxy.book.last["request"] == {}


async def test_packed_bodies_pass_packed_and_are_read_for_the_record(
    proxy: Proxied,
) -> None:
    async def answer(_: web.Request) -> web.Response:
        packed = gzip.compress(b'{"id":"u5"}')
        return web.Response(
            status=201, body=packed, headers={"Content-Encoding": "gzip"}
        )

    proxy.scim.handler = answer
    sent = gzip.compress(b'{"userName":"ann","password":"s3cret"}')
    _, body, headers = await proxy.ask(
        "POST", "/Users", data=sent, headers={"Content-Encoding": "gzip"}
    )
    assert gzip.decompress(body) == b'{"id":"u5"}'
    assert headers["Content-Encoding"] == "gzip"
    assert proxy.scim.seen[0].body == sent
    assert proxy.book.last["request"] == {"userName": "ann", "password": "[redacted]"}
    assert proxy.book.last["response"] == {"id": "u5"}


async def test_a_redirect_is_passed_on_and_not_followed(proxy: Proxied) -> None:
    async with fake_scim() as other:

        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": other.url})

        proxy.scim.handler = answer
        assert await proxy.change() == 307
        assert other.seen == []
    assert proxy.book.last["status"] == 307


async def test_cookies_pass_and_are_kept_by_nobody(scim: FakeScim) -> None:
    async def answer(_: web.Request) -> web.Response:
        response = web.Response(text="{}")
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        return response

    scim.handler = answer
    # By a name: of addresses no cookies would be kept in any case.
    scim.url = scim.url.replace("127.0.0.1", "localhost")
    async with proxied(scim) as proxy:
        _, _, headers = await proxy.ask("GET", "/Users", headers={"Cookie": "c=3"})
        assert headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert scim.seen[0].field("Cookie") == "c=3"
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            await session.get(f"{proxy.url}/Users")
    assert scim.seen[1].field("Cookie") is None


async def test_what_is_no_http_reaches_nobody(proxy: Proxied) -> None:
    answer = await asyncio.to_thread(raw_http.exchange, proxy.url, b"NONSENSE\r\n\r\n")
    assert answer.status == 400
    assert proxy.scim.seen == []
