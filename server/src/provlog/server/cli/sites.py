"""Applications on bound sockets, with TLS or without, until a stack is left."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from aiohttp import web
from prometheus_client import Gauge

from provlog.server.cli.bound import Bound
from provlog.server.cli.listening import METRICS_CONNECTIONS, Listening
from provlog.server.http.app import create_runner
from provlog.server.http.connections import ConnectionRunner
from provlog.server.http.context import SERVICE, HttpSettings
from provlog.server.http.listener import Listener
from provlog.server.http.roster import ConnectionSettings
from provlog.server.tls import ServerCertificate

SHUTDOWN_SECONDS: Final = 10.0
RENEWAL_SECONDS: Final = 1.0

Pair: TypeAlias = tuple[Path, Path]
"""The PEM files of a certificate with its chain, and of its key."""


async def serve_api(
    stack: contextlib.AsyncExitStack,
    app: web.Application,
    listening: Listening,
    bound: Bound,
) -> str:
    """Serve the API until the stack is left; return its URL."""
    runner = create_runner(app, shutdown_timeout=SHUTDOWN_SECONDS, name="api")
    if listening.tls is None:
        return await serve_plain(stack, runner, bound)
    expires = app[SERVICE].metrics.certificate_expires.labels("api")
    return await serve_tls(stack, runner, bound, listening.tls, expires)


async def serve_metrics(
    stack: contextlib.AsyncExitStack,
    make: Callable[[HttpSettings], web.Application],
    bound: Bound,
) -> str:
    """Serve the metrics until the stack is left; return their URL."""
    connections = ConnectionSettings(most=METRICS_CONNECTIONS)
    app = make(HttpSettings(connections=connections))
    runner = create_runner(app, shutdown_timeout=SHUTDOWN_SECONDS, name="metrics")
    return await serve_plain(stack, runner, bound)


async def serve_plain(
    stack: contextlib.AsyncExitStack, runner: ConnectionRunner, bound: Bound
) -> str:
    """Serve what a runner runs as plain HTTP; return its URL."""
    await _serve(stack, runner, bound, None)
    return bound.url()


async def serve_tls(
    stack: contextlib.AsyncExitStack,
    runner: ConnectionRunner,
    bound: Bound,
    pair: Pair,
    expires: Gauge,
    client_ca: Path | None = None,
) -> str:
    """Serve what a runner runs over TLS; return its URL.

    `expires` shows until when the certificate is valid; a renewed one is taken up. With
    `client_ca` clients may show certificates that one of these authorities has signed.
    """
    certificate = ServerCertificate(*pair, client_ca)
    await _serve(stack, runner, bound, certificate)
    renewing = asyncio.create_task(_renew(certificate, expires))
    stack.callback(renewing.cancel)
    return bound.url("https")


async def _serve(
    stack: contextlib.AsyncExitStack,
    runner: ConnectionRunner,
    bound: Bound,
    certificate: ServerCertificate | None,
) -> None:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    context = None if certificate is None else lambda: certificate.context
    for each in bound.sockets:
        await Listener(runner, each, context, shared=bound.shared).start()


async def _renew(certificate: ServerCertificate, shown: Gauge) -> None:
    while True:
        shown.set(certificate.expires)
        await asyncio.sleep(RENEWAL_SECONDS)
        await asyncio.to_thread(certificate.refresh)
