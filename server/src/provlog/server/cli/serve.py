"""`provlog-server serve`: the service on HTTP, until it is told to stop."""

import asyncio
import contextlib
import gc
import logging
import math
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
import msgspec

from provlog.server.cli.announcing import Announcement, Announcer, OpenLog
from provlog.server.cli.bound import Bound
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
from provlog.server.cli.workers import Place, bind_all, serve_with_workers
from provlog.server.errors import ConfigurationError
from provlog.server.http.app import create_app, create_metrics_app
from provlog.server.instance import Instance, load_instance
from provlog.server.journal import FORMATS, log_unhandled, set_up
from provlog.server.rates import LogRates
from provlog.server.selfcheck.background import SelfCheck
from provlog.server.service import Service
from provlog.server.supervisor import STOPPING

logger = logging.getLogger(__name__)

MOST_WORKERS = 64


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
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    default=1,
    show_default=True,
    help="Processes that serve on one address; the metrics of each further one are on"
    " the next port.",
)
@click.option(
    "--log-requests", is_flag=True, help="Write one line to the log for each request."
)
def serve(
    folder: Path,
    guard: Path | None,
    as_json: bool,
    rate: float,
    log_rates: tuple[str, ...],
    log_format: str,
    workers: int,
    log_requests: bool,
    listening: Listening,
) -> None:
    """Serve every log of an instance.

    Before it answers, each log's right edge is recomputed and compared with its head
    and with the guard; where one of them contradicts what was released, nothing is
    served.

    SIGTERM, SIGHUP or Ctrl-C finishes what was taken and refuses the rest. SIGUSR1
    accepts the clock as it is, after it was set right.

    With --workers several processes share the address. One that dies is replaced, and
    what the signals do they do to all.

    \b
    provlog-server serve --dir data --workers 3
    """
    limits = parse_log_rates(log_rates)
    set_up(log_format)
    task = Task(folder, guard, rate, limits, listening, log_requests)
    announcer = Announcer(folder, as_json, listening.public_url)
    if workers == 1:
        _run(_serve_alone(task, announcer))
        return
    code = serve_with_workers(
        workers,
        listening,
        lambda place: _run(_serve_in_place(task, place)),
        announcer.print,
    )
    click.get_current_context().exit(code)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be served, and how."""

    folder: Path
    guard: Path | None
    selfcheck: float
    log_rates: LogRates
    listening: Listening
    log_requests: bool
    worker: int = 0


def _run(work: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


async def _serve_alone(task: Task, announcer: Announcer) -> None:
    async def listen() -> tuple[Bound, Bound | None]:
        api, metrics = await bind_all(task.listening, 1)
        return api, metrics[0] if metrics else None

    def announce(made: Announcement, metrics_url: str | None) -> None:
        announcer.print(made, [metrics_url] if metrics_url else [])

    await _serve(task, asyncio.Event(), listen, announce)


async def _serve_in_place(task: Task, place: Place) -> None:
    """Serve as one of several workers, until told to stop or left alone."""
    stop, worker = asyncio.Event(), place.worker

    async def listen() -> tuple[Bound, Bound | None]:
        return place.api, place.metrics

    def announce(made: Announcement, _: str | None) -> None:
        worker.announce(msgspec.json.encode(made))

    def orphaned() -> None:
        asyncio.get_running_loop().remove_reader(worker.parent)
        logger.error("the process that started this one is gone: stopping")
        stop.set()

    asyncio.get_running_loop().add_reader(worker.parent, orphaned)
    # What an instance needs once is done by one of them.
    selfcheck = task.selfcheck if worker.number == 0 else 0
    own = replace(task, worker=worker.number, selfcheck=selfcheck)
    await _serve(own, stop, listen, announce)


async def _serve(
    task: Task,
    stop: asyncio.Event,
    listen: Callable[[], Awaitable[tuple[Bound, Bound | None]]],
    announce: Callable[[Announcement, str | None], None],
) -> None:
    instance = load_instance(task.folder, task.guard)
    listening = task.listening
    settings = listening.settings(listening.room())
    settings = replace(settings, log_requests=task.log_requests)
    async with Service.of(instance) as service:
        service.worker, service.log_rates = task.worker, task.log_rates
        if not service.open_logs():
            raise ConfigurationError(
                f"{task.folder} holds no log; make one with provlog-server log create"
            )
        for name in task.log_rates.named:
            await require_log(service, name)
        _heed_signals(service, stop)
        tending = asyncio.create_task(service.tend())
        async with contextlib.AsyncExitStack() as stack:
            api, metrics = await listen()
            stack.callback(api.close)
            url = await serve_api(stack, create_app(service, settings), listening, api)
            metrics_url = None
            if metrics is not None:
                stack.callback(metrics.close)
                make = partial(create_metrics_app, service)
                metrics_url = await serve_metrics(stack, make, metrics)
            # What lives now lives long; the collector need not look at it again.
            gc.collect()
            gc.freeze()
            if task.selfcheck:
                end = _start_selfcheck(service, instance, task.selfcheck)
                stack.push_async_callback(end)
            logs = [OpenLog.of(log) for log in service.open_logs()]
            announce(Announcement(url, logs), metrics_url)
            await stop.wait()
            # New submissions are refused from here on; what was taken is committed
            # and answered while the listeners close.
            await service.sequencer.close()
        tending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tending


def _heed_signals(service: Service, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_unhandled)
    for number in STOPPING:
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, _accept_clock, service)


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


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:  # not built for this platform
        return None
    return uvloop.Loop
