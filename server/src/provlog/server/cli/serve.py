"""`provlog-server serve`: the service on HTTP, until it is told to stop."""

import asyncio
import contextlib
import gc
import ipaddress
import json
import logging
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import click
from aiohttp import web

from provlog.server.cli.common import instance_options, parse_log_rates
from provlog.server.errors import ConfigurationError
from provlog.server.http.app import (
    HttpSettings,
    create_app,
    create_metrics_app,
    create_runner,
)
from provlog.server.instance import Instance, load_instance
from provlog.server.journal import FORMATS, log_unhandled, set_up
from provlog.server.rates import LogRates
from provlog.server.selfcheck.background import SelfCheck
from provlog.server.service import Service

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 10.0
BACKLOG = 1024


@click.command()
@instance_options
@click.option(
    "--listen",
    default="127.0.0.1:8470",
    show_default=True,
    help="HOST:PORT to serve on; port 0 takes a free one.",
)
@click.option(
    "--metrics",
    "metrics_listen",
    default="127.0.0.1:8471",
    show_default=True,
    help="HOST:PORT for Prometheus, or 'off'.",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Serve without TLS beyond this machine: tokens and personal data can be read"
    " on the way.",
)
@click.option(
    "--selfcheck",
    "rate",
    type=click.FloatRange(min=0),
    default=200,
    show_default=True,
    help="Entries a second that are re-read and recomputed meanwhile; 0 for none.",
)
@click.option(
    "--log-rate",
    "log_rates",
    multiple=True,
    metavar="[LOG=]RATE",
    help="Events a second that each log takes, or the one named; may be given several"
    " times.  [default: no bound]",
)
@click.option(
    "--log-format",
    type=click.Choice([*FORMATS]),
    default="text",
    show_default=True,
    help="How the log is written to standard error; json: one object per line.",
)
@click.option(
    "--log-requests", is_flag=True, help="Write one line to the log for each request."
)
def serve(
    folder: Path,
    guard: Path | None,
    as_json: bool,
    listen: str,
    metrics_listen: str,
    insecure: bool,
    rate: float,
    log_rates: tuple[str, ...],
    log_format: str,
    log_requests: bool,
) -> None:
    """Serve every log of an instance.

    Before it answers, each log's right edge is recomputed and compared with its head
    and with the guard; where one of them contradicts what was released, nothing is
    served.

    SIGTERM, SIGHUP or Ctrl-C finishes what was taken and refuses the rest. SIGUSR1
    accepts the clock as it is, after it was set right.
    """
    address = parse_address(listen)
    metrics = None if metrics_listen == "off" else parse_address(metrics_listen)
    for host, _ in filter(None, (address, metrics)):
        if not is_loopback(host) and not insecure:
            raise ConfigurationError(
                f"{host} can be reached from other machines, and this is plain HTTP:"
                " serve on 127.0.0.1 behind a proxy with TLS, or add --insecure"
            )
    limits = parse_log_rates(log_rates)
    settings = HttpSettings(log_requests=log_requests)
    set_up(log_format)
    loop_factory = _loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(
            _serve(folder, guard, as_json, address, metrics, rate, limits, settings)
        )


async def _serve(
    folder: Path,
    guard: Path | None,
    as_json: bool,
    address: tuple[str, int],
    metrics: tuple[str, int] | None,
    rate: float,
    log_rates: LogRates,
    settings: HttpSettings,
) -> None:
    stop = asyncio.Event()
    instance = load_instance(folder, guard)
    async with Service.of(instance) as service:
        service.log_rates = log_rates
        if not service.open_logs():
            raise ConfigurationError(
                f"{folder} holds no log; make one with provlog-server log create"
            )
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_unhandled)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGUSR1, _accept_clock, service)
        tending = asyncio.create_task(service.tend())
        async with contextlib.AsyncExitStack() as stack:
            url = await _listen(stack, create_app(service, settings), address)
            metrics_url = None
            if metrics is not None:
                app = create_metrics_app(service)
                metrics_url = await _listen(stack, app, metrics)
            # What lives now lives long; the collector need not look at it again.
            gc.collect()
            gc.freeze()
            if rate:
                end = _start_selfcheck(service, instance, rate)
                stack.push_async_callback(end)
            _announce(service, folder, url, metrics_url, as_json)
            await stop.wait()
            # New submissions are refused from here on; what was taken is committed
            # and answered while the listeners close.
            await service.sequencer.close()
        tending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tending


def _start_selfcheck(
    service: Service, instance: Instance, rate: float
) -> Callable[[], Awaitable[None]]:
    """Start re-reading the database; return what ends that."""
    check = service.selfcheck = SelfCheck(instance, service.metrics, rate)
    check.start()
    return partial(asyncio.to_thread, check.stop)


def _accept_clock(service: Service) -> None:
    logger.warning("clock accepted; it had moved by %d ms", service.clock.drift())
    service.clock.accept()


async def _listen(
    stack: contextlib.AsyncExitStack, app: web.Application, address: tuple[str, int]
) -> str:
    runner = create_runner(app, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    host, port = address
    site = web.TCPSite(runner, host, port, backlog=BACKLOG)
    await site.start()
    bound = runner.addresses[0][1]
    return f"http://{f'[{host}]' if ':' in host else host}:{bound}"


def _announce(
    service: Service, folder: Path, url: str, metrics_url: str | None, as_json: bool
) -> None:
    logs = service.open_logs()
    if as_json:
        keys = {log.record.name: log.record.log_key for log in logs}
        line = {"url": url, "metrics_url": metrics_url, "log_keys": keys}
        click.echo(json.dumps(line))
        return
    for log in logs:
        click.echo(f"log {log.record.name}, size {log.released.size}")
        click.echo(f"  log key {log.record.log_key}")
    click.echo(
        f"serving on {url}" + (f", metrics on {metrics_url}" * bool(metrics_url))
    )
    env = folder / "dev.env"
    if env.exists():
        click.echo("\nIn another terminal:")
        click.echo(f"  source {env}")
        click.echo("  .venv/bin/provlog submit docs/examples/role-assign.json")


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT, an IPv6 host in brackets."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ConfigurationError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8470")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Tell whether a host to listen on is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:  # not built for this platform
        return None
    return uvloop.Loop
