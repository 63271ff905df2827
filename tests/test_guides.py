"""The commands of the guides, run as they stand there, and what they are said to print.

A block that begins to serve is left running on free ports; the blocks after it talk to
that server, and where they poll a provider, to one that behaves as it on the loopback.
"""

import asyncio
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.entra_guide import entra
from support.fake_google import fake_google
from support.fake_jumpcloud import fake_jumpcloud
from support.fake_keycloak import fake_keycloak
from support.fake_okta import fake_okta
from support.fake_scim import fake_scim
from support.fake_set_transmitter import fake_transmitter
from support.google import google_bytes
from support.pages import (
    Snippet,
    make_checkout,
    make_variables,
    matches,
    run_snippets,
    snippets,
)
from support.services import now_ms
from support.vectors import REPOSITORY

SERVE = ".venv/bin/provlog-server serve"

Provider = Callable[[], AbstractAsyncContextManager[Mapping[str, str]]]
"""What behaves as a provider while a page is run: its real URLs, and those here."""


@asynccontextmanager
async def nobody() -> AsyncIterator[Mapping[str, str]]:
    yield {}


@asynccontextmanager
async def okta() -> AsyncIterator[Mapping[str, str]]:
    async with fake_okta(authorization="SSWS a-token-of-okta-s") as fake:
        yield {"https://acme.okta.com": fake.url}
        assert [each.status for each in fake.asked] == [200]


@asynccontextmanager
async def spool() -> AsyncIterator[Mapping[str, str]]:
    yield {"127.0.0.1:8480": f"127.0.0.1:{free_port()}"}


@asynccontextmanager
async def google() -> AsyncIterator[Mapping[str, str]]:
    async with fake_google() as fake:
        fake.store(google_bytes())
        with TemporaryDirectory() as folder:
            key = Path(folder) / "key.json"
            key.write_text(fake.key_file())
            yield {
                "https://admin.googleapis.com": fake.url,
                "~/Downloads/acme-audit-0f9a.json": str(key),
            }
        assert {each.status for each in fake.asked} == {200}


@asynccontextmanager
async def keycloak() -> AsyncIterator[Mapping[str, str]]:
    async with fake_keycloak(secret="the-secret-of-the-client") as fake:
        now = fake.now()
        fake.store(now - 9000, now - 5000, now - 5000)
        yield {"https://sso.example.com": fake.url}
        assert {each.status for each in fake.asked} == {200}


@asynccontextmanager
async def jumpcloud() -> AsyncIterator[Mapping[str, str]]:
    async with fake_jumpcloud() as fake:
        events = json.loads(
            (REPOSITORY / "docs/deliveries/jumpcloud-events.json").read_text()
        )
        for number, event in enumerate(events):
            time = now_ms() - 60_000 + number
            fake.store_record(time, json.dumps(event).encode())
        yield {"https://api.jumpcloud.com": fake.url}
        assert len(fake.asked) == 1


@asynccontextmanager
async def scim_server() -> AsyncIterator[Mapping[str, str]]:
    proxy, metrics = (f"127.0.0.1:{free_port()}" for _ in range(2))
    async with fake_scim() as fake:
        yield {
            "--upstream https://scim.acme.example": f"--upstream {fake.url}"
            f" --listen {proxy} --metrics {metrics}",
            "127.0.0.1:8490": proxy,
        }
        assert fake.changes == ["POST /scim/v2/Users"]


@asynccontextmanager
async def transmitter() -> AsyncIterator[Mapping[str, str]]:
    issuer, audience = "https://signals.example.net", "https://log.example.com/set"
    async with fake_transmitter(issuer=issuer) as fake:
        for jti in ("one", "two"):
            fake.queue(jti, aud=audience)
        hosts = "https://keys.example.net", "https://streams.example.net"
        yield dict.fromkeys(hosts, fake.url)
        assert fake.acknowledged == ["one", "two"]


GUIDES: dict[str, Provider] = {
    "quick-start.md": nobody,
    "http-api.md": nobody,
    "connect/auth0.md": nobody,
    "connect/generic.md": nobody,
    "connect/jumpcloud.md": jumpcloud,
    "connect/entra.md": entra,
    "connect/google.md": google,
    "silence.md": nobody,
    "connect/keycloak.md": keycloak,
    "connect/okta.md": okta,
    "connect/onelogin.md": nobody,
    "connect/scim-proxy.md": scim_server,
    "connect/spool.md": spool,
    "connect/security-event-tokens.md": transmitter,
}

pytestmark = pytest.mark.needs("program:make", "program:bash", "program:curl")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    serve: Snippet, port: int, checkout: Path, variables: dict[str, str]
) -> Iterator[None]:
    """Run the block that serves, and hold it to what it is said to print."""
    output = checkout.parent / "serve.txt"
    command = f"exec {serve.code.strip()} --listen 127.0.0.1:{port} "
    with output.open("w") as file:
        process = subprocess.Popen(
            ["bash", "-c", command + "--metrics 127.0.0.1:0"],
            cwd=checkout,
            env=variables,
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
    try:
        deadline = time.monotonic() + 60
        while "metrics on" not in (text := output.read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        assert serve.prints is None or matches(text, serve.prints), text
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.mark.parametrize("page", GUIDES)
async def test_a_guide_s_commands_print_what_it_says(page: str, tmp_path: Path) -> None:
    async with GUIDES[page]() as hosts:
        await asyncio.to_thread(run_guide, page, tmp_path, hosts)


def run_guide(page: str, tmp_path: Path, hosts: Mapping[str, str]) -> None:
    port = free_port()
    checkout = make_checkout(tmp_path / "checkout")
    home = tmp_path / "home"
    home.mkdir()
    variables = make_variables(home)
    run = [moved(each, port, hosts) for each in snippets(REPOSITORY / "docs" / page)]
    [place] = [at for at, each in enumerate(run) if each.code.startswith(SERVE)]
    run_snippets(run[:place], checkout, variables)
    for path in (checkout / "data").glob("*.env"):
        path.write_text(path.read_text().replace("127.0.0.1:8470", f"127.0.0.1:{port}"))
    with serving(run[place], port, checkout, variables):
        run_snippets(run[place + 1 :], checkout, variables)


def moved(snippet: Snippet, port: int, hosts: Mapping[str, str]) -> Snippet:
    """Return a block that talks to another port, and to other hosts."""
    code = re.sub(r"127\.0\.0\.1:8470", f"127.0.0.1:{port}", snippet.code)
    for real, here in hosts.items():
        code = code.replace(real, here)
    return Snippet(snippet.language, code, snippet.prints)
