"""Many logs in one process: followers side by side, and what they share.

A follower that fails for a reason of its own is begun anew after a while; the others do
not notice. The state folder has one monitor at a time: two would tell everything twice.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from provlog.client.alerting.alerts import Alert, trial_alert
from provlog.client.alerting.mail import Mail
from provlog.client.alerting.sending import Channel, DeliveryError, Sender
from provlog.client.alerting.webhook import Webhook
from provlog.client.errors import UsageError
from provlog.client.memory import FileMemory
from provlog.client.monitoring.clocks import Clock, JumpDetector, SystemClock
from provlog.client.monitoring.config import MonitorConfig
from provlog.client.monitoring.followed import Followed
from provlog.client.monitoring.following import Follower, OnReport
from provlog.client.monitoring.judging import describe
from provlog.client.monitoring.symptoms import LIES
from provlog.client.outbox.lease import Lease

FLUSH_SECONDS: Final = 30.0
END_SECONDS: Final = 5.0
CLOCK_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 60.0

OnAlert = Callable[[Alert], None]
OnTrouble = Callable[[str], None]


class Daemon:
    """A monitor as `config` has it; `opened` makes one. Times are told by `clock`.

    What happens is told to `on_report` and `on_alert` as well as to those who get
    alerts; `on_trouble` is told what hinders the monitor itself, and `failed` says that
    something did.
    """

    def __init__(
        self,
        config: MonitorConfig,
        clock: Clock,
        on_report: OnReport,
        on_alert: OnAlert,
        on_trouble: OnTrouble,
    ) -> None:
        self._config = config
        self._clock = clock
        self._on_alert = on_alert
        self._on_trouble = on_trouble
        self.failed = False
        memory = FileMemory(config.state)
        self.sender = Sender(
            channels(config), config.state / "alerts", on_trouble=on_trouble
        )
        limit = asyncio.Semaphore(config.passes)
        self.followers = [
            Follower(
                each,
                memory,
                clock,
                self._tell,
                repeat=config.repeat,
                parallel=config.parallel,
                limit=limit,
                on_report=on_report,
            )
            for each in config.logs
        ]

    @property
    def followed(self) -> list[Followed]:
        """What is known of each log, in the order of the configuration."""
        return [each.followed for each in self.followers]

    def lies(self) -> bool:
        """Tell whether any log is in alarm because it misbehaves."""
        return any(LIES.intersection(each.alarms) for each in self.followed)

    async def run(self) -> None:
        """Follow all logs until it is cancelled; what was not told by then is kept."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.sender.run())
                group.create_task(self._watch_clock())
                for each in self.followers:
                    group.create_task(self._keep_following(each))
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_SECONDS):
                    await self.sender.flush(END_SECONDS)

    async def once(self) -> None:
        """Look at every log once, read what is new, and try to tell what is to tell."""
        limit = asyncio.Semaphore(16)

        async def look(follower: Follower) -> None:
            async with limit:
                try:
                    await follower.look()
                    await follower.read()
                except Exception as error:  # one log's trouble is no other log's
                    self._fail(follower, error)

        await asyncio.gather(*(look(each) for each in self.followers))
        await self.sender.flush(FLUSH_SECONDS)

    async def close(self) -> None:
        """Close all connections."""
        for each in self.followers:
            await each.close()
        await self.sender.close()

    async def _tell(self, alerts: Sequence[Alert]) -> None:
        await self.sender.put(alerts)
        for each in alerts:
            self._on_alert(each)

    async def _keep_following(self, follower: Follower) -> None:
        while True:
            try:
                await follower.run()
            except* Exception as errors:  # one log's trouble is no other log's
                self._fail(follower, errors.exceptions[0])
            await asyncio.sleep(AGAIN_SECONDS)

    def _fail(self, follower: Follower, error: Exception) -> None:
        self.failed = True
        self._on_trouble(f"{follower.config.origin}: {describe(error)}")

    async def _watch_clock(self) -> None:
        detector = JumpDetector(self._clock)
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            jumped = detector.jump()
            if jumped is not None:
                text = (
                    f"this machine's clock was set by {jumped:+.0f} s: ages are judged "
                    "by it from now on"
                )
                at = int(self._clock.now() * 1000)
                alert = Alert("clock", "", "warning", text, at, {}, "event")
                try:
                    await self._tell([alert])
                except UsageError as error:
                    self._on_trouble(str(error))


@contextlib.asynccontextmanager
async def opened(
    config: MonitorConfig,
    *,
    clock: Clock | None = None,
    on_report: OnReport = lambda _: None,
    on_alert: OnAlert = lambda _: None,
    on_trouble: OnTrouble = lambda _: None,
) -> AsyncIterator[Daemon]:
    """Yield a monitor that alone uses its state; raises `UsageError`."""
    with _alone(config.state):
        daemon = Daemon(config, clock or SystemClock(), on_report, on_alert, on_trouble)
        try:
            yield daemon
        finally:
            await daemon.close()


def channels(config: MonitorConfig) -> list[Channel]:
    """Return the ways by which people are told."""
    found: list[Channel] = []
    if config.webhook is not None:
        hook = config.webhook
        found.append(Webhook(hook.url, hook.secret, hook.least))
    if config.mail is not None:
        found.append(Mail(config.mail.settings, config.mail.least))
    return found


async def send_trial(config: MonitorConfig, clock: Clock) -> dict[str, str]:
    """Send a test by each channel; return what was the trouble, by channel.

    Raises `UsageError` where there is no channel.
    """
    ways = channels(config)
    if not ways:
        raise UsageError("nobody is told: write [alerts.webhook] or [alerts.mail]")
    troubles = {}
    for way in ways:
        try:
            await way.deliver(trial_alert(int(clock.now() * 1000)))
            troubles[way.name] = ""
        except DeliveryError as error:
            troubles[way.name] = str(error)
        finally:
            await way.close()
    return troubles


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    path = state / "monitor" / "lock"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    lease = Lease(path)
    if not lease.acquire():
        raise UsageError(
            f"{state}: another monitor uses this state; end it, or give this one a "
            "folder of its own"
        )
    try:
        yield
    finally:
        lease.release()
