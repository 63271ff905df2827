"""From alerts to those who are told: each way has its own backlog and its own pace."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from provlog.client.alerting.alerts import Alert, Severity, at_least
from provlog.client.alerting.backlog import Backlog
from provlog.client.errors import UsageError

FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 600.0
MAX_PASSED: Final = 20
"""Alerts of which each was refused alone: so many do not hold those behind them up."""

OnTrouble = Callable[[str], None]


class DeliveryError(Exception):
    """An alert was not delivered; it may be tried again. The text names no secret.

    `alone`: the receiver answers, and it is this one alert that it does not take.
    """

    def __init__(self, text: str, *, alone: bool = False) -> None:
        super().__init__(text)
        self.alone = alone


class Channel(Protocol):
    """A way to tell people. `name` is its name in files and metrics."""

    @property
    def name(self) -> str:
        """The channel's name."""

    @property
    def least(self) -> Severity:
        """The lowest severity that goes this way."""

    async def deliver(self, alert: Alert) -> None:
        """Tell one alert, or raise `DeliveryError`."""

    async def close(self) -> None:
        """Close all connections."""


@dataclass(slots=True)
class _Way:
    channel: Channel
    backlog: Backlog
    more: asyncio.Event
    lock: asyncio.Lock
    delivered: int = 0
    failed: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one way stands: for metrics and status."""

    waiting: int
    delivered: int
    failed: int
    dropped: int
    trouble: str


class Sender:
    """Sends alerts by all channels; `put` keeps them in `folder`, `run` delivers them.

    The pause after a failure doubles from `first_pause` seconds to ten minutes.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        folder: Path,
        *,
        first_pause: float = FIRST_PAUSE,
        on_trouble: OnTrouble = lambda _: None,
    ) -> None:
        self._first_pause = first_pause
        self._on_trouble = on_trouble
        self._ways = [
            _Way(
                each,
                Backlog(folder / f"{each.name}.json"),
                asyncio.Event(),
                asyncio.Lock(),
            )
            for each in channels
        ]

    async def put(self, alerts: Sequence[Alert]) -> None:
        """Keep alerts for every channel they are severe enough for; on disk then.

        What is resolved goes by the severity it had, and a test goes everywhere.
        """
        for way in self._ways:
            least = way.channel.least
            chosen = [
                each
                for each in alerts
                if each.phase == "test" or at_least(each.severity, least)
            ]
            if chosen:
                async with way.lock:
                    await asyncio.to_thread(way.backlog.put, chosen)
                way.more.set()

    async def run(self) -> None:
        """Deliver for ever, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for way in self._ways:
                group.create_task(self._run(way))

    async def flush(self, seconds: float) -> bool:
        """Try to deliver all that waits, once each; tell whether nothing waits now."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(self._drain(way) for way in self._ways))
        return not any(len(way.backlog) for way in self._ways)

    def state(self) -> Mapping[str, Delivery]:
        """Return how each channel stands, by its name."""
        return {
            way.channel.name: Delivery(
                len(way.backlog),
                way.delivered,
                way.failed,
                way.backlog.dropped,
                way.trouble,
            )
            for way in self._ways
        }

    async def close(self) -> None:
        """Close all connections."""
        for way in self._ways:
            await way.channel.close()

    async def _run(self, way: _Way) -> None:
        pause = self._first_pause
        while True:
            way.more.clear()
            if await self._drain(way):
                pause = self._first_pause
                await way.more.wait()
                continue
            # Half of it is chance, so that many monitors do not come back as one.
            chance = random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
            await asyncio.sleep(pause * chance)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _drain(self, way: _Way) -> bool:
        """Deliver until nothing waits, or something fails; tell whether nothing did.

        What is in an alert may be what a receiver, or a filter before it, refuses; and
        a log has a say in that. Such a one is passed, and tried again in its turn.
        """
        passed = 0
        while (alert := way.backlog.next(passed)) is not None:
            try:
                await way.channel.deliver(alert)
            except DeliveryError as error:
                way.failed += 1
                if str(error) != way.trouble:
                    self._on_trouble(
                        f"alert not delivered by {way.channel.name}: {error}"
                    )
                way.trouble = str(error)
                passed += 1
                if error.alone and passed < MAX_PASSED:
                    continue
                return False
            way.delivered += 1
            way.trouble = "" if not passed else way.trouble
            await self._take(way, alert)
        return not passed

    async def _take(self, way: _Way, alert: Alert) -> None:
        try:
            async with way.lock:
                await asyncio.to_thread(way.backlog.take, alert)
        except UsageError as error:
            # A full disk ends nothing; after a restart it is delivered once more.
            self._on_trouble(str(error))
