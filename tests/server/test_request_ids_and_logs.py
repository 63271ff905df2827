"""Request ids, and what the server's log says of requests."""

import asyncio
import io
import json
import logging
import re
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from provlog.server.http.access import WARNINGS_A_SECOND, RequestLog
from provlog.server.http.app import HttpSettings, create_metrics_app
from provlog.server.intake.draft import Drafter
from provlog.server.journal import (
    REQUEST_ID,
    JsonFormatter,
    TextFormatter,
    log_unhandled,
)
from provlog.server.storage.base import StorageError
from support.events import event_json
from support.instances import Reply, RunnerServer, Served, served
from support.servers import Server

ID = re.compile(r"[0-9a-f]{16}")
SECRET = "alice@example.com"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


@pytest.fixture
async def talkative(tmp_path: Path) -> AsyncIterator[Served]:
    settings = HttpSettings(log_requests=True)
    async with served(tmp_path, settings=settings) as running:
        yield running


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Yield what a server with `--log-format json` would have written so far."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("provlog").addHandler(handler)
    yield stream
    logging.getLogger("provlog").removeHandler(handler)


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def id_of(reply: Reply) -> str:
    number = reply.headers["X-Request-Id"]
    assert ID.fullmatch(number)
    return number


async def test_every_answer_has_an_id_of_its_own(log: Served) -> None:
    replies = [await log.get("checkpoint"), await log.get("checkpoint")]
    replies += [await log.get("tile/0/000"), await log.get("/nowhere")]
    replies += [await log.post(event_json()), await log.post(b"{"), await log.batch([])]
    replies += [await log.get("/healthz"), await log.post({}, path="/healthz")]
    numbers = {id_of(reply) for reply in replies}
    assert len(numbers) == len(replies)
    app = create_metrics_app(log.service)
    async with (
        RunnerServer(app) as server,
        log.client.session.get(server.make_url("/metrics")) as answer,
    ):
        assert ID.fullmatch(answer.headers["X-Request-Id"])


async def test_an_id_that_a_client_sends_is_not_taken(log: Served) -> None:
    for sent in ("0123456789abcdef", SECRET):
        headers = {"X-Request-Id": sent}
        async with log.client.get("/healthz", headers=headers) as answer:
            assert answer.headers.getall("X-Request-Id") != [sent]
            assert ID.fullmatch(answer.headers["X-Request-Id"])


async def test_a_bug_is_found_by_the_id_of_its_answer(
    log: Served, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(Drafter, "event", fail)
    reply = await log.post(event_json())
    assert reply.json()["request_id"] == id_of(reply)
    bug, refusal = read(lines)
    assert bug["level"] == "error"
    assert bug["request_id"] == refusal["request_id"] == id_of(reply)
    assert "ValueError" in bug["message"]


async def test_lines_outside_of_requests_have_no_id(
    log: Served, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first request of all starts the task that commits for every other.
    await log.post(event_json(id="first"))

    async def fail(*_: object) -> None:
        raise StorageError("disk I/O error")

    monkeypatch.setattr(log.service.sequencer._path, "_trusted", fail)
    reply = await log.post(event_json(id="second"))
    committing, refusal = read(lines)
    assert committing["logger"] == "provlog.server.commit_path"
    assert "request_id" not in committing
    assert refusal["request_id"] == id_of(reply)
    assert REQUEST_ID.get() == ""


async def test_a_connection_s_next_request_has_another_id(log: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", log.client.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    text = (await asyncio.wait_for(reader.read(), 5)).decode()
    writer.close()
    assert len(set(re.findall(r"X-Request-Id: ([0-9a-f]{16})\r\n", text))) == 3


async def test_a_request_leaves_one_line_without_what_it_sent(
    talkative: Served, lines: io.StringIO
) -> None:
    replies = [
        await talkative.post(event_json(id=SECRET)),
        await talkative.get(
            f"entries?source=urn:okta:acme&id={SECRET}", role="submitter"
        ),
        await talkative.get(f"/nowhere/{SECRET}", role=None),
        await talkative.get(f"/logs/{SECRET}/checkpoint"),
    ]
    written = read(lines)
    assert [line["request_id"] for line in written] == [id_of(each) for each in replies]
    assert [line["status"] for line in written] == [201, 200, 404, 404]
    posted, found, nowhere, unknown = written
    token = talkative.made.tokens["submitter"].split("_")[1]
    assert posted["route"] == "POST /logs/{log}/events"
    assert (posted["token"], posted["log"], posted["level"]) == (token, "main", "info")
    assert posted["client"] == "127.0.0.1"
    assert posted["ms"] > 0
    assert found["route"] == "GET /logs/{log}/entries"
    assert nowhere["route"] == "unmatched"
    assert nowhere["problem"] == unknown["problem"] == "not-found"
    assert nowhere.keys().isdisjoint({"token", "log"})
    assert "log" not in unknown
    assert SECRET not in lines.getvalue()


async def test_a_token_that_is_not_valid_is_not_named(
    talkative: Served, lines: io.StringIO
) -> None:
    forged = talkative.made.tokens["monitor"][:-8] + "AAAAAAAA"
    headers = {"Authorization": f"Bearer {forged}"}
    async with talkative.client.get("/logs/main/checkpoint", headers=headers) as answer:
        assert answer.status == 401
    [line] = read(lines)
    assert line.keys().isdisjoint({"token", "log"})


async def test_without_the_option_only_refusals_of_ours_are_logged(
    log: Served, lines: io.StringIO
) -> None:
    await log.get("checkpoint")
    await log.get("/nowhere")
    log.log.halt("a test")
    reply = await log.post(event_json())
    assert reply.status == 503
    halted, refusal = read(lines)
    assert halted["level"] == "critical"
    assert (refusal["level"], refusal["status"]) == ("warning", 503)
    assert (refusal["problem"], refusal["request_id"]) == ("unavailable", id_of(reply))


async def test_a_failing_server_does_not_fill_its_log(lines: io.StringIO) -> None:
    seconds = 100.0
    request = make_mocked_request("GET", "/logs")
    request_log = RequestLog(clock=lambda: seconds)
    for _ in range(WARNINGS_A_SECOND + 7):
        request_log.note(request, 503, 0.001, "overloaded")
    assert len(read(lines)) == WARNINGS_A_SECOND
    seconds = 101.0
    request_log.note(request, 503, 0.001, "overloaded")
    *_, left_out, last = read(lines)
    assert left_out["message"].startswith("7 refusals more")
    assert last["status"] == 503


def record(message: str, *arguments: object, **more: Any) -> logging.LogRecord:  # noqa: ANN401
    return logging.getLogger("provlog.test").makeRecord(
        "provlog.test", logging.ERROR, "a.py", 1, message, arguments, **more
    )


def failure() -> Any:  # noqa: ANN401
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        return type(error), error, error.__traceback__


def test_a_line_of_json_is_one_object_with_what_was_given() -> None:
    given = {"log": "main", "size": 7, "none": None, "object": object(), "time": "no"}
    made = record("two\nlines of %s", "x", exc_info=failure(), extra=given)
    made.created = 1_795_283_636.0019
    held = REQUEST_ID.set("0123456789abcdef")
    text = JsonFormatter().format(made)
    REQUEST_ID.reset(held)
    assert "\n" not in text
    line = json.loads(text)
    exception = line.pop("exception")
    assert exception.startswith("ValueError\n")
    assert Path(__file__).name in exception
    assert SECRET not in text
    assert line == {
        "time": "2026-11-21T17:53:56.001Z",
        "level": "error",
        "logger": "provlog.test",
        "message": "two\nlines of x",
        "request_id": "0123456789abcdef",
        "log": "main",
        "size": 7,
        "none": None,
    }


def test_a_line_of_text_has_time_level_request_and_no_exception_s_text() -> None:
    made = record("it %s", "failed", exc_info=failure())
    made.created = 1_795_283_636.0019
    held = REQUEST_ID.set("0123456789abcdef")
    first, *further = TextFormatter().format(made).splitlines()
    REQUEST_ID.reset(held)
    assert first == (
        "2026-11-21T17:53:56.001Z ERROR provlog.test [0123456789abcdef]: it failed"
    )
    assert further[0] == "ValueError"
    assert SECRET not in "\n".join(further)


async def test_what_nobody_caught_is_logged_without_what_it_holds(
    lines: io.StringIO,
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_unhandled)

    def fail(value: str) -> None:
        raise ValueError(value)

    loop.call_soon(fail, SECRET)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    [line] = read(lines)
    assert "ValueError" in line["message"]
    assert SECRET not in lines.getvalue()


def test_serve_writes_what_it_is_asked_for(tmp_path: Path) -> None:
    server = Server.init(tmp_path)
    server.options = ("--log-format", "json", "--log-requests")
    with server:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=10) as answer:
            number = answer.headers["X-Request-Id"]
        _, errors = server.stop()
    [line] = [json.loads(line) for line in errors.splitlines()]
    assert (line["route"], line["request_id"]) == ("GET /healthz", number)
