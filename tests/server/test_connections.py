"""Connections that do next to nothing are not kept, and keep nobody out."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from provlog.server.http.connections import Connection
from provlog.server.http.roster import ConnectionSettings
from provlog.server.tls import ServerCertificate
from support.edges import HEALTH, Edge, Hook, Pair, listening
from support.services import append, draft

LOOPS = ("asyncio", "uvloop")
OK = b"HTTP/1.1 200 OK\r\n"


@contextlib.asynccontextmanager
async def serving(
    folder: Path, before_answer: Hook | None = None, **bounds: float
) -> AsyncIterator[Edge]:
    settings = ConnectionSettings(sweep_seconds=0.02, **bounds)  # type: ignore[arg-type]
    async with listening(folder, settings, None, before_answer) as edge:
        yield edge


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes = HEALTH
) -> bytes:
    """Return the body that answers a request on a connection that stays open."""
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    return await asyncio.wait_for(reader.readexactly(length), 5)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what still comes until the server closes the connection."""
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""


async def test_an_idle_connection_is_closed_in_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, keepalive_seconds=0.3) as edge:
        reader, writer = await edge.connect()
        assert b"ok" in await ask(reader, writer)
        assert b"ok" in await ask(reader, writer)
        assert await ended(reader) == b""
        assert edge.dropped("idle") == 1


async def test_who_never_asks_is_closed(tmp_path: Path) -> None:
    async with serving(tmp_path, head_seconds=0.2) as edge:
        reader, _ = await edge.connect()
        assert await ended(reader) == b""
        assert edge.dropped("head") == 1


@pytest.mark.parametrize("asked_before", [False, True])
async def test_a_head_that_trickles_is_not_waited_for(
    tmp_path: Path, asked_before: bool
) -> None:
    async with serving(tmp_path, head_seconds=0.3) as edge:
        reader, writer = await edge.connect()
        if asked_before:
            assert b"ok" in await ask(reader, writer)

        async def trickle() -> None:
            writer.write(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        assert await ended(reader) == b""
        assert edge.dropped("head") == 1
        trickling.cancel()


async def test_between_requests_there_is_no_hurry(tmp_path: Path) -> None:
    async with serving(tmp_path, head_seconds=0.1) as edge:
        reader, writer = await edge.connect()
        assert b"ok" in await ask(reader, writer)
        patient, _ = await edge.connect()
        assert await ended(patient) == b""  # it never asked, and is gone
        assert b"ok" in await ask(reader, writer)
        assert edge.dropped("head") == 1


async def test_a_request_in_pieces_is_answered(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        reader, writer = await edge.connect()
        for _ in range(2):
            for piece in (HEALTH[:10], HEALTH[10:30]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)
            assert b"ok" in await ask(reader, writer, HEALTH[30:])


def _head(*fields: bytes, line: bytes = b"GET /healthz HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: x", *fields, b"", b""])


@pytest.mark.parametrize(
    "request_head",
    [
        _head(line=b"GET /healthz?" + b"x" * 9000 + b" HTTP/1.1"),
        _head(b"X-Long: " + b"x" * 9000),
        _head(b"X" * 9000 + b": long"),
        _head(*(b"X-%d: 1" % number for number in range(200))),
        _head(line=b"\x16\x03\x01\x02\x00\x01\x00"),
        _head(line=b"GET / SPAM/9"),
        _head(b"No colon"),
        _head(b"Content-Length: 1", b"Content-Length: 2"),
        b"GET /healthz HTTP/1.1\r\n" + b"X-Endless: 1\r\n" * 20_000,
    ],
    ids=range(9),
)
async def test_a_head_over_the_limits_is_a_problem_and_no_line_in_the_log(
    tmp_path: Path, request_head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as edge:
        reader, writer = await edge.connect()
        writer.write(request_head)
        head, _, body = (await ended(reader)).partition(b"\r\n\r\n")
        assert head.split()[1] == b"400"
        assert b"application/problem+json" in head
        assert b"aiohttp" not in head
        assert json.loads(body)["type"] == "urn:provlog:problem:malformed"
        assert await edge.asks() == OK
        assert caplog.messages == []


async def test_a_head_of_many_good_fields_has_a_limit_in_all(tmp_path: Path) -> None:
    async with serving(tmp_path, head_bytes=20_000) as edge:
        reader, writer = await edge.connect()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        roster = edge.runner.connections.roster
        await edge.until(lambda: len(roster) == 1)
        for number in range(6):
            writer.write(b"X-%d: %s\r\n" % (number, b"x" * 4000))
            await asyncio.sleep(0.01)
        assert await ended(reader) == b""
        assert edge.dropped("head") == 1
        assert await edge.asks() == OK


SIZE = 24_000_000  # more than any buffer takes


async def enlarge(request: web.Request, response: web.StreamResponse) -> None:
    assert isinstance(response, web.Response)
    response.body = b"x" * SIZE
    response.headers["Content-Length"] = str(SIZE)
    request.writer.length = SIZE


async def stick(
    edge: Edge, context: ssl.SSLContext | None = None
) -> asyncio.WriteTransport:
    """Ask, and do not take the answer."""
    _, writer = await edge.connect(context)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(HEALTH)
    return writer.transport


@pytest.mark.parametrize("tls", [False, True])
async def test_who_does_not_take_its_answer_is_cut(tmp_path: Path, tls: bool) -> None:
    pair = Pair.make(tmp_path)
    certificate = ServerCertificate(pair.chain, pair.key) if tls else None
    trust = pair.trust() if tls else None
    settings = ConnectionSettings(sweep_seconds=0.02, write_seconds=0.5)
    async with listening(tmp_path / "s", settings, certificate, enlarge) as edge:
        await stick(edge, trust)
        await edge.until(lambda: edge.dropped("slow") == 1)
        assert len(edge.runner.connections.roster) == 0
        assert len(await ask(*await edge.connect(trust))) == SIZE


@pytest.mark.parametrize("tls", [False, True])
async def test_who_takes_its_answer_slowly_is_not_idle(
    tmp_path: Path, tls: bool
) -> None:
    pair = Pair.make(tmp_path)
    certificate = ServerCertificate(pair.chain, pair.key) if tls else None
    settings = ConnectionSettings(sweep_seconds=0.02, keepalive_seconds=0.3)
    async with listening(tmp_path / "s", settings, certificate, enlarge) as edge:
        reader, writer = await edge.connect(pair.trust() if tls else None)
        writer.write(HEALTH)
        await reader.readuntil(b"\r\n\r\n")
        taken = 0
        begun = asyncio.get_running_loop().time()
        # For longer than anybody may be idle, far from the end of the answer.
        while asyncio.get_running_loop().time() < begun + 1:
            taken += len(await reader.readexactly(50_000))
            await asyncio.sleep(0.02)
        assert taken < SIZE // 2
        await asyncio.wait_for(reader.readexactly(SIZE - taken), 10)
        assert edge.dropped("idle") == 0


async def test_answers_that_nobody_takes_are_bounded_in_all(tmp_path: Path) -> None:
    async with serving(tmp_path, enlarge, answer_bytes=2 * SIZE) as edge:
        stuck = [await stick(edge) for _ in range(4)]
        await edge.until(lambda: edge.dropped("slow") == 2)
        assert len(edge.runner.connections.roster) == 2
        for each in stuck:
            each.abort()


async def test_who_takes_nothing_keeps_nobody_out(tmp_path: Path) -> None:
    async with serving(tmp_path, enlarge, most=2, stalled_seconds=0) as edge:
        stuck = [await stick(edge) for _ in range(2)]
        roster = edge.runner.connections.roster
        await edge.until(lambda: len(roster._stalled) == 2)
        assert len(await ask(*await edge.connect())) == SIZE
        assert edge.dropped("room") == 1
        for each in stuck:
            each.abort()


async def test_what_follows_the_last_request_keeps_no_connection(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, most=1) as edge:
        reader, writer = await edge.connect()
        assert b"ok" in await ask(reader, writer)
        [connection] = edge.runner.connections.connections
        assert isinstance(connection, Connection)
        assert connection._link is not None
        # Its end waits for the client to take what was sent before.
        connection._messages.append(connection._messages)  # type: ignore[arg-type]
        assert connection.has_work()
        connection._link.close()
        assert not connection.has_work()


async def test_who_has_been_idle_longest_makes_room(tmp_path: Path) -> None:
    async with serving(tmp_path, most=3) as edge:
        clients = [await edge.connect() for _ in range(3)]
        for reader, writer in (clients[1], clients[0], clients[2]):
            assert b"ok" in await ask(reader, writer)
        # Who asked last stays, whoever came first.
        newcomer = await edge.connect()
        assert b"ok" in await ask(*newcomer)
        assert await ended(clients[1][0]) == b""
        assert await edge.asks() == OK
        assert await ended(clients[0][0]) == b""
        assert b"ok" in await ask(*clients[2])
        assert edge.dropped("room") == 2


@pytest.mark.parametrize("tls", [False, True])
async def test_a_burst_beyond_the_cap_leaves_nobody_hanging(
    tmp_path: Path, tls: bool
) -> None:
    pair = Pair.make(tmp_path)
    certificate = ServerCertificate(pair.chain, pair.key) if tls else None
    settings = ConnectionSettings(most=50)
    async with listening(tmp_path / "served", settings, certificate) as edge:
        # All at once, so that many have to go before they are established.
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.socket()) for _ in range(300)]
            for client in clients:
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(("127.0.0.1", edge.port))
            await edge.until(lambda: edge.dropped("room") == 250)
            await edge.until(lambda: _open(clients) == 50)
            assert len(edge.runner.connections.roster) == 50
            assert len(edge.runner.connections.connections) <= 50
            assert await edge.asks(pair.trust() if tls else None) == OK


def _open(clients: list[socket.socket]) -> int:
    """Return how many connections the server has not closed."""
    count = 0
    for client in clients:
        try:
            client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            count += 1
        except ConnectionResetError:
            pass
    return count


async def test_who_is_being_answered_does_not_give_way(tmp_path: Path) -> None:
    async with serving(tmp_path, most=2) as edge:
        token = edge.made.tokens["monitor"]
        poll = (
            "GET /logs/main/checkpoint?newer_than=1&timeout=60 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()
        polls = [await edge.connect() for _ in range(2)]
        for _, writer in polls:
            writer.write(poll)
        roster = edge.runner.connections.roster
        await edge.until(lambda: len(roster) == 2 and not roster._idle)
        # Nobody is idle: the new one is closed, and nobody else.
        reader, writer = await edge.connect()
        assert await ended(reader) == b""
        assert edge.dropped("full") == 1
        log = await edge.service.log("main")
        assert log is not None
        await append(edge.service, log, draft(log, "one"))
        for reader, _ in polls:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert head.startswith(OK)
        assert await edge.asks() == OK


async def test_pipelining_is_bounded(tmp_path: Path) -> None:
    held = asyncio.Event()

    async def hold(_: web.Request, __: web.StreamResponse) -> None:
        await held.wait()

    async with serving(tmp_path, hold) as edge:
        reader, writer = await edge.connect()
        writer.write(HEALTH * 5000)
        await edge.until(lambda: len(edge.runner.connections.connections) == 1)
        [connection] = edge.runner.connections.connections
        await edge.until(lambda: len(connection._messages) > 0)
        await asyncio.sleep(0.1)
        assert len(connection._messages) <= 64
        held.set()
        answers = 0
        while answers < 5000:
            answers += (await asyncio.wait_for(reader.readuntil(b"}"), 5)).count(b"}")


async def test_connections_are_counted(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        clients = [await edge.connect() for _ in range(3)]
        registry = edge.service.metrics.registry

        def counted() -> float | None:
            return registry.get_sample_value("provlog_connections", {"listener": "api"})

        await edge.until(lambda: counted() == 3)
        for _, writer in clients:
            writer.close()
        await edge.until(lambda: counted() == 0)
