"""What the process of `witness serve` does."""

import asyncio
import contextlib
import gc
import json
import signal
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from provlog.server.cli.bound import bind_all
from provlog.server.cli.listening import METRICS_CONNECTIONS, Listening
from provlog.server.cli.serving import loop_factory
from provlog.server.cli.sites import SHUTDOWN_SECONDS, serve_plain, serve_tls
from provlog.server.clock import Clock
from provlog.server.http.context import HttpSettings
from provlog.server.journal import log_unhandled
from provlog.server.metrics import Metrics
from provlog.server.scim_proxy.serving import create_proxy_runner, create_watching_app
from provlog.server.supervisor import STOPPING
from provlog.server.witness.cosigning import Witness
from provlog.server.witness.figures import WitnessFigures
from provlog.server.witness.keys import KeyFolder
from provlog.server.witness.roll import Roll
from provlog.server.witness.serving import (
    create_witness_app,
    create_witness_runner,
    shown_heads,
    tend,
)
from provlog.server.witness.soundness import MARK, Soundness
from provlog.server.witness.store import DATABASE, WitnessStore


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be served."""

    folder: Path
    lists: tuple[Path, ...]
    listening: Listening
    log_requests: bool
    as_json: bool

    def settings(self) -> HttpSettings:
        """Return the bounds of what is asked."""
        settings = self.listening.settings(self.listening.room())
        return replace(settings, log_requests=self.log_requests)


def serve_witness(plan: Plan) -> None:
    """Serve until told to stop. Raises what keeps it from being served."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(plan))


def open_witness(
    folder: Path,
    lists: tuple[Path, ...],
    metrics: Metrics,
    clock: Clock | None = None,
) -> Witness:
    """Return the witness of a folder, or raise `ConfigurationError`."""
    figures = WitnessFigures(metrics.registry)
    store = WitnessStore(folder / DATABASE)
    try:
        roll = Roll(store, lists)
        soundness = Soundness(clock or Clock(), folder / MARK)
        witness = Witness(store, roll, KeyFolder(folder), soundness, figures)
    except BaseException:
        store.close()
        raise
    figures.show(partial(shown_heads, witness))
    return witness


async def _serve(plan: Plan) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_unhandled)
    for number in STOPPING:
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with contextlib.AsyncExitStack() as stack:
        witness = open_witness(plan.folder, plan.lists, metrics)
        stack.push_async_callback(witness.close)
        loop.add_signal_handler(signal.SIGUSR1, witness.soundness.clock.accept)
        tending = asyncio.create_task(tend(witness))
        stack.push_async_callback(_end, tending)
        url, watched = await _listen(stack, plan, witness, metrics)
        # What lives now lives long; the collector need not look at it again.
        gc.collect()
        gc.freeze()
        _announce(plan, witness, url, watched)
        await stop.wait()


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _listen(
    stack: contextlib.AsyncExitStack, plan: Plan, witness: Witness, metrics: Metrics
) -> tuple[str, str | None]:
    """Serve the witness and what is said of it; return their URLs."""
    listening = plan.listening
    bound, others = await bind_all(listening.api, listening.metrics, 1)
    for each in (bound, *others):
        stack.callback(each.close)
    watched = None
    for other in others:
        runner = create_proxy_runner(
            create_watching_app(metrics.registry, witness.trouble),
            metrics,
            "metrics",
            METRICS_CONNECTIONS,
            shutdown_timeout=1.0,
        )
        watched = await serve_plain(stack, runner, other)
    app = create_witness_app(witness, metrics, plan.settings())
    runner = create_witness_runner(app, metrics, shutdown_timeout=SHUTDOWN_SECONDS)
    if listening.tls is None:
        return await serve_plain(stack, runner, bound), watched
    shown = metrics.certificate_expires.labels("witness")
    return await serve_tls(stack, runner, bound, listening.tls, shown), watched


def _announce(plan: Plan, witness: Witness, url: str, metrics_url: str | None) -> None:
    if plan.as_json:
        line = {
            "url": url,
            "metrics_url": metrics_url,
            "name": witness.name,
            "vkeys": witness.vkeys(),
            "public_url": plan.listening.public_url,
        }
        click.echo(json.dumps(line))
        return
    click.echo(f"witness {witness.name}, {len(witness.roll.known())} logs")
    for vkey in witness.vkeys():
        click.echo(f"  key {vkey}")
    metrics = f", metrics on {metrics_url}" if metrics_url else ""
    click.echo(f"serving on {url}{metrics}")
    if plan.listening.public_url is not None:
        click.echo(f"reached at {plan.listening.public_url}")
