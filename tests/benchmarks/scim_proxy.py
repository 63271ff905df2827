"""What `scim-proxy` adds to a request: `make bench`, or `make benchproxy` alone.

The proxy in a process of its own, strict, with SQLite and full flush, before a SCIM
server in another, which answers at once. One caller sends each change twice, straight
and through the proxy, in turns that begin with the one and with the other; what is
added is the difference within each pair. Figures of different machines or days do not
compare.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from yarl import URL

from benchmarks.bench import machine
from support.fake_scim import fake_scim
from support.scim_processes import ProxyProcess

WARMING = 20
CREATE = json.dumps(
    {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "ann@example.com",
        "externalId": "E-1001",
        "name": {"givenName": "Ann", "familyName": "Example"},
        "emails": [{"type": "work", "value": "ann@example.com"}],
        "active": True,
    }
).encode()


@dataclass(frozen=True)
class Figures:
    """One kind of request: medians in ms, straight and through the proxy.

    `added_p50_ms` and `added_p95_ms` are of the differences within the pairs.
    """

    request: str
    pairs: int
    straight_p50_ms: float
    proxied_p50_ms: float
    added_p50_ms: float
    added_p95_ms: float


class Caller:
    """One connection that is kept, and a request at a time on it."""

    def __init__(self, url: str) -> None:
        self._url = URL(url)

    async def open(self) -> "Caller":
        """Connect."""
        assert self._url.host is not None
        streams = await asyncio.open_connection(self._url.host, self._url.port)
        self._reader, self._writer = streams
        return self

    async def ask(self, method: str, body: bytes) -> float:
        """Return in how many milliseconds a request is answered."""
        head = (
            f"{method} /v2/Users HTTP/1.1\r\nHost: {self._url.authority}\r\n"
            "Content-Type: application/scim+json\r\nAuthorization: Bearer opaque\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        self._writer.write(head.encode() + body)
        fields = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(fields.partition(b"content-length:")[2].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        took = time.perf_counter() - began
        assert fields.split()[1].startswith(b"2"), fields[:30]
        return took * 1000

    def close(self) -> None:
        """End the connection."""
        self._writer.close()


async def measure(
    name: str, method: str, body: bytes, urls: tuple[str, str], pairs: int
) -> Figures:
    """Return the figures of one kind of request."""
    straight, proxied = [await Caller(url).open() for url in urls]
    took: dict[Caller, list[float]] = {straight: [], proxied: []}
    for number in range(WARMING + pairs):
        for caller in (straight, proxied) if number % 2 else (proxied, straight):
            took[caller].append(await caller.ask(method, body))
    for caller in took:
        caller.close()
    without, through = (each[WARMING:] for each in took.values())
    added = sorted(b - a for a, b in zip(without, through, strict=True))
    return Figures(
        name,
        pairs,
        round(statistics.median(without), 2),
        round(statistics.median(through), 2),
        round(statistics.median(added), 2),
        round(added[int(len(added) * 0.95)], 2),
    )


def flush_ms(folder: Path, times: int = 100) -> float:
    """Return the median milliseconds that flushing a page takes on a folder's disk.

    A change waits for two commits, and what these wait for is the disk.
    """
    took = list[float]()
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(took), 2)


def serve_scim(told: Connection) -> None:
    """Serve a SCIM server that answers at once, until the process is ended."""

    async def serve() -> None:
        async with fake_scim() as scim:
            told.send(scim.url)
            while True:
                scim.seen.clear()
                await asyncio.sleep(1)

    uvloop.run(serve())


async def run_all(urls: tuple[str, str], pairs: int) -> list[Figures]:
    """Return the figures of a change and of a request that only reads."""
    return [
        await measure("change (POST /Users)", "POST", CREATE, urls, pairs),
        await measure("read (GET /Users)", "GET", b"", urls, pairs),
    ]


def with_scim_server(work: Callable[[str], list[Figures]]) -> list[Figures]:
    """Do something with the URL of a SCIM server in a process of its own."""
    told, tell = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=serve_scim, args=(tell,), daemon=True
    )
    process.start()
    try:
        return work(told.recv())
    finally:
        process.kill()
        process.join()


def main() -> None:
    """Measure, print, and write JSON where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    def work(upstream: str) -> list[Figures]:
        with (
            tempfile.TemporaryDirectory(dir=Path.cwd()) as folder,
            ProxyProcess.init(Path(folder), upstream) as proxy,
        ):
            return uvloop.run(run_all((upstream, proxy.url), options.pairs))

    results = with_scim_server(work)
    for row in results:
        print(
            f"{row.request:<22}{row.pairs:>6} pairs: straight {row.straight_p50_ms} ms,"
            f" through the proxy {row.proxied_p50_ms} ms; added {row.added_p50_ms} ms"
            f" at the median, {row.added_p95_ms} ms at the 95th percentile"
        )
    flush = flush_ms(Path.cwd())
    print(f"one flush of this disk takes {flush} ms at the median, just now")
    if options.json:
        written = {
            "machine": machine(),
            "flush_p50_ms": flush,
            "results": [asdict(row) for row in results],
        }
        options.json.write_text(json.dumps(written, indent=2))


if __name__ == "__main__":
    main()
