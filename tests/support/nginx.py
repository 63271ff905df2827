"""nginx with the configuration of `deploy/`, at other places and on other ports."""

import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from support.deploying import DEPLOY
from support.edges import Pair
from support.leaks import OUTPUT, WATCH

SERVERS = ("provlog-1:8470", "provlog-2:8470")


def moved(text: str, places: dict[str, str]) -> str:
    """Return a configuration with other places; each of them has to be in it."""
    for old in places:
        assert old in text, old
    # In one go: a new place may hold an old one's name.
    return re.sub("|".join(map(re.escape, places)), lambda old: places[old[0]], text)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Nginx:
    """nginx in a folder of its own, in front of two servers ("host:port").

    It listens on `port` of the loopback and speaks TLS with `pair`.
    """

    folder: Path
    servers: tuple[str, str]
    pair: Pair
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    _errors: IO[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        main = (DEPLOY / "nginx" / "nginx.conf").read_text()
        site = (DEPLOY / "nginx" / "provlog.conf").read_text()
        places = {"/etc/nginx/conf.d": str(self.folder), "/tmp/": f"{self.folder}/"}
        (self.folder / "nginx.conf").write_text(moved(main, places))
        places = {
            "listen 8443": f"listen 127.0.0.1:{self.port}",
            "/run/secrets/tls_cert": str(self.pair.chain),
            "/run/secrets/tls_key": str(self.pair.key),
            "/dev/stdout": str(self.access_log),
            **dict(zip(SERVERS, self.servers, strict=True)),
        }
        (self.folder / "provlog.conf").write_text(moved(site, places))

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def access_log(self) -> Path:
        """What it logs of requests."""
        return self.folder / "access.log"

    @property
    def error_log(self) -> Path:
        """What else it says, over all its starts."""
        return self.folder / "errors"

    def command(self, *more: str) -> list[str]:
        """Return the command that runs it, or does something else with it."""
        # Tests may run as root, whose folders no other user's workers can reach.
        user = "user root; " if os.geteuid() == 0 else ""
        path = str(self.folder / "nginx.conf")
        globally = f"daemon off; {user}".strip()
        return ["nginx", "-c", path, "-e", "stderr", "-g", globally, *more]

    def start(self) -> Self:
        """Start it and return once it listens."""
        self._errors = self.error_log.open("ab")
        self.process = subprocess.Popen(self.command(), stderr=self._errors)
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, self.error_log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it at once (SIGTERM), or when all requests are answered (SIGQUIT)."""
        assert self.process is not None
        assert self._errors is not None
        self.process.send_signal(number)
        self.process.wait(30)
        self.process = None
        self._errors.close()
        for log in (self.access_log, self.error_log):
            WATCH.saw(OUTPUT, f"nginx {log.name}", log.read_text())

    def __enter__(self) -> Self:
        return self if self.process else self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.stop()
