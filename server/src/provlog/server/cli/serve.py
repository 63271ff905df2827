"""`provlog-server serve`: the service on HTTP, until it is told to stop."""

import asyncio
import contextlib
import gc
import json
import logging
import math
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from provlog.server.cli.common import (
    instance_options,
    parse_log_rates,
    require_log,
)
from provlog.server.cli.listening import (
    Listening,
    listening_options,
    serve_api,
    serve_metrics,
)
from provlog.server.errors import ConfigurationError
from provlog.server.http.app import create_app, create_metrics_app
from provlog.server.instance import Instance
from provlog.server.journal import FORMATS, log_unhandled, set_up
from provlog.server.rates import LogRates
from provlog.server.selfcheck.background import SelfCheck
from provlog.server.service import Service

logger = logging.getLogger(__name__)


def _number(_: click.Context, __: click.Parameter, rate: float) -> float:
    # Of `nan` the range above does not think.
    if not math.isfinite(rate):
        raise click.BadParameter("give a number of entries a second")
    return rate


@click.command()
@instance_options
@listening_options
@click.option(
    "--selfcheck",
    "rate",
    type=click.FloatRange(min=0),
    callback=_number,
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
    instance: Instance,
    as_json: bool,
    rate: float,
    log_rates: tuple[str, ...],
    log_format: str,
    log_requests: bool,
    listening: Listening,
) -> None:
    """Serve every log of an instance.

    Before it answers, each log's right edge is recomputed and compared with its head
    and with the guard; where one of them contradicts what was released, nothing is
    served.

    SIGTERM, SIGHUP or Ctrl-C finishes what was taken and refuses the rest. SIGUSR1
    accepts the clock as it is, after it was set right.
    """
    limits = parse_log_rates(log_rates)
    set_up(log_format)
    loop_factory = _loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(instance, as_json, rate, limits, listening, log_requests))


async def _serve(
    instance: Instance,
    as_json: bool,
    rate: float,
    log_rates: LogRates,
    listening: Listening,
    log_requests: bool,
) -> None:
    stop = asyncio.Event()
    settings = replace(listening.settings(listening.room()), log_requests=log_requests)
    async with Service.of(instance) as service:
        service.log_rates = log_rates
        if not service.open_logs():
            raise ConfigurationError(
                f"{instance.folder} holds no log; make one with"
                " provlog-server log create"
            )
        for line in await service.storage.advice():
            logger.warning("%s", line)
        for name in log_rates.named:
            await require_log(service, name)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_unhandled)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGUSR1, _accept_clock, service)
        tending = asyncio.create_task(service.tend())
        async with contextlib.AsyncExitStack() as stack:
            url = await serve_api(stack, create_app(service, settings), listening)
            metrics = partial(create_metrics_app, service)
            metrics_url = await serve_metrics(stack, metrics, listening)
            # What lives now lives long; the collector need not look at it again.
            gc.collect()
            gc.freeze()
            if rate:
                end = _start_selfcheck(service, instance, rate)
                stack.push_async_callback(end)
            urls = url, metrics_url, listening.public_url
            _announce(service, instance.folder, urls, as_json)
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


def _announce(
    service: Service,
    folder: Path,
    urls: tuple[str, str | None, str | None],
    as_json: bool,
) -> None:
    logs = service.open_logs()
    url, metrics_url, public_url = urls
    if as_json:
        keys = {log.record.name: log.record.log_key for log in logs}
        line = {"url": url, "metrics_url": metrics_url, "log_keys": keys}
        if public_url is not None:
            line["public_url"] = public_url
        click.echo(json.dumps(line))
        return
    for log in logs:
        click.echo(f"log {log.record.name}, size {log.released.size}")
        click.echo(f"  log key {log.record.log_key}")
    click.echo(
        f"serving on {url}" + (f", metrics on {metrics_url}" * bool(metrics_url))
    )
    if public_url is not None:
        click.echo(f"reached at {public_url}")
    env = folder / "dev.env"
    if env.exists():
        click.echo("\nIn another terminal:")
        click.echo(f"  source {env}")
        click.echo("  .venv/bin/provlog submit docs/examples/role-assign.json")


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:  # not built for this platform
        return None
    return uvloop.Loop
