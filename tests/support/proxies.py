"""nginx around a part of a configuration, with TLS, in a folder of its own."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from support.edges import Pair

_CONFIGURATION = """
daemon off; pid {folder}/pid; error_log stderr; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
{part}
    }}
}}
"""


class Proxy:
    """nginx that runs with `part` as what its one server does; a context manager."""

    def __init__(self, folder: Path, part: str, port: int, pair: Pair) -> None:
        folder.mkdir()
        # Tests may run as root, whose folders no other user's workers can reach.
        user = "user root;" if os.geteuid() == 0 else ""
        self._path = folder / "nginx.conf"
        self._path.write_text(
            _CONFIGURATION.format(
                folder=folder,
                user=user,
                port=port,
                chain=pair.chain,
                key=pair.key,
                part=part,
            )
        )
        self._port = port

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["nginx", "-c", str(self._path), "-e", "stderr"],
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self._end())
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> str:
        self._process.send_signal(signal.SIGTERM)
        return self._process.communicate(timeout=30)[1]
