"""transparency-dev's omniwitness as a process, and what a log sends to a witness."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from provlog.merkle.cosigners import Cosigner
from provlog.merkle.keys import KeyType, VerifierKey
from support.interop import BIN

NAME = "omniwitness.example/w1"


class Reply(NamedTuple):
    """What a witness answered."""

    status: int
    media_type: str
    body: str


def post(url: str, body: bytes) -> Reply:
    """Return the answer of the witness at a submission prefix to `add-checkpoint`."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("POST", f"{parts.path}/add-checkpoint", body)
        answer = connection.getresponse()
        media_type = answer.getheader("Content-Type", "")
        return Reply(answer.status, media_type, answer.read().decode())
    finally:
        connection.close()


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@dataclass
class Omniwitness:
    """An omniwitness with a database, an Ed25519 key and one of ML-DSA-44."""

    folder: Path
    vkeys: Sequence[str]
    """Of the logs that it cosigns; their names are the origins."""
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The submission prefix."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def cosigners(self) -> list[Cosigner]:
        """Its keys."""
        return [
            Cosigner(NAME, KeyType.COSIGNATURE_ED25519, b"o" * 32),
            Cosigner(NAME, KeyType.COSIGNATURE_MLDSA44, b"m" * 32),
        ]

    @property
    def keys(self) -> list[VerifierKey]:
        """The public halves."""
        return [each.verifier() for each in self.cosigners]

    def start(self) -> Self:
        """Start it and return once it listens."""
        arguments = [f"--listen=127.0.0.1:{self.port}", "--metrics_listen="]
        arguments += [f"--db_file={self.folder / 'witness.db'}", "--logtostderr"]
        for number, each in enumerate(self.cosigners):
            path = self.folder / f"key{number}"
            path.write_text(each.encode())
            arguments.append(f"--private_key_path={path}")
        logs = [{"Origin": v.partition("+")[0], "PublicKey": v} for v in self.vkeys]
        known = self.folder / "logs.yaml"
        known.write_text(json.dumps({"Logs": logs}))  # JSON is YAML
        arguments.append(f"--additional_logs={known}")
        with (self.folder / "said").open("ab") as said:
            self._process = subprocess.Popen(
                [BIN / "omniwitness", *arguments], stdout=said, stderr=said
            )
        self._await_listening()
        return self

    def _await_listening(self, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self._process is not None
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    text = (self.folder / "said").read_text()
                    raise RuntimeError(f"omniwitness: {text}") from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it as a power failure ends it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._process = None

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
