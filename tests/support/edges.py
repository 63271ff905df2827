"""The edge of a service in this process: its own listener, and certificates for it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from provlog.server.http.app import HttpSettings, create_app, create_runner
from provlog.server.http.connections import ConnectionRunner
from provlog.server.http.listener import Listener, bind
from provlog.server.http.roster import ConnectionSettings
from provlog.server.service import Service
from provlog.server.tls import ServerCertificate
from support.instances import Made, make_instance

Hook: TypeAlias = Callable[[web.Request, web.StreamResponse], Awaitable[None]]
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate of its own for this machine, in two PEM files."""

    chain: Path
    key: Path

    @classmethod
    def make(
        cls, folder: Path, name: str = "server", days: int = 1, host: str = "localhost"
    ) -> "Pair":
        """Return a new pair; it ends in `days`, or has ended where they are below 0.

        It is good for 127.0.0.1, and for the name `host`.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName(host)]
                ),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        pair = cls(folder / f"{name}.pem", folder / f"{name}.key")
        pair.chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        pair.key.touch(0o600)
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair

    def replace_with(self, other: "Pair") -> None:
        """Become another pair, as a renewal does it: file by file."""
        other.chain.rename(self.chain)
        other.key.rename(self.key)

    @property
    def serial(self) -> int:
        """The certificate's number."""
        return x509.load_pem_x509_certificate(self.chain.read_bytes()).serial_number

    def trust(self) -> ssl.SSLContext:
        """Return a client's context that trusts this certificate alone."""
        return ssl.create_default_context(cafile=self.chain)


@dataclass(frozen=True, slots=True)
class Edge:
    """A service that listens, and what is known of its connections."""

    made: Made
    service: Service
    runner: ConnectionRunner
    port: int
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(
        self, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new connection, closed in the end; `context` speaks TLS."""
        opened = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        self.clients.append(opened[1])
        return opened

    async def asks(self, context: ssl.SSLContext | None = None) -> bytes:
        """Return the status line of an answer on a connection of its own."""
        reader, writer = await self.connect(context)
        writer.write(HEALTH)
        line = await asyncio.wait_for(reader.readline(), 5)
        await _end(writer)
        return line

    def dropped(self, reason: str) -> float:
        """Return how many connections were cut for a reason."""
        name = "provlog_connections_dropped_total"
        value = self.service.metrics.registry.get_sample_value(name, {"reason": reason})
        return value or 0.0

    async def until(self, found: Callable[[], bool]) -> None:
        """Return once something holds; fail if it does not come to that."""
        async with asyncio.timeout(10):
            while not found():  # noqa: ASYNC110  a counter wakes nobody
                await asyncio.sleep(0.01)


def open_files() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@contextlib.asynccontextmanager
async def listening(
    folder: Path,
    connections: ConnectionSettings | None = None,
    certificate: ServerCertificate | None = None,
    before_answer: Hook | None = None,
) -> AsyncIterator[Edge]:
    """Serve a new instance as `serve` does, on a free port.

    `before_answer` is awaited with each request and its answer before that is sent.
    """
    made = await make_instance(folder)
    settings = HttpSettings(connections=connections or ConnectionSettings())
    async with Service.of(made.instance) as service:
        [listener] = await bind("127.0.0.1", 0)
        port = listener.getsockname()[1]
        app = create_app(service, settings)
        if before_answer is not None:
            app.on_response_prepare.insert(0, before_answer)
        runner = create_runner(app, shutdown_timeout=5.0)
        await runner.setup()
        context = None if certificate is None else lambda: certificate.context
        await Listener(runner, listener, context).start()
        edge = Edge(made, service, runner, port)
        try:
            yield edge
        finally:
            await runner.cleanup()
            await asyncio.gather(*map(_end, edge.clients))


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
