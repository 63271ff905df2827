"""What is known of sources survives `kill -9`, and every worker knows the same."""

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from provlog.server.health.following import KEEP_LEAVES
from support.crowds import event
from support.observers import BATCH, bearer
from support.servers import Server
from support.workers import await_that

BATCH_EVENTS = 1_000
SOURCE = "urn:hr:acme"
QUOTED = "urn%3Ahr%3Aacme"


def submit(server: Server, first: int) -> None:
    """Send a batch of numbered events; after each batch some numbers are missing."""
    events = [
        {**event(f"e{n}"), "source": SOURCE, "sequence": str(n)}
        for n in range(first, first + BATCH_EVENTS)
    ]
    request = urllib.request.Request(
        f"{server.url}/logs/main/events?receipts=none",
        data=json.dumps(events).encode(),
        headers={**bearer(server, "submitter"), "Content-Type": BATCH},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["results"][0]["status"] == 201


def pages(server: Server) -> list[str]:
    """Return the metrics of each worker."""
    found = []
    for url in server.metrics_urls:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as page:
            found.append(page.read().decode())
    return found


def shown(server: Server, name: str, value: float) -> bool:
    """Tell whether every worker shows that of the source."""
    line = f'provlog_source_{name}{{log="main",source="{SOURCE}"}} {value}'
    return all(line in page for page in pages(server))


def health(server: Server) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{server.url}/logs/main/sources/{QUOTED}/health",
        headers=bearer(server, "monitor"),
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    options = ["--dev", "--source", "*"]
    if request.param == "postgres":
        options += ["--database", request.getfixturevalue("postgres_url")]
    return Server.init(tmp_path, *options)


def test_workers_agree_and_go_on_after_they_were_killed(server: Server) -> None:
    server.options = ("--workers", "2", "--selfcheck", "0")
    with server:
        for first in range(1, 5 * 1_010, 1_010):
            submit(server, first)
        await_that(
            lambda: shown(server, "events_total", 5 * BATCH_EVENTS),
            "both workers have read everything",
        )
        assert shown(server, "missing_numbers", 40)
        kept = server.folder / "health" / "main.json"
        await_that(kept.exists, "what was found is kept")
        before = health(server)
        server.stop(signal.SIGKILL)
    _, _, state = kept.read_bytes().partition(b"\n")
    assert json.loads(state)["fold"]["size"] >= KEEP_LEAVES
    with server:
        await_that(lambda: shown(server, "missing_numbers", 40), "both know it again")
        after = health(server)
        for told in (before, after):
            del told["silence"], told["lateness"], told["clock"]
        assert after == before
        submit(server, 6 * 1_010)
        await_that(lambda: shown(server, "missing_numbers", 1_059), "and go on")
