"""`provlog-server scim-proxy` and a SCIM server of others, as processes."""

import json
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.entries import parse_entry
from provlog.server.instance import Instance
from provlog.server.service import Service
from support.leaks import OUTPUT, WATCH
from support.nginx import free_port
from support.servers import COMMAND, environment, provlog_server

SOURCE = "urn:scim:acme"
PROGRAMS = Path(sys.executable).parent
_LINE = re.compile(r'"([A-Z]+) (\S+) HTTP/1\.[01]" (\d{3})')


@dataclass
class ScimServer:
    """The program `scim2-server`, with an access log of its own."""

    url: str
    log: Path

    def changes(self) -> Counter[tuple[str, str, int]]:
        """Return what it says it was asked to change: method, path, status."""
        found = Counter[tuple[str, str, int]]()
        for method, target, status in _LINE.findall(self.log.read_text()):
            path = target.partition("?")[0]
            if method in ("POST", "PUT", "PATCH", "DELETE") and ".search" not in path:
                found[method, path, int(status)] += 1
        return found


@contextmanager
def scim_server(folder: Path) -> Iterator[ScimServer]:
    """Run a SCIM server with nothing in it."""
    port, log = free_port(), folder / "upstream.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [PROGRAMS / "scim2-server", "--port", str(port)], stdout=file, stderr=file
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(f"{url}/v2/ServiceProviderConfig")
        yield ScimServer(url, log)
    finally:
        process.kill()
        process.wait()


def _await(url: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the SCIM server does not answer")


@dataclass
class ProxyProcess:
    """The proxy as a process; `instance` has a log and a source for it."""

    folder: Path
    upstream: str
    options: Sequence[str] = ()
    strict: bool = True
    url: str = ""
    metrics_url: str = ""
    process: "subprocess.Popen[str] | None" = None
    _errors: IO[str] | None = field(default=None, repr=False)

    @property
    def instance(self) -> Instance:
        """Where it writes."""
        return Instance(self.folder / "data", self.folder / "guard")

    @classmethod
    def init(cls, folder: Path, upstream: str, *options: str) -> Self:
        """Make an instance for a proxy, which is not started."""
        where = ("--dir", folder / "data")
        provlog_server("init", *where, "--guard", folder / "guard", "--dev", "--json")
        provlog_server("source", "create", *where, "--connector", "scim", SOURCE)
        return cls(folder, upstream, options)

    def start(self, variables: Mapping[str, str] | None = None) -> Self:
        """Return once it listens."""
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  read at its end
        place = ("--dir", str(self.folder / "data")) if self.strict else ()
        self.process = subprocess.Popen(
            [
                *(*COMMAND, "scim-proxy", *place, "--json"),
                *("--source", SOURCE, "--upstream", self.upstream),
                *("--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"),
                *self.options,
            ],
            env=environment() | dict(variables or {}),
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = selector.select(30) and self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the proxy did not start: {self.stop(signal.SIGKILL)}")
        said = json.loads(str(line))
        self.url, self.metrics_url = said["url"], said["metrics_url"]
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it; return its exit code and what it said."""
        assert self.process is not None
        assert self._errors is not None
        self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.seek(0)
        text = self._errors.read()
        self._errors.close()
        self.process = None
        WATCH.saw(OUTPUT, "scim-proxy", text)
        return code, text

    def __enter__(self) -> Self:
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.stop(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry of the log: its type, the result, and the record if it holds one."""

    type: str
    result: str
    record: dict[str, Any] | None


async def logged(instance: Instance) -> list[Logged]:
    """Return the events of the log, in order."""
    found = list[Logged]()
    async with Service.of(instance) as service:
        log = await service.log("main")
        assert log is not None
        head = await service.storage.head(log.id)
        leaves = await service.storage.leaves(log.id, 0, head.size)
        private = await service.storage.private_rows(log.id, 0, head.size)
    for index, leaf in enumerate(leaves):
        entry = parse_entry(leaf)
        if entry.kind == "event":
            read = map(parse_disclosure, private[index].disclosures)
            members: dict[str, Any] = {each.name: each.value for each in read}
            original = members.get("original")
            record = json.loads(original["body"]) if original else None
            type_ = str(entry.body["type"])
            found.append(Logged(type_, members["outcome"]["result"], record))
    return found
