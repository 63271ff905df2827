"""The server's own check: `fsck`'s, slowly, for as long as the server runs.

It runs on a thread of its own with a read-only connection of its own. Python runs one
thread at a time, so what it takes is taken from the service: it works in strides of a
few milliseconds, pauses after each so that it keeps to its rate, and never works more
than half of the time.
"""

import logging
import threading
import time
from typing import Final

from provlog.server.errors import ServiceError, describe
from provlog.server.instance import Instance
from provlog.server.metrics import Metrics
from provlog.server.selfcheck.findings import Findings
from provlog.server.selfcheck.passes import Pass
from provlog.server.storage.base import StorageError

logger = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 60.0
LOGGED: Final = 20
"""How many findings of a pass are written to the server's log, word by word."""


class SelfCheck:
    """Passes over an instance, one after the other.

    `rate` is in entries a second, `pause` the seconds between two passes. Findings
    count from the moment they are made until a later pass has come to its end without
    them.
    """

    def __init__(
        self,
        instance: Instance,
        metrics: Metrics,
        rate: float,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self._instance = instance
        self._metrics = metrics
        self._rate = rate
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="selfcheck", daemon=True)
        self._last = 0
        self._found = 0

    def start(self) -> None:
        """Begin the first pass."""
        self._thread.start()

    def stop(self) -> None:
        """End the check and wait for its thread; a pass is left where it is."""
        self._stopping.set()
        self._thread.join()

    def trouble(self) -> str | None:
        """Return what stands in the way of readiness, None if nothing does."""
        if self._found:
            return f"findings: {self._found}; run provlog-server fsck"
        if not self._thread.is_alive() and not self._stopping.is_set():
            return "the self-check has stopped"
        return None

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._pass()
            except Exception as error:
                self._metrics.selfcheck_failures.inc()
                known = isinstance(error, (ServiceError, StorageError, OSError))
                why = str(error) if known else describe(error)
                logger.error("the self-check was broken off: %s", why)
            self._stopping.wait(self._pause)

    def _pass(self) -> None:
        check = Pass(self._instance)
        steps = check.steps()
        begun, logged = time.monotonic(), 0
        for step in steps:
            self._metrics.selfcheck_position.labels(step.log).set(step.done)
            logged = self._note(check.findings, logged)
            if self._rest(step.cost / self._rate, time.monotonic() - begun):
                steps.close()
                return
            begun = time.monotonic()
        self._note(check.findings, logged)
        self._last = 0
        self._count(check.findings.total)
        self._last = check.findings.total
        self._metrics.selfcheck_passes.inc()
        self._metrics.selfcheck_last_pass.set(time.time())

    def _rest(self, planned: float, spent: float) -> bool:
        """Wait after work of `spent` seconds; tell whether the check is to end."""
        return self._stopping.wait(max(planned - spent, spent))

    def _note(self, findings: Findings, logged: int) -> int:
        """Write new findings to the log; return how many of them were written."""
        for finding in findings.kept[logged:LOGGED]:
            logger.critical("self-check: %s", finding.text())
        self._count(findings.total)
        return max(logged, min(len(findings.kept), LOGGED))

    def _count(self, found: int) -> None:
        self._found = max(found, self._last)
        self._metrics.selfcheck_findings.set(self._found)
