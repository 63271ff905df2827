"""`provlog-server poll` as a process: beside a server, stopped, killed, misused."""

import asyncio
import json
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest

from provlog.merkle.encoding import parse_time
from provlog.server import cli
from provlog.server.instance import Instance
from provlog.server.service import Service
from support.checked_instance import check
from support.fake_okta import TOKEN, FakeOkta, fake_okta, okta_bytes
from support.polling import Polled
from support.servers import COMMAND, Server, environment, provlog_server

SOURCE = "urn:okta:acme"
KILLED = """
import os, signal
from provlog.server.polling.cursors import SourceCursor
async def advance(self, time):
    os.kill(os.getpid(), signal.SIGKILL)
SourceCursor.advance = advance
"""
HASTY = """
from provlog.server.polling import poller
poller.FIRST_PAUSE = 0.01
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("polled")
    server = Server.init(base)
    for uri, *options in (
        (SOURCE, "--connector", "okta"),
        ("urn:killed", "--connector", "okta"),
        ("urn:plain",),
        ("urn:mapped", "--connector", "keycloak"),
    ):
        provlog_server(*_where(server, "source", "create"), uri, *options)
    (base / "token").write_text(TOKEN + "\n")
    (base / "token").chmod(0o600)
    yield server
    server.end()


@pytest.fixture
async def okta() -> AsyncIterator[FakeOkta]:
    async with fake_okta() as okta:
        yield okta


def _where(server: Server, *command: str) -> list[str]:
    return [*command, "--dir", str(server.folder)]


def arguments(
    server: Server, okta: FakeOkta, *more: str, source: str = SOURCE
) -> list[str]:
    """Return the command's arguments; later ones win."""
    return [
        *_where(server, "poll"),
        *("--source", source, "--url", okta.url),
        *("--token-file", str(server.folder.parent / "token"), *more),
    ]


async def start(*arguments: str, before: str = "") -> asyncio.subprocess.Process:
    """Start a command, in a program that does something else before."""
    program = f"{before}\nfrom provlog.server.cli import main\nmain()\n"
    command = [sys.executable, "-c", program] if before else COMMAND
    return await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Return how a process ended, and what it said."""
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    assert TOKEN not in out.decode() + err.decode()
    return process.returncode, out.decode(), err.decode()


async def require_all(server: Server, okta: FakeOkta, source: str = SOURCE) -> None:
    """Every record has one entry, and all that is stored agrees."""
    instance = Instance(server.folder, server.guard)
    async with Service.of(instance) as service:
        log = await service.log("main")
        assert log is not None
        found = await Polled(service, log, okta).originals()
    assert sorted(each for each in found if each in okta.records) == sorted(
        okta.records
    )
    assert await asyncio.to_thread(check, instance) == []


async def test_it_works_beside_a_server_that_gets_the_same_records_by_hook(
    server: Server, okta: FakeOkta
) -> None:
    okta.page = 20
    now = okta.now()
    okta.store(*(okta_bytes(now - 5_000 + each) for each in range(100)), at=now - 1_000)
    role = ("--role", "hook", "--source", SOURCE)
    hook = provlog_server(*_where(server, "token", "create"), *role).strip()

    def post(first: int) -> None:
        for start in range(first, 100, 20):
            url = f"{server.url}/logs/main/hooks/{quote(SOURCE, safe='')}"
            body = b",".join(okta.records[start : start + 10])
            envelope = b'{"data": {"events": [' + body + b"]}}"
            request = urllib.request.Request(url, envelope)
            request.add_header("Authorization", f"Bearer {hook}")
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status == 200

    await asyncio.to_thread(server.start)
    try:
        process = await start(*arguments(server, okta, "--once", "--json"))
        await asyncio.gather(*(asyncio.to_thread(post, each) for each in (0, 5)))
        code, out, err = await ended(process)
    finally:
        await asyncio.to_thread(server.stop)
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert sum(line["records"] for line in lines) == 100
    assert all(line["logged"] + line["repeated"] == line["records"] for line in lines)
    assert parse_time(lines[-1]["cursor"]) == now - 5_000 + 99
    await require_all(server, okta)


async def test_it_goes_on_until_it_is_told_to_stop_and_says_what_is_new(
    server: Server, okta: FakeOkta
) -> None:
    process = await start(*arguments(server, okta, "--interval", "1s"))
    assert process.stdout is not None
    try:
        for number in range(2):
            okta.store(okta_bytes(eventType=f"round.{number}"))
            line = b"end of the round; cursor "
            while line.startswith(b"end of the round; cursor "):
                line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line.startswith(b"1 records: 1 events logged, 0 known")
            assert b"not set" not in line
    finally:
        process.send_signal(signal.SIGTERM)
    code, _, err = await ended(process)
    assert (code, err) == (0, "")
    code, out, err = await ended(await start(*arguments(server, okta, "--once")))
    assert (code, out, err) == (0, "", ""), "nothing new, nothing said"
    await require_all(server, okta)


async def test_killed_between_commit_and_cursor_it_loses_and_doubles_nothing(
    server: Server, okta: FakeOkta
) -> None:
    okta.page = 5
    now = okta.now()
    okta.store(*(okta_bytes(now - 60_000 + each) for each in range(12)), at=now - 1_000)
    command = arguments(server, okta, "--once", "--json", source="urn:killed")
    code, out, _ = await ended(await start(*command, before=KILLED))
    assert (code, out) == (-signal.SIGKILL, "")
    code, out, _ = await ended(await start(*command))
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(line["logged"], line["repeated"]) for line in lines] == [
        (0, 5),
        (5, 0),
        (2, 0),
        (0, 0),
    ]
    await require_all(server, okta, "urn:killed")


async def test_an_outage_and_a_refused_token_have_their_own_exit_codes(
    server: Server, okta: FakeOkta
) -> None:
    okta.store(okta_bytes())
    okta.faults.extend(["500"] * 5)
    command = arguments(server, okta, "--once")
    code, out, err = await ended(await start(*command, before=HASTY))
    assert (code, out) == (3, "")
    assert err.count("HTTP 500; trying again in") == 4
    assert err.splitlines()[-1].endswith("answered with HTTP 500")
    okta.faults.append("403")
    code, out, err = await ended(await start(*arguments(server, okta)))
    assert (code, out) == (2, "")
    assert "refuses the token (HTTP 403)" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--source", "urn:plain"], "with no connector for good"),
        (["--source", "urn:none"], "source create --log main --connector "),
        (["--log", "other"], "there is no log"),
        (["--url", "http://acme.okta.com"], "--url is plain http"),
        (["--source", "urn:mapped"], "--url and --token-file do not reach keycloak"),
        (["--url", "https://acme.okta.com/x"], "without a path"),
        (["--url", "https://a:b@acme.okta.com"], "name or password"),
        (["--url", "acme.okta.com"], "https://"),
        (["--since", "soon"], "neither a duration, such as 7d or 12h, nor a time"),
        (["--since", ""], "neither a duration"),
        (["--since", "9999-01-01T00:00:00Z"], "lies in the future"),
        (["--overlap", "soon"], "--overlap: 'soon' is no duration"),
        (["--interval", "0s"], "no duration"),
        (["--token-file", "absent"], "No such file"),
        (["--token-file", "open"], "chmod 600"),
        (["--token-file", "lines"], "holds no token"),
        (["--token-file", "empty"], "holds no token"),
        (["--token-file", "long"], "holds no token"),
    ],
)
def test_what_cannot_be_is_said_and_asks_nobody(
    server: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
) -> None:
    folder = server.folder.parent
    for name, text in (
        ("open", TOKEN),
        ("lines", f"{TOKEN}\nX: y"),
        ("empty", "\n"),
        ("long", "x" * 9_000),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o644 if name == "open" else 0o600)
    if options[0] == "--token-file":
        options = ["--token-file", str(folder / options[1])]
    nobody = FakeOkta(url="http://127.0.0.1:1")
    command = ["provlog-server", *arguments(server, nobody, *options)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, said in err, TOKEN in err) == ("", True, False), err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write a TOML file in {folder} with this source"),
        ('source = "urn:mapped"', "{folder}/one.toml has no table [poll]"),
        (
            'source = "urn:mapped"\n[poll]\nurl = "http://sso.example.com"\n'
            'realm = "a"\nclient_id = "b"\nclient_secret_file = "secret"',
            "{folder}/one.toml: [poll]: url is plain http",
        ),
        (
            'source = "urn:mapped"\n[poll]\nurl = "https://sso.example.com"\n'
            'realm = ".."\nclient_id = "b"\nclient_secret_file = "secret"',
            "{folder}/one.toml: [poll]: realm is no name",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_of_that_file(
    server: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    said: str,
) -> None:
    folder = server.folder / "connect"
    folder.mkdir(exist_ok=True)
    (folder / "secret").touch(0o600)
    (folder / "secret").write_text("not-for-the-wrong")
    file = folder / "one.toml"
    if text:
        file.write_text(text)
    command = [*_where(server, "poll"), "--source", "urn:mapped", "--once"]
    monkeypatch.setattr(sys, "argv", ["provlog-server", *command])
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        file.unlink(missing_ok=True)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, said.format(folder=folder) in err) == ("", True), err
    assert "--url" not in err
