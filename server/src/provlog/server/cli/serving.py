"""What one process does that serves, be it the only one or one of several workers."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from provlog.server.cli.announcing import Announcement, Announcer, OpenLog
from provlog.server.cli.bound import Bound, bind_all
from provlog.server.cli.common import require_log
from provlog.server.cli.listening import Listening
from provlog.server.cli.sites import serve_api, serve_metrics
from provlog.server.delivery import hook_of
from provlog.server.errors import ConfigurationError
from provlog.server.http.app import create_app, create_metrics_app
from provlog.server.instance import Instance
from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.connectors.protocols import Configurable
from provlog.server.journal import log_unhandled
from provlog.server.rates import LogRates
from provlog.server.selfcheck.background import SelfCheck
from provlog.server.service import Service
from provlog.server.source_settings import SourceSettings
from provlog.server.storage.base import SourceRecord
from provlog.server.supervisor import STOPPING
from provlog.server.surroundings import Surroundings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be served, and how; `worker` is which of several processes does it."""

    instance: Instance
    selfcheck: float
    log_rates: LogRates
    listening: Listening
    log_requests: bool
    compat_add: str | None = None
    worker: int = 0


class Place(Protocol):
    """Where a process serves, and whom it tells."""

    def watch(self, stop: asyncio.Event) -> None:
        """Have `stop` set where there is another reason to stop than a signal."""

    async def listen(self) -> tuple[Bound, Bound | None]:
        """Return what to listen on for the API and, if they are wanted, the metrics."""

    def announce(self, made: Announcement, metrics_url: str | None) -> None:
        """Tell that it serves."""


@dataclass(frozen=True, slots=True)
class Alone:
    """The place of the only process."""

    listening: Listening
    announcer: Announcer

    def watch(self, stop: asyncio.Event) -> None:
        """Do nothing: signals are all there is."""

    async def listen(self) -> tuple[Bound, Bound | None]:
        """Bind what was asked for; raise what `listen_on` does."""
        api, metrics = await bind_all(self.listening.api, self.listening.metrics, 1)
        return api, metrics[0] if metrics else None

    def announce(self, made: Announcement, metrics_url: str | None) -> None:
        """Print it."""
        self.announcer.print(made, [metrics_url] if metrics_url else [])


def serve_task(task: Task, place: Place) -> None:
    """Serve until told to stop. Raises what keeps the service from being opened."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(task, place))


async def _serve(task: Task, place: Place) -> None:
    stop = asyncio.Event()
    place.watch(stop)
    async with Service.of(task.instance) as service:
        await _prepare(service, task)
        _heed_signals(service, stop)
        surroundings = service.surroundings = _surroundings(service, task.instance)
        meanwhile = _meanwhile(
            service.tend(),
            surroundings.watch(),
            service.health.follow(service.open_logs),
            service.witnessing.follow(),
        )
        async with meanwhile, contextlib.AsyncExitStack() as stack:
            url, metrics_url = await _listen(stack, service, task, place)
            # What lives now lives long; the collector need not look at it again.
            gc.collect()
            gc.freeze()
            if task.selfcheck:
                end = _start_selfcheck(service, task.instance, task.selfcheck)
                stack.push_async_callback(end)
            logs = [OpenLog.of(log) for log in service.open_logs()]
            place.announce(Announcement(url, logs), metrics_url)
            await stop.wait()
            # New submissions are refused from here on; what was taken is committed
            # and answered while the listeners close.
            await service.sequencer.close()


@contextlib.asynccontextmanager
async def _meanwhile(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do work in the background, and end it before the database is closed."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _prepare(service: Service, task: Task) -> None:
    service.worker, service.log_rates = task.worker, task.log_rates
    if not service.open_logs():
        folder = task.instance.folder
        raise ConfigurationError(
            f"{folder} holds retired logs alone; serve what holds their successors"
            if await service.storage.logs()
            else f"{folder} holds no log; make one with provlog-server log create"
        )
    if task.worker == 0:
        for line in await service.storage.advice():
            logger.warning("%s", line)
    for name in task.log_rates.named:
        await require_log(service, name)
    for line in await _unused_settings(service):
        if task.worker == 0:
            logger.warning("%s", line)


async def _unused_settings(service: Service) -> list[str]:
    """Return what is said of settings that have no effect.

    Raises `ConfigurationError` where the secret of signed deliveries cannot be read,
    or where there can be none: better now than at each of them.
    """
    said = []
    for (name, uri), settings in service.settings.sources.items():
        log = await service.log(name)
        source = None if log is None else await service.storage.source(log.id, uri)
        if log is None:
            said.append(f"{settings.path}: there is no log {name!a} here")
        elif source is None and not settings.is_of_any:
            said.append(f"{settings.path}: log {name} has no source {uri!a}")
        elif source is not None:
            name = source.connector or "no connector"
            is_mapped = isinstance(CONNECTORS.get(name), Configurable)
            if (settings.mapping or settings.types) and not is_mapped:
                said.append(f"{settings.path}: a [mapping] means nothing to {name}")
            _require_deliveries(source, settings)
    return said


def _require_deliveries(source: SourceRecord, settings: SourceSettings) -> None:
    if settings.hook is None:
        return
    if hook_of(source) is None:
        raise ConfigurationError(
            f"{settings.path}: [hook]: {source.uri} is registered with"
            f" {source.connector or 'no connector'}, which takes no deliveries"
        )
    settings.secret(settings.hook.hmac_secret_file)


async def _listen(
    stack: contextlib.AsyncExitStack, service: Service, task: Task, place: Place
) -> tuple[str, str | None]:
    """Serve API and metrics until the stack is left; return their URLs."""
    listening = task.listening
    settings = listening.settings(listening.room())
    settings = replace(
        settings, log_requests=task.log_requests, compat_add=task.compat_add
    )
    api, metrics = await place.listen()
    for bound in (api, metrics):
        if bound is not None:
            stack.callback(bound.close)
    url = await serve_api(stack, create_app(service, settings), listening, api)
    if metrics is None:
        return url, None
    make = partial(create_metrics_app, service)
    return url, await serve_metrics(stack, make, metrics)


def _heed_signals(service: Service, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_unhandled)
    for number in STOPPING:
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, _accept_clock, service)


def _surroundings(service: Service, instance: Instance) -> Surroundings:
    folders = {"instance": instance.folder}
    if instance.guard_url is None:
        folders["guard"] = instance.guard
    return Surroundings(service.storage, service.clock, folders)


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


def loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """Return the faster event loop where there is one, None for the usual."""
    try:
        import uvloop
    except ImportError:  # not built for this platform
        return None
    return uvloop.Loop
