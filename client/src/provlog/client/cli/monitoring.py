"""`provlog monitor`: follow logs, and raise the alarm when one misbehaves."""

import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provlog.client.cli.output import note, print_json
from provlog.client.cli.settings import (
    MANY_LOGS,
    Settings,
    connecting,
    json_option,
    typed_options,
)
from provlog.client.cli.spans import Span
from provlog.client.errors import UnavailableError, UsageError, printable
from provlog.merkle.encoding import format_time
from provlog.merkle.trust import Trust

if TYPE_CHECKING:
    from provlog.client.watching import Report, Watch

OnReport = Callable[["Report"], None]

# While a log is followed the next look comes anyway.
FOLLOWING_PATIENCE = 2.0

_OF_MANY = {"config", "once", "test_alert", "as_json"}


@click.command()
@click.option(
    "--once", is_flag=True, help="Look once and exit: for cron and other timers."
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 60),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the log may hold an answer back until it has grown.",
)
@click.option(
    "--pause",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="The least time between two looks.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    help="Serve metrics for Prometheus there.",
)
@click.option(
    "--full", is_flag=True, help="Read every entry too, and recompute the root."
)
@click.option(
    "--mirror",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep a copy below DIR/logs/LOG that others can follow; reads in full.",
)
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Rules on entries; reads in full, and needs an auditor's token.",
)
@click.option(
    "--max-age",
    type=Span(),
    metavar="SPAN",
    help="How old the newest quorum of cosignatures may be (with --policy).",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Show status, metrics and the newest checkpoint there.",
)
@click.option(
    "--test-alert", is_flag=True, help="Tell everybody of --config a test, and exit."
)
@json_option
@connecting
def monitor(
    once: bool,
    wait: float,
    pause: float,
    metrics: str | None,
    test_alert: bool,
    as_json: bool,
    settings: Settings,
    **more: Any,  # noqa: ANN401  what takes the reading of entries, or a listener
) -> None:
    """Follow logs, and make sure that they only ever grow.

    Waits for each new checkpoint, verifies its signature (and the policy's witnesses),
    and has the log prove that its tree begins with the one before. The newest
    checkpoint is remembered in the folder of --state, shared with all other commands:
    after a crash or a restart the log is still held to everything it signed.

    \b
    What it says:
      grown        more entries, and consistent
      unchanged    the same checkpoint (said once)
      frozen       the log has ended, as it announced, and names its successor if any
      stale        an older head of the same log is served; no lie, but look into it
      unreachable  no answer; tried again, less and less often, up to once a minute
      misbehaves   forked, rolled back, unproved, not signed, or grown after its end:
                   what shows it is written to a file for `provlog verify`, and the
                   exit code is 1

    With --full, --mirror or --rules every new entry is downloaded too, held against the
    log's own rules, and led to the root that was signed. With a --config that has
    [[log]] tables many logs are followed, each for itself, and alerts go out by webhook
    and mail; a log that misbehaves stays in alarm, and the others are followed on.

    \b
    Examples:
      provlog monitor --metrics 127.0.0.1:9470
      provlog monitor --mirror /srv/mirror --listen 127.0.0.1:9470
      provlog monitor --config monitor.toml
      provlog monitor --config monitor.toml --test-alert
      provlog monitor --json >> monitor.jsonl
      */5 * * * * provlog monitor --once --json    (in a crontab)

    SIGTERM and Ctrl-C end it with 0. With --once: 0 if all is well, 3 if the log is
    unreachable or its head stale. 1 if it misbehaves; 2 for a mistake in the call, or a
    token that does not reach the log. Many logs: 1 at the end if any is in alarm
    because it misbehaves; with --once the worst of 1, 2, 3 and 0.
    """
    many = click.get_current_context().meta.get(MANY_LOGS)
    _require_sense(many, metrics, in_full=any(more.values()))
    if many is not None or test_alert:
        _many(many, once=once, test_alert=test_alert, as_json=as_json)
    elif any(more.values()):
        more |= {"wait": wait, "pause": pause}
        _in_full(settings, once=once, as_json=as_json, **more)
    else:
        _one(settings, once, wait, pause, metrics, as_json)


def _require_sense(many: Path | None, metrics: str | None, *, in_full: bool) -> None:
    if many is not None and (typed := typed_options(_OF_MANY)):
        why = f"what is done with many logs stands in {many} alone"
        raise UsageError(f"{', '.join(typed)}: {why}")
    if in_full and metrics:
        raise UsageError("--listen shows metrics too: leave --metrics out")


def _one(
    settings: Settings,
    once: bool,
    wait: float,
    pause: float,
    metrics: str | None,
    as_json: bool,
) -> None:
    # Not at the top: `provlog verify` does without anything that knows of networks.
    import asyncio

    trust = settings.trust()
    printer = _Printer(as_json=as_json, always=once)
    with _metrics(metrics, trust) as observe:

        def tell(report: "Report") -> None:
            observe(report)
            printer(report)

        if once:
            _require_current(asyncio.run(_look(settings, trust, tell)))
        else:
            asyncio.run(_follow(settings, trust, wait, pause, tell))


def _many(path: Path | None, *, once: bool, test_alert: bool, as_json: bool) -> None:
    from provlog.client.cli.monitoring_many import (
        follow_many,
        look_at_many,
        try_alerts,
    )
    from provlog.client.monitoring.config import read_config

    if path is None:
        raise UsageError("who is told of a test stands in a --config with [[log]]")
    config = read_config(path)
    if test_alert:
        try_alerts(config, as_json=as_json)
    elif once:
        look_at_many(config, as_json=as_json)
    else:
        note(f"following {len(config.logs)} logs")
        follow_many(config, as_json=as_json, until_lie=False)


def _in_full(
    settings: Settings,
    *,
    once: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401  those of `one_log`
) -> None:
    from provlog.client.cli.monitoring_many import follow_many, look_at_many, one_log

    config = one_log(settings, **options)
    if once:
        look_at_many(config, as_json=as_json)
    else:
        follow_many(config, as_json=as_json, until_lie=True)


class _Printer:
    """Prints reports; of those that say the same as the one before, only the first."""

    def __init__(self, *, as_json: bool, always: bool) -> None:
        self._as_json = as_json
        self._always = always
        self._last: tuple[str, int | None] | None = None

    def __call__(self, report: "Report") -> None:
        said = report.event, report.size
        if said == self._last and not self._always:
            return
        grown, self._last = self._last, said
        if report.event == "unchanged" and grown == ("grown", report.size):
            return
        if self._as_json:
            print_json(report.to_json())
            return
        shown = printable(report.detail)
        click.echo(f"{format_time(report.at)}  {report.event:<11}  {shown}")
        if report.event == "misbehaves" and report.evidence is not None:
            click.echo(f"both signed checkpoints are kept: {report.evidence}")


@contextlib.contextmanager
def _metrics(address: str | None, trust: Trust) -> Iterator[OnReport]:
    if address is None:
        yield lambda _: None
        return
    from provlog.client.watching_metrics import MetricsServer, MonitorMetrics

    metrics = MonitorMetrics(trust.origin)
    with MetricsServer(metrics, address) as server:
        note(f"metrics on {server.url}")
        yield metrics.observe


async def _look(settings: Settings, trust: Trust, tell: OnReport) -> "Report":
    async with _watching(settings, trust, tell, None) as watch:
        report = await watch.look()
        tell(report)
    return report


def _require_current(report: "Report") -> None:
    if report.event in ("unreachable", "stale"):
        raise UnavailableError(report.detail)


async def _follow(
    settings: Settings, trust: Trust, wait: float, pause: float, tell: OnReport
) -> None:
    import asyncio

    from provlog.client.watching import follow

    patience = min(settings.patience, FOLLOWING_PATIENCE)
    async with _watching(settings, trust, tell, patience) as watch:
        task = asyncio.create_task(
            follow(watch, wait=wait, pause=pause, on_report=tell)
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Where a loop has no signal handlers, Ctrl-C still interrupts it.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def _watching(
    settings: Settings, trust: Trust, tell: OnReport, patience: float | None
) -> AsyncIterator["Watch"]:
    from provlog.client.watching import MisbehaviourError, Watch

    reader = settings.reader(trust, patience=patience)
    try:
        yield Watch(reader, trust, settings.memory())
    except MisbehaviourError as error:
        tell(error.report)
        raise error.cause from None
    finally:
        await reader.close()
