"""What a monitor tells Prometheus."""

import time
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from provlog.client.errors import UsageError
from provlog.client.watching import Report


class MonitorMetrics:
    """The state of one watched log, in a registry of its own."""

    def __init__(self, origin: str) -> None:
        self.registry = CollectorRegistry()
        labels = ["origin"]

        def gauge(name: str, what: str) -> Gauge:
            name = f"provlog_monitor_{name}"
            made = Gauge(name, what, labels, registry=self.registry)
            return made.labels(origin)

        self._size = gauge("size", "Entries of the newest checkpoint accepted")
        self._served = gauge("served_size", "Entries of the checkpoint served last")
        self._reachable = gauge("reachable", "1 if the last look had an answer")
        self._stale = gauge("stale", "1 if an older head was served last")
        self._verified = gauge(
            "last_verified_timestamp_seconds", "When a checkpoint was verified last"
        )
        self._grown = gauge(
            "last_growth_timestamp_seconds", "When the log was seen to have grown"
        )
        self._looks = Counter(
            "provlog_monitor_looks",
            "Looks at the log by what they showed",
            [*labels, "event"],
            registry=self.registry,
        )
        self._origin = origin

    def observe(self, report: Report) -> None:
        """Take in one report."""
        self._looks.labels(self._origin, report.event).inc()
        self._reachable.set(report.event != "unreachable")
        self._stale.set(report.event == "stale")
        if report.newest is not None:
            self._size.set(report.newest)
        if report.size is not None:
            self._served.set(report.size)
            self._verified.set(report.at / 1000)
        if report.event == "grown":
            self._grown.set(time.time())


class MetricsServer:
    """Serves metrics over HTTP while the context is open; `url` says where."""

    def __init__(self, metrics: MonitorMetrics, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise UsageError("metrics are served at HOST:PORT, such as 127.0.0.1:9470")
        host = host.strip("[]")
        try:
            self._server, self._thread = start_http_server(
                int(port), host, metrics.registry
            )
        except OSError as error:
            raise UsageError(f"metrics: {address}: {error.strerror}") from None
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
