"""The local port of a spool: 202 means on disk, everything else means nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from provlog.client.errors import UsageError
from provlog.client.outbox import listening
from provlog.client.outbox.listening import Listener, parse_address, read_token
from provlog.client.outbox.spool import Spool
from provlog.client.outbox.views import read_status
from support.leak_markers import personal_markers
from support.outboxes import meddle, small

TOKEN = "a-token-of-the-hr-system"
BATCH = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"
JSON = "application/json"

Reply = tuple[int, Any]


class Port:
    def __init__(self, spool: Spool, url: str, session: aiohttp.ClientSession) -> None:
        self.spool = spool
        self.url = url
        self._session = session

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        kind: str | None = JSON,
        **headers: str,
    ) -> Reply:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        whole = {"Authorization": f"Bearer {TOKEN}", **headers}
        if kind is not None:
            whole["Content-Type"] = kind
        async with self._session.request(
            method, self.url + path, data=data, headers=whole
        ) as answer:
            text = await answer.text()
            for marker in personal_markers():
                assert marker not in text
            return answer.status, (
                json.loads(text) if "json" in answer.content_type else text
            )

    def ids(self) -> list[str | None]:
        return [each.id for each in self.spool.batch()]


@asynccontextmanager
async def served(spool: Spool, token: str | None = TOKEN) -> AsyncIterator[Port]:
    listener = Listener(spool, token)
    async with listener.serving("127.0.0.1", 0) as url, aiohttp.ClientSession() as own:
        yield Port(spool, url, own)


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    spool = Spool(tmp_path / "spool", max_events=5)
    async with served(spool) as running:
        yield running
    spool.close()


async def test_events_are_taken_in_every_form(port: Port) -> None:
    one, two, three = small(1), small(2), small(3)
    lines = json.dumps(two).encode() + b"\n" + json.dumps(three).encode()
    assert await port.ask("POST", "/events", one) == (202, {"queued": 1})
    assert await port.ask("POST", "/events", lines, LINES) == (202, {"queued": 2})
    assert await port.ask("POST", "/events", [small(4)], BATCH) == (202, {"queued": 1})
    kind = "application/cloudevents+json; charset=utf-8"
    assert await port.ask("POST", "/events", small(5), kind) == (202, {"queued": 1})
    assert port.ids() == ["s1", "s2", "s3", "s4", "s5"]


async def test_records_are_taken_as_they_are(port: Port) -> None:
    raw = b'{"uuid":"u1",  "a":1.50}\n{bad'
    path = "/records?format=okta&source=urn:okta:a"
    assert await port.ask("POST", path, raw, None) == (202, {"queued": 1})
    [item] = port.spool.batch()
    assert (item.body, item.format, item.source) == (raw, "okta", "urn:okta:a")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b'{"source":"bob@example.com"}', JSON, 400),
        ([small(1)], JSON, 400),
        (small(1), BATCH, 400),
        ([small(1), 7], BATCH, 400),
        (json.dumps(small(1)).encode() * 2, JSON, 400),
        (json.dumps(small(1)).encode() + b"\nbob@example.com", LINES, 400),
        (b'{"a":1,"a":2}', JSON, 400),
        (small(1), "text/plain", 415),
        (small(1), None, 415),
        (b"[" * 100_000, BATCH, 400),
    ],
)
async def test_what_is_no_event_is_refused_whole_and_not_repeated(
    port: Port, body: object, kind: str | None, status: int
) -> None:
    answered, problem = await port.ask("POST", "/events", body, kind)
    assert answered == status
    assert problem["status"] == status
    assert len(problem["detail"]) < 300
    assert port.ids() == []


async def test_records_need_format_and_source(port: Port) -> None:
    for query in (
        "",
        "?format=okta",
        "?format=okta&source=a&more=1",
        "?format=&source=a",
    ):
        status, _ = await port.ask("POST", f"/records{query}", b'{"uuid":1}')
        assert status == 400
    path = "/records?format=okta&source=a"
    assert (await port.ask("POST", path, b"neither"))[0] == 400
    assert port.ids() == []


async def test_more_than_a_body_may_have_is_refused(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MAX_BODY", 100)
    event = small(1, data="x" * 100)
    assert (await port.ask("POST", "/events", event))[0] == 413


async def test_compressed_and_binary_mode_are_refused(port: Port) -> None:
    gzip = {"Content-Encoding": "gzip"}
    assert (await port.ask("POST", "/events", small(1), **gzip))[0] == 415
    binary = {"ce-id": "1"}
    assert (await port.ask("POST", "/events", small(1), **binary))[0] == 415


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"],
)
async def test_without_the_token_nothing_is_taken_or_told(
    port: Port, authorization: str
) -> None:
    headers = {"Authorization": authorization}
    for method, path in (("POST", "/events"), ("GET", "/status"), ("GET", "/nothing")):
        status, _ = await port.ask(method, path, small(1), **headers)
        assert status == 401
    assert (await port.ask("GET", "/healthz", **headers))[0] == 200
    assert (await port.ask("GET", "/metrics", **headers))[0] == 200
    assert port.ids() == []


async def test_a_page_in_a_browser_is_refused(port: Port) -> None:
    origin = {"Origin": "http://127.0.0.1:8480"}
    assert (await port.ask("POST", "/events", small(1), **origin))[0] == 403
    assert port.ids() == []


async def test_a_full_spool_is_503_and_says_when_to_come_back(port: Port) -> None:
    events = [small(number) for number in range(6)]
    async with port._session.post(
        f"{port.url}/events",
        data=json.dumps(events),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": BATCH},
    ) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "10"
    assert port.ids() == []


async def test_too_many_at_once_are_asked_to_come_back(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MAX_IN_HAND", 0)
    assert (await port.ask("POST", "/events", small(1)))[0] == 503


async def test_a_body_that_does_not_arrive_is_not_waited_for(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "BODY_SECONDS", 0.05)
    host, _, number = port.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(number))
    writer.write(
        b"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"
        b"Content-Type: application/json\r\nAuthorization: Bearer "
        + TOKEN.encode()
        + b"\r\n\r\n{"
    )
    assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_spool_that_cannot_be_used_is_no_success(port: Port) -> None:
    port.spool.path.rename(port.spool.path.with_name("elsewhere"))
    status, problem = await port.ask("POST", "/events", small(1))
    assert status == 500
    assert str(port.spool.path) not in problem["detail"]
    assert (await port.ask("GET", "/healthz"))[0] == 500


async def test_status_and_metrics_say_what_is_in_it(port: Port) -> None:
    await port.ask("POST", "/events", small(1))
    meddle(port.spool.path, "UPDATE items SET queued = queued - 60000")
    status, told = await port.ask("GET", "/status")
    assert (status, told["waiting"], told["failed"]) == (200, 1, 0)
    page = (await port.ask("GET", "/metrics"))[1]
    values = dict(
        line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")
    )
    assert float(values["provlog_spool_waiting"]) == 1
    assert 60 <= float(values["provlog_spool_oldest_age_seconds"]) < 600
    assert read_status(port.spool).waiting == 1


async def test_a_clock_that_went_back_makes_no_negative_age(port: Port) -> None:
    await port.ask("POST", "/events", small(1))
    meddle(port.spool.path, "UPDATE items SET queued = queued + 9999999")
    page = (await port.ask("GET", "/metrics"))[1]
    assert "\nprovlog_spool_oldest_age_seconds 0.0\n" in page


async def test_other_methods_and_paths_are_refused(port: Port) -> None:
    assert (await port.ask("PUT", "/events", small(1)))[0] == 405
    assert (await port.ask("GET", "/nothing"))[0] == 404


async def test_without_a_token_anybody_on_this_machine_is_let_in(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path / "spool")
    async with served(spool, None) as port:
        reply = await port.ask("POST", "/events", small(1), Authorization="")
        assert reply[0] == 202
    spool.close()


def test_other_machines_are_let_in_only_on_purpose() -> None:
    assert parse_address("127.0.0.1:8480", insecure=False) == ("127.0.0.1", 8480)
    assert parse_address("[::1]:0", insecure=False) == ("::1", 0)
    assert parse_address("0.0.0.0:1", insecure=True) == ("0.0.0.0", 1)
    for text in ("0.0.0.0:8480", "hr.example:8480"):
        with pytest.raises(UsageError, match="--insecure"):
            parse_address(text, insecure=False)
    for text in ("8480", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999"):
        with pytest.raises(UsageError, match="HOST:PORT"):
            parse_address(text, insecure=False)


def test_a_token_is_read_from_a_private_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        read_token(path)
    # What systemd hands to a service alone may show an access list as the group's.
    path.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_token(path) == TOKEN
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    path.chmod(0o600)
    for text in ("short", "", "no token of sixteen\nlines"):
        path.write_text(text)
        with pytest.raises(UsageError, match="not a token"):
            read_token(path)
    with pytest.raises(UsageError):
        read_token(tmp_path / "missing")
