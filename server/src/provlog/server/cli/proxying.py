"""What the process of `scim-proxy` does: it opens what it writes to, and serves."""

import asyncio
import contextlib
import gc
import json
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from prometheus_client import CollectorRegistry
from yarl import URL

from provlog.merkle.encoding import JsonValue
from provlog.server.cli.bound import bind_all
from provlog.server.cli.common import require_log
from provlog.server.cli.listening import METRICS_CONNECTIONS, Listening
from provlog.server.cli.serving import loop_factory
from provlog.server.cli.sites import serve_plain, serve_tls
from provlog.server.clock import Clock
from provlog.server.delivery import Delivered, deliver
from provlog.server.errors import ConfigurationError
from provlog.server.files import read_private
from provlog.server.instance import Instance
from provlog.server.intake.connectors import scim
from provlog.server.journal import log_unhandled
from provlog.server.log import Log
from provlog.server.metrics import Metrics
from provlog.server.scim_proxy.callers import Callers
from provlog.server.scim_proxy.figures import Figures
from provlog.server.scim_proxy.forwarding import Proxy
from provlog.server.scim_proxy.recording import LogRecorder, Recorder
from provlog.server.scim_proxy.serving import (
    create_proxy_app,
    create_proxy_runner,
    create_watching_app,
)
from provlog.server.scim_proxy.settings import ProxySettings
from provlog.server.scim_proxy.spooling import SpoolRecorder, SpoolSettings
from provlog.server.scim_proxy.upstream import Upstream
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord
from provlog.server.supervisor import STOPPING

SETTLING_SECONDS = 10.0
MAX_TOKEN = 8192


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be served, all of it checked. `instance` is None in relaxed mode."""

    settings: ProxySettings
    listening: Listening
    connections: int
    key: bytes
    source: str
    log: str
    instance: Instance | None
    spool: str | None
    spool_token_file: Path | None
    upstream_tls: ssl.SSLContext | None
    client_ca: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """Where records go, and what belongs to that."""

    recorder: Recorder
    figures: Figures
    metrics: Metrics
    now: Callable[[], int]

    @property
    def registry(self) -> CollectorRegistry:
        """All that is counted."""
        return self.metrics.registry


def serve_proxy(plan: Plan) -> None:
    """Serve until told to stop. Raises what keeps it from being served."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(plan))


async def _serve(plan: Plan) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_unhandled)
    for number in STOPPING:
        loop.add_signal_handler(number, stop.set)
    opening = _relaxed(plan) if plan.instance is None else _strict(plan, plan.instance)
    async with opening as place, contextlib.AsyncExitStack() as stack:
        upstream = Upstream(plan.settings.upstream_seconds, plan.upstream_tls)
        stack.push_async_callback(upstream.close)
        stack.push_async_callback(place.recorder.close)
        proxy = Proxy(
            plan.settings,
            upstream,
            place.recorder,
            Callers(plan.key, plan.settings.callers),
            place.figures,
            place.now,
            plan.key,
        )
        urls = await _listen(stack, plan, proxy, place)
        # What lives now lives long; the collector need not look at it again.
        gc.collect()
        gc.freeze()
        _announce(plan, *urls)
        await stop.wait()


@contextlib.asynccontextmanager
async def _strict(plan: Plan, instance: Instance) -> AsyncIterator[_Place]:
    async with Service.of(instance) as service:
        log = await require_log(service, plan.log)
        source = await _require_source(service, log, plan.source)
        figures = Figures(service.metrics.registry)
        recorder = LogRecorder(
            partial(_deliver, service, log, source),
            figures,
            partial(_trouble, service, log),
            plan.settings.log_seconds,
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, service.clock.accept)
        tending = asyncio.create_task(service.tend())
        try:
            yield _Place(recorder, figures, service.metrics, service.clock.now)
        finally:
            tending.cancel()
            await asyncio.gather(tending, return_exceptions=True)


@contextlib.asynccontextmanager
async def _relaxed(plan: Plan) -> AsyncIterator[_Place]:
    metrics = Metrics()
    figures = Figures(metrics.registry)
    token = partial(_read_token, plan.spool_token_file)
    token()  # refused at the start rather than at the first change
    settings = SpoolSettings(URL(plan.spool or ""), plan.source, token)
    yield _Place(SpoolRecorder(settings, figures), figures, metrics, Clock().now)


async def _deliver(
    service: Service, log: Log, source: SourceRecord, record: bytes
) -> Delivered:
    ingest: dict[str, JsonValue] = {"proxy": scim.CONNECTOR.name}
    return await deliver(service, log, source, [record], ingest)


async def _require_source(service: Service, log: Log, uri: str) -> SourceRecord:
    """Return a source that takes these records, or say how to register one."""
    source = await service.storage.source(log.id, uri)
    name = scim.CONNECTOR.name
    if source is None:
        raise ConfigurationError(
            f"log {log.record.name} has no source {uri!a}: register it with"
            f" provlog-server source create --log {log.record.name} --connector {name}"
        )
    if source.connector != name:
        raise ConfigurationError(
            f"source {uri} is registered with {source.connector or 'no connector'} for"
            f" good; register another one with --connector {name}"
        )
    return source


def _trouble(service: Service, log: Log) -> str | None:
    if log.halted is not None:
        return "the log is halted"
    return service.sequencer.trouble()


def _read_token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = read_private(path, MAX_TOKEN)
    except ValueError:
        token = ""
    if not token:
        raise ConfigurationError(f"{path} holds no token")
    return token


async def _listen(
    stack: contextlib.AsyncExitStack, plan: Plan, proxy: Proxy, place: _Place
) -> tuple[str, str | None]:
    """Serve the proxy and what is said of it; return their URLs."""
    listening, metrics = plan.listening, place.metrics
    bound, others = await bind_all(listening.api, listening.metrics, 1)
    for each in (bound, *others):
        stack.callback(each.close)
    watched = None
    for other in others:
        app = create_watching_app(place.registry, place.recorder.trouble)
        runner = create_proxy_runner(
            app, metrics, "metrics", METRICS_CONNECTIONS, shutdown_timeout=1.0
        )
        watched = await serve_plain(stack, runner, other)
    runner = create_proxy_runner(
        create_proxy_app(proxy),
        metrics,
        "scim",
        plan.connections,
        # What was passed on gets its outcome.
        shutdown_timeout=plan.settings.upstream_seconds + SETTLING_SECONDS,
    )
    if listening.tls is None:
        return await serve_plain(stack, runner, bound), watched
    shown = metrics.certificate_expires.labels("scim")
    ca = plan.client_ca
    url = await serve_tls(stack, runner, bound, listening.tls, shown, ca)
    return url, watched


def _announce(plan: Plan, url: str, metrics_url: str | None) -> None:
    upstream = str(plan.settings.upstream)
    if plan.as_json:
        line = {"url": url, "metrics_url": metrics_url, "upstream": upstream}
        click.echo(json.dumps(line))
        return
    metrics = f", metrics on {metrics_url}" if metrics_url else ""
    click.echo(f"passing on {url} to {upstream}{metrics}")
