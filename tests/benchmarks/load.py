"""A load generator: HTTP/1.1 over kept-alive connections, as little of it as will do.

It shares the machine with the server it measures, so it must cost little; a full client
library would be measured along with the server.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

_SETTLE_SECONDS = 0.2


@dataclass(slots=True)
class Load:
    """What one run saw: seconds for each answer, wrong statuses, sampled bodies."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    samples: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency that `share` of the answers did not exceed, in ms."""
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


class _Connection(asyncio.Protocol):
    """Sends one request after another and times each answer."""

    def __init__(
        self,
        load: Load,
        requests: Callable[[], bytes | None],
        expected: bytes,
        sample_every: int,
    ) -> None:
        self._load = load
        self._requests = requests
        self._expected = b"HTTP/1.1 " + expected
        self._sample_every = sample_every
        self._buffer = bytearray()
        self._needed = 0
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop has a transport class of its own.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._needed:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            start = head.index(b"content-length:") + 15
            length = head[start:].split(b"\r\n", 1)[0]
            self._needed = end + 4 + int(length)
        if len(self._buffer) >= self._needed:
            self._answered(bytes(self._buffer))
            self._buffer.clear()
            self._needed = 0
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _answered(self, answer: bytes) -> None:
        load = self._load
        load.latencies.append(time.perf_counter() - self._sent)
        if not answer.startswith(self._expected):
            load.failures += 1
        elif len(load.latencies) % self._sample_every == 0:
            load.samples.append(answer.partition(b"\r\n\r\n")[2])

    def send(self) -> None:
        """Send the next request, or close the connection."""
        request = self._requests()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)


async def run_load(
    address: tuple[str, int],
    connections: int,
    seconds: float,
    make_request: Callable[[], bytes],
    *,
    expected: str = "201",
    sample_every: int = 100,
) -> Load:
    """Return what `connections` senders saw in `seconds`.

    `make_request` returns a whole request; `expected` is the status every answer must
    have. One answer in `sample_every` is kept.
    """
    load = Load()
    loop = asyncio.get_running_loop()
    deadline = 0.0

    def next_request() -> bytes | None:
        return make_request() if time.perf_counter() < deadline else None

    made = [
        await loop.create_connection(
            lambda: _Connection(load, next_request, expected.encode(), sample_every),
            *address,
        )
        for _ in range(connections)
    ]
    # All connect before anybody sends: the last to be accepted must not be timed while
    # the first already load the server.
    await asyncio.sleep(_SETTLE_SECONDS)
    start = time.perf_counter()
    deadline = start + seconds
    for _, protocol in made:
        protocol.send()
    await asyncio.gather(*(protocol.done for _, protocol in made))
    load.seconds = time.perf_counter() - start
    return load
