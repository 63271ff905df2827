"""Logs of ours that other people's programs read: served, exported, and damaged."""

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

from support.events import event_json
from support.interop import BIN
from support.servers import Server

Done: TypeAlias = "subprocess.CompletedProcess[str]"


def run_program(name: str, *arguments: str | Path, seconds: float = 90.0) -> Done:
    """Run one of other people's programs to its end, whatever that is."""
    return subprocess.run(
        [BIN / name, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def prefix(server: Server) -> str:
    """Return where tlog-tiles clients read the log `main`."""
    return f"{server.url}/logs/main/"


def fill(server: Server, first: int, count: int) -> None:
    """Put events with the ids `first` and the next ones into the log."""
    events = [event_json(id=f"interop-{n}") for n in range(first, first + count)]
    request = urllib.request.Request(
        f"{prefix(server)}events?receipts=none",
        json.dumps(events).encode(),
        {
            "Content-Type": "application/cloudevents-batch+json",
            "Authorization": f"Bearer {server.tokens['submitter']}",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        results = json.load(answer)["results"]
    assert [each["status"] for each in results] == [201] * count


def ask(server: Server, path: str) -> bytes:
    """Return what the log serves at a path below its prefix."""
    request = urllib.request.Request(
        prefix(server) + path,
        headers={"Authorization": f"Bearer {server.tokens['monitor']}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        body: bytes = answer.read()
    return body


def ask_json(server: Server, path: str) -> Any:  # noqa: ANN401
    """Return what the log serves at a path, as JSON."""
    return json.loads(ask(server, path))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def handed_out(folder: Path) -> Iterator[str]:
    """Yield the address at which any web server would hand out a folder."""
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def flipped_byte(path: Path, at: int) -> Iterator[None]:
    """Have one bit of a byte of a file be another one within the block."""
    whole = path.read_bytes()
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    try:
        yield
    finally:
        path.write_bytes(whole)
        path.chmod(mode)
