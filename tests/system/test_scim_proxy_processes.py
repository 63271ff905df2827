"""The SCIM proxy as a process: killed, stopped, without a log of its own, misused."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from support.checked_instance import check
from support.edges import Pair
from support.fake_scim import FakeScim, fake_scim, served_on_loopback
from support.scim_processes import SOURCE, ProxyProcess, logged
from support.servers import run_server_command
from support.warm_commands import warm_commands

ANN = {"userName": "ann"}


@pytest.fixture
async def scim() -> AsyncIterator[FakeScim]:
    async with fake_scim() as scim:
        yield scim


async def ask(url: str, method: str = "GET", **options: object) -> tuple[int, bytes]:
    """Return status and body of an answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, **options) as answer,  # type: ignore[arg-type]
    ):
        return answer.status, await answer.read()


async def test_an_attempt_stands_alone_where_the_proxy_was_killed_after_it(
    scim: FakeScim, tmp_path: Path
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response(status=201)

    scim.handler = answer
    proxy = await asyncio.to_thread(ProxyProcess.init, tmp_path, scim.url)
    with proxy:
        asking = asyncio.create_task(ask(f"{proxy.url}/Users", "POST", json=ANN))
        await asyncio.wait_for(arrived.wait(), 30)
        await asyncio.to_thread(proxy.stop, signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await asking
    go_on.set()
    (alone,) = await logged(proxy.instance)
    assert (alone.type, alone.result) == ("attempt.account.create", "pending")
    scim.handler = None
    with proxy:
        assert (await ask(f"{proxy.url}/Users", "POST", json=ANN))[0] == 201
        await asyncio.to_thread(proxy.stop)
    events = await logged(proxy.instance)
    assert [each.result for each in events] == ["pending", "pending", "success"]
    ids = [each.record["id"] for each in events if each.record]
    assert ids[0] not in ids[1:]
    assert await asyncio.to_thread(check, proxy.instance) == []


async def test_what_is_in_hand_is_finished_before_it_stops(
    scim: FakeScim, tmp_path: Path
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response(status=201)

    scim.handler = answer
    proxy = await asyncio.to_thread(ProxyProcess.init, tmp_path, scim.url)
    with proxy:
        asking = asyncio.create_task(ask(f"{proxy.url}/Users", "POST", json=ANN))
        await asyncio.wait_for(arrived.wait(), 30)
        stopping = asyncio.create_task(asyncio.to_thread(proxy.stop))
        go_on.set()
        assert (await asking)[0] == 201
        assert await stopping == (0, "")
    assert [each.result for each in await logged(proxy.instance)] == [
        "pending",
        "success",
    ]


async def test_probes_and_metrics_are_apart_from_scim_s_paths(
    scim: FakeScim, tmp_path: Path
) -> None:
    proxy = await asyncio.to_thread(ProxyProcess.init, tmp_path, scim.url)
    with proxy:
        for path in ("/metrics", "/readyz", "/healthz"):
            assert (await ask(proxy.url + path))[0] == 200
        assert [each.path for each in scim.seen] == ["/metrics", "/readyz", "/healthz"]
        await ask(f"{proxy.url}/Users", "POST", json=ANN)
        assert (await ask(f"{proxy.metrics_url}/readyz"))[0] == 200
        assert (await ask(f"{proxy.metrics_url}/healthz"))[0] == 200
        _, page = await ask(f"{proxy.metrics_url}/metrics")
    for line in (
        b'provlog_scim_proxy_requests_total{method="POST",status="201"} 1.0',
        b'provlog_scim_proxy_added_seconds_count{kind="change"} 1.0',
        b"provlog_commits_total",
    ):
        assert line in page


async def test_relaxed_it_needs_no_instance_and_hands_records_to_a_spool(
    scim: FakeScim, tmp_path: Path
) -> None:
    taken: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer spool-token-of-the-test"
        taken.append(await request.read())
        return web.Response(status=202)

    token = tmp_path / "token"
    token.write_text("spool-token-of-the-test\n")
    token.chmod(0o600)
    spool = web.Application()
    spool.router.add_post("/records", take)
    async with served_on_loopback(spool) as url:
        options = (
            *("--mode", "relaxed", "--spool", url, "--spool-token-file", str(token)),
            *("--caller-key-file", str(tmp_path / "key")),
        )
        with ProxyProcess(tmp_path, scim.url, options, strict=False) as proxy:
            assert (await ask(f"{proxy.url}/Users", "POST", json=ANN))[0] == 201
            assert await asyncio.to_thread(proxy.stop) == (0, "")
    (record,) = [json.loads(line) for batch in taken for line in batch.splitlines()]
    assert (record["phase"], record["status"]) == ("outcome", 201)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


async def test_it_speaks_tls_and_names_who_shows_a_certificate(
    scim: FakeScim, tmp_path: Path
) -> None:
    pair = Pair.make(tmp_path)
    names = [str(pair.chain), str(pair.key)]
    options = ("--tls-cert", names[0], "--tls-key", names[1], "--client-ca", names[0])
    made = await asyncio.to_thread(ProxyProcess.init, tmp_path, scim.url, *options)
    trust = pair.trust()
    with made as proxy:
        url = f"{proxy.url}/Users"
        assert proxy.url.startswith("https://")
        assert (await ask(url, "POST", json=ANN, ssl=trust))[0] == 201
        trust.load_cert_chain(*names)
        assert (await ask(url, "POST", json=ANN, ssl=trust))[0] == 201
        await asyncio.to_thread(proxy.stop)
    events = await logged(proxy.instance)
    callers = [each.record["caller"] for each in events if each.record]
    assert callers[0] == {"type": "anonymous"}
    assert callers[-1]["type"] == "certificate"
    assert callers[-1]["id"].startswith("sha256:")
    assert dict(scim.seen[0].headers)["X-Forwarded-Proto"] == "https"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "--mode strict needs --dir"),
        (("--mode", "relaxed"), "needs --spool"),
        (
            (
                "--mode",
                "relaxed",
                "--spool",
                "http://x.example",
                "--caller-key-file",
                "k",
            ),
            "https://",
        ),
        (("--mode", "relaxed", "--spool", "http://127.0.0.1:1"), "--caller-key-file"),
        (("--spool", "http://127.0.0.1:1", "--dir", "INSTANCE"), "--mode relaxed"),
        (("--client-cert-header", "X", "--dir", "INSTANCE"), "--trusted-proxy"),
        (("--client-ca", "x", "--dir", "INSTANCE"), "--tls-cert"),
        (("--listen", "0.0.0.0:0", "--dir", "INSTANCE"), "other machines"),
        (
            ("--upstream", "http://x.example", "--dir", "INSTANCE"),
            "--insecure-upstream",
        ),
        (("--timeout", "soon", "--dir", "INSTANCE"), "--timeout"),
        (("--source", "urn:absent", "--dir", "INSTANCE"), "has no source"),
        (("--source", "urn:plain", "--dir", "INSTANCE"), "--connector scim"),
        (("--settings", "absent.toml", "--dir", "INSTANCE"), "absent.toml"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    options: tuple[str, ...], why: str, misused: ProxyProcess, commands: Path
) -> None:
    place = str(misused.folder / "data")
    arguments = [place if each == "INSTANCE" else each for each in options]
    usual = ("--source", SOURCE, "--upstream", "http://127.0.0.1:1")
    done = subprocess.run(
        [
            commands / "provlog-server",
            "scim-proxy",
            *usual,
            "--metrics=off",
            *arguments,
        ],
        cwd=misused.folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert why in done.stderr


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with warm_commands(tmp_path_factory.mktemp("warm") / "commands") as commands:
        yield commands


@pytest.fixture(scope="module")
def misused(tmp_path_factory: pytest.TempPathFactory) -> ProxyProcess:
    folder = tmp_path_factory.mktemp("misused")
    made = ProxyProcess.init(folder, "http://127.0.0.1:1")
    where = ("--dir", folder / "data")
    assert run_server_command("source", "create", *where, "urn:plain").returncode == 0
    return made
