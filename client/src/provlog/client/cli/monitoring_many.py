"""`provlog monitor` for many logs, or for one that is read in full or copied."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provlog.client.cli.output import note, print_json
from provlog.client.cli.settings import Settings
from provlog.client.errors import UsageError, printable
from provlog.merkle.encoding import format_time

if TYPE_CHECKING:
    from provlog.client.alerting.alerts import Alert
    from provlog.client.monitoring.config import MonitorConfig
    from provlog.client.monitoring.daemon import Daemon
    from provlog.client.watching import Report

UNAVAILABLE = 3
USAGE = 2
MISBEHAVES = 1

_UNUSABLE = ("refused", "unread", "trouble", "rules")


class Teller:
    """Prints what happens to many logs; what was said of one already is not repeated.

    `on_lie` is called when a log begins to be in alarm because it misbehaves.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        always: bool,
        on_lie: Callable[[], None] = lambda: None,
    ) -> None:
        self._as_json = as_json
        self._always = always
        self.on_lie = on_lie
        self._last: dict[str, tuple[str, int | None]] = {}
        self._said: set[tuple[str, str]] = set()

    def report(self, report: "Report") -> None:
        """Print what a look showed."""
        said = report.event, report.size
        self._said.add((report.origin, report.event))
        before, self._last[report.origin] = self._last.get(report.origin), said
        if not self._always and (
            said == before or said == ("unchanged", (before or said)[1])
        ):
            return
        if self._as_json:
            print_json(report.to_json())
            return
        time, origin = format_time(report.at), printable(report.origin)
        click.echo(f"{time}  {report.event:<11}  {origin}: {printable(report.detail)}")

    def alert(self, alert: "Alert") -> None:
        """Print an alert, whoever else is told."""
        from provlog.client.monitoring.symptoms import LIES

        self._said.add((alert.origin, alert.kind))
        if self._as_json:
            print_json({"event": "alert", **alert.to_json()})
        else:
            about = printable(alert.origin) or "this monitor"
            click.echo(
                f"{format_time(alert.at)}  ALERT {alert.phase}: {alert.severity}: "
                f"{alert.kind}: {about}: {printable(alert.text)}"
            )
            if "evidence" in alert.details:
                click.echo(f"what shows it is kept: {alert.details['evidence']}")
        if alert.kind in LIES and alert.phase == "begins":
            self.on_lie()

    def standing(self, origin: str, present: Mapping[str, str]) -> None:
        """Note what is wrong with a log and was not printed yet.

        It was told by an earlier run, or has not lasted long enough for an alert.
        """
        for kind, text in present.items():
            if (origin, kind) not in self._said:
                note(f"{printable(origin)}: {kind}: {printable(text)}")


def one_log(
    settings: Settings,
    *,
    wait: float,
    pause: float,
    full: bool,
    mirror: Path | None,
    rules: Path | None,
    max_age: int | None,
    listen: str | None,
) -> "MonitorConfig":
    """Return what the options of one log come to, or raise `UsageError`.

    `max_age` is in milliseconds.
    """
    from provlog.client.monitoring.config import (
        MAX_AGE,
        TOLERANCE,
        LogConfig,
        MonitorConfig,
    )
    from provlog.client.monitoring.freshness import Freshness

    if settings.url is None:
        raise UsageError("no server: give its URL with --url (or PROVLOG_URL)")
    age = MAX_AGE if max_age is None else max_age / 1000
    log = LogConfig(
        settings.url,
        settings.log,
        settings.trust(),
        settings.token,
        insecure=settings.insecure,
        pause=pause,
        wait=wait,
        full=full or mirror is not None or rules is not None,
        mirror=mirror,
        rules=rules,
        freshness=Freshness(age, TOLERANCE),
    )
    return MonitorConfig((log,), settings.memory().folder, listen)


def follow_many(config: "MonitorConfig", *, as_json: bool, until_lie: bool) -> None:
    """Follow all logs until a signal; exit code 1 if one is in alarm for a lie then.

    With `until_lie` the first one ends it.
    """
    if asyncio.run(_follow(config, as_json=as_json, until_lie=until_lie)):
        raise click.exceptions.Exit(MISBEHAVES)


def look_at_many(config: "MonitorConfig", *, as_json: bool) -> None:
    """Look at all logs once; the exit code says what the worst of them is."""
    code = asyncio.run(_look(config, as_json=as_json))
    if code:
        raise click.exceptions.Exit(code)


def try_alerts(config: "MonitorConfig", *, as_json: bool) -> None:
    """Send a test to everybody who is told; exit code 3 if one did not get it."""
    from provlog.client.monitoring.clocks import SystemClock
    from provlog.client.monitoring.daemon import send_trial

    troubles = asyncio.run(send_trial(config, SystemClock()))
    for name, trouble in troubles.items():
        if as_json:
            print_json({"event": "test", "channel": name, "trouble": trouble or None})
        else:
            click.echo(f"{name}: {trouble or 'delivered'}")
    if any(troubles.values()):
        raise click.exceptions.Exit(UNAVAILABLE)


async def _follow(config: "MonitorConfig", *, as_json: bool, until_lie: bool) -> bool:
    from provlog.client.monitoring.daemon import opened

    teller = Teller(as_json=as_json, always=False)
    async with (
        opened(
            config,
            on_report=teller.report,
            on_alert=teller.alert,
            on_trouble=lambda text: note(printable(text)),
        ) as daemon,
        _listening(config, daemon),
    ):
        task = asyncio.create_task(daemon.run())
        if until_lie:
            teller.on_lie = lambda: _end(task)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Where a loop has no signal handlers, Ctrl-C still interrupts it.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return daemon.lies()


@contextlib.asynccontextmanager
async def _listening(config: "MonitorConfig", daemon: "Daemon") -> AsyncIterator[None]:
    if config.listen is None:
        yield
        return
    from provlog.client.monitoring.clocks import SystemClock
    from provlog.client.monitoring.listening import Listener, parse_address

    host, port = parse_address(config.listen, insecure=config.insecure_listen)
    listener = Listener(lambda: daemon.followed, daemon.sender.state, SystemClock())
    async with listener.serving(host, port) as url:
        note(f"listening on {url}")
        yield


def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()


async def _look(config: "MonitorConfig", *, as_json: bool) -> int:
    from provlog.client.monitoring.daemon import opened
    from provlog.client.monitoring.symptoms import LIES

    teller = Teller(as_json=as_json, always=True)
    async with opened(
        config,
        on_report=teller.report,
        on_alert=teller.alert,
        on_trouble=lambda text: note(printable(text)),
    ) as daemon:
        await daemon.once()
        for each in daemon.followed:
            teller.standing(each.origin, each.present)
        present = {kind for each in daemon.followed for kind in each.present}
        present.discard("frozen")
    if LIES & present:
        return MISBEHAVES
    if daemon.failed or present.intersection(_UNUSABLE):
        return USAGE
    return UNAVAILABLE if present else 0
