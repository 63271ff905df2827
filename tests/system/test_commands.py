"""The command `provlog-server` as real processes, beside a running server or alone."""

import asyncio
import json
import re
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provlog.merkle.receipts import verify_receipt
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server.guard import FileGuard
from provlog.server.storage.sqlite import create_database
from support.servers import Server, provlog_server, run_server_command

SOURCE = "urn:okta:acme"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server.init(
        tmp_path_factory.mktemp("commands"),
        *("--origin", "log.example/main", "--source", SOURCE),
    )
    with made:
        yield made


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Return an instance that nobody serves, and nothing may change."""
    return Server.init(
        tmp_path_factory.mktemp("idle"),
        "--origin",
        "idle.example/main",
        "--source",
        "*",
    )


def manage(server: Server, *arguments: str) -> Any:  # noqa: ANN401
    """Return the JSON that a management command printed."""
    return json.loads(
        provlog_server(*arguments, "--dir", server.folder, "--json").strip()
    )


def ask(
    server: Server, path: str, token: str, body: object = None
) -> tuple[int, bytes]:
    """Return status and body of the answer to a GET, or to a POST of an event."""
    headers = {"Authorization": f"Bearer {token}"}
    if body is not None:
        headers["Content-Type"] = "application/cloudevents+json"
    request = urllib.request.Request(
        f"{server.url}/logs/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers=headers,
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def event(event_id: str, source: str = SOURCE) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": "account.create",
    }


def admin_entry(server: Server, index: int, log: str = "main") -> dict[str, Any]:
    """Return an admin entry's action and opened members, as an auditor sees them."""
    status, body = ask(server, f"{log}/entries/{index}", server.tokens["auditor"])
    assert status == 200, body
    receipt = verify_receipt(body, server.trust)
    assert receipt.entry.kind == "admin"
    assert not receipt.withheld
    opened = {name: each.value for name, each in receipt.disclosures.items()}
    return {"action": receipt.entry.body["action"], **opened}


def test_init_prints_key_and_tokens_once_and_keeps_files_private(
    tmp_path: Path,
) -> None:
    folder, guard = tmp_path / "data", tmp_path / "guard"
    command = ["init", "--dir", str(folder), "--guard", str(guard), "--dev", "--json"]
    made = json.loads(provlog_server(*command))
    assert set(made) == {"origin", "log_key", "tokens"}
    assert set(made["tokens"]) == {"admin", "submitter", "auditor", "monitor"}
    assert made["origin"].startswith("provlog.local/")
    assert Trust.from_log_key(made["log_key"]).origin == made["origin"]
    # Its parameters are the only entry: the first tokens are no changes.
    head = asyncio.run(FileGuard(guard).read(made["origin"]))
    assert head is not None
    assert head.size == 1

    paths = [folder, *folder.rglob("*"), guard, *guard.rglob("*")]
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    before = {path: path.read_bytes() for path in paths if path.is_file()}
    for token in made["tokens"].values():
        secret = token.split("_", 2)[2].encode()
        assert not [path for path in before if secret in before[path]]

    again = run_server_command(*command)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith(f"Error: {folder} is not empty; nothing was changed")
    assert len(again.stderr.splitlines()) == 1
    assert before == {path: path.read_bytes() for path in paths if path.is_file()}


def test_an_init_that_fails_leaves_nothing_behind(idle: Server, tmp_path: Path) -> None:
    folder, env_file = tmp_path / "data", tmp_path / "env"
    command = ["init", "--dir", str(folder), "--guard", str(idle.guard)]
    taken = run_server_command(*command, "--origin", idle.origin, "--source", "*")
    assert taken.returncode == 2
    assert "would contradict it" in taken.stderr
    assert not folder.exists()
    env_file.write_text("mine")
    there = run_server_command(*command, "--dev", "--env-file", env_file)
    assert there.returncode == 2
    assert there.stderr == f"Error: {env_file} exists; nothing was changed\n"
    assert not folder.exists()


def test_the_env_file_may_stand_beside_the_new_folder(tmp_path: Path) -> None:
    # As in the quick start, where the folder of both is not there yet.
    data = tmp_path / "data"
    command = ("init", "--dir", data / "a", "--guard", tmp_path / "guard", "--dev")
    done = run_server_command(*command, "--env-file", data / "a.env")
    assert done.returncode == 0, done.stderr
    assert "PROVLOG_TOKEN" in (data / "a.env").read_text()


def test_tokens_that_cannot_be_written_are_printed(tmp_path: Path) -> None:
    folder, env_file = tmp_path / "data", tmp_path / "data" / "none" / "env"
    guard = tmp_path / "guard"
    command = ["init", "--dir", str(folder), "--guard", str(guard), "--dev"]
    done = run_server_command(*command, "--env-file", env_file, "--json")
    assert done.returncode == 2
    assert done.stderr == (
        f"Error: {env_file}: No such file or directory; the tokens were printed"
        " instead\n"
    )
    assert set(json.loads(done.stdout)["tokens"]) > {"admin", "submitter"}


INIT = ["init", "--dir", "NEW", "--guard", "NEW-GUARD"]
SERVE = ["serve", "--dir", "DIR", "--metrics", "off"]
OUTSIDE = [*SERVE, "--listen", "0.0.0.0:0"]
TOKEN = ["token", "create", "--dir", "DIR"]
WRITER = [*TOKEN, "--role", "submitter", "--source"]
HOOK = [*TOKEN, "--role", "hook"]
NEW_SOURCE = ["source", "create", "--dir", "DIR"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*INIT], "either --origin or --dev"),
        ([*INIT, "--origin", "log.example/main"], "--source"),
        ([*INIT, "--origin", "a b", "--source", "*"], "an origin is"),
        ([*INIT, "--dev", "--source", 'a"b'], "a source is"),
        ([*INIT, "--origin", "https://a.b", "--source", "*"], "without a scheme"),
        (
            [*INIT, "--dev", "--env-file", "NEW-X/env"],
            "is no folder; nothing was changed",
        ),
        (["init", "--dir", "NEW", "--guard", "NEW/guard", "--dev"], "outside"),
        (["serve", "--dir", "NEW"], "not initialised"),
        ([*SERVE, "--listen", "here"], "HOST:PORT"),
        ([*SERVE, "--listen", "0.0.0.0:0"], "--insecure"),
        ([*OUTSIDE, "--public-url", "https://a.b"], "changes nothing about that"),
        ([*SERVE[:-1], "0.0.0.0:0", "--listen", "127.0.0.1:0"], "--insecure"),
        ([*SERVE[:-1], "0.0.0.0:0", "--trusted-proxy", "192.0.2.1"], "--insecure"),
        ([*OUTSIDE, "--trusted-proxy", "192.0.2.1/24"], "bits beyond"),
        ([*OUTSIDE, "--trusted-proxy", "0.0.0.0/0"], "everybody"),
        ([*SERVE, "--public-url", "http://a.b"], "https://"),
        ([*SERVE, "--tls-cert", "/x.pem"], "--tls-cert and --tls-key go together"),
        (
            [
                *SERVE,
                "--listen",
                "127.0.0.1:0",
                "--tls-cert",
                "/x.pem",
                "--tls-key",
                "/x.key",
            ],
            "/x.key: No such",
        ),
        ([*SERVE, "--connections", "9000000"], "ulimit -n"),
        ([*SERVE, "--listen", "no.such.invalid:0", "--insecure"], "no such host"),
        ([*SERVE, "--listen", "240.0.0.1:0", "--insecure"], "240.0.0.1:0 cannot"),
        ([*SERVE, "--log-rate", "typo=5"], "no log 'typo'"),
        ([*SERVE, "--selfcheck", "nan"], "a number of entries"),
        ([*TOKEN, "--role", "submitter"], "sources"),
        ([*TOKEN, "--role", "monitor", "--expires", "soon"], "90d"),
        ([*TOKEN, "--role", "monitor", "--expires", "999999w"], "year 10000"),
        ([*TOKEN, "--role", "monitor", "--log", "other"], "no log 'other'"),
        ([*TOKEN, "--role", "monitor", "--note", "x" * 201], "at most 200"),
        (["fsck", "--dir", "DIR", "--guard", "none"], "there is no guard folder"),
        ([*WRITER, 'a"b'], "a source is"),
        ([*HOOK], "one source of one log"),
        ([*HOOK, "--source", "*"], "one source of one log"),
        ([*HOOK, "--source", "urn:typo"], "no source urn:typo: register it"),
        ([*WRITER, SOURCE, "--rate", "inf"], "a rate is"),
        (["token", "revoke", "--dir", "DIR", "nobody"], "no such token"),
        (["log", "create", "--dir", "DIR", "../x", "--origin", "a.b/x"], "name"),
        ([*NEW_SOURCE, 'a"b'], "a source"),
        ([*NEW_SOURCE, SOURCE, "--connector", "x"], "okta"),
        ([*NEW_SOURCE, SOURCE, "--ns", ""], "a source or namespace is"),
        ([*NEW_SOURCE, "*"], "is none itself"),
        ([*NEW_SOURCE, "..", "--connector", "okta"], "no address for a hook"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_is_typed_wrong_is_said_in_one_line(
    idle: Server, tmp_path: Path, arguments: list[str], said: str
) -> None:
    new = tmp_path / "new"
    done = run_server_command(
        *(
            word.replace("DIR", str(idle.folder)).replace("NEW", str(new))
            for word in arguments
        )
    )
    assert (done.returncode, done.stdout) == (2, "")
    *usage, last = done.stderr.splitlines()
    assert last.startswith("Error: ")
    assert said in last
    assert all(line.startswith(("Usage: ", "Try ")) for line in usage if line)
    assert not new.exists()
    head = asyncio.run(FileGuard(idle.guard).read(idle.origin))
    assert head is not None
    assert head.size == 1, "it was entered in the log"


def test_an_address_that_is_taken_is_said_to_be(server: Server, idle: Server) -> None:
    taken = server.url.removeprefix("http://")
    done = run_server_command(
        *("serve", "--dir", idle.folder, "--listen", taken, "--metrics", "off")
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"Error: {taken} is in use by another process\n"


def _spoil_database(server: Server) -> None:
    (server.folder / "provlog.db").write_bytes(bytes(range(256)) * 300)


def _empty_database(server: Server) -> None:
    # As an `init` leaves it that was killed before there was a log.
    for path in server.folder.glob("provlog.db*"):
        path.unlink()
    create_database(server.folder / "provlog.db")


def _open_key(server: Server) -> None:
    (server.folder / "keys" / "main" / "id.key").chmod(0o640)


def _spoil_settings(server: Server) -> None:
    (server.folder / "provlog.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (_spoil_database, 3, "not a database"),
        (_empty_database, 2, "holds no log"),
        (_open_key, 2, "chmod 600"),
        (_spoil_settings, 2, "cannot be read"),
    ],
)
def test_a_folder_that_is_not_as_it_was_is_not_served(
    tmp_path: Path, spoil: Callable[[Server], None], code: int, said: str
) -> None:
    made = Server.init(tmp_path)
    spoil(made)
    listen = ["--listen", "127.0.0.1:0", "--metrics", "off"]
    done = run_server_command("serve", "--dir", made.folder, *listen)
    assert (done.returncode, done.stdout) == (code, "")
    [line] = done.stderr.splitlines()
    assert said in line


def test_tokens_take_effect_at_once_and_are_entries(server: Server) -> None:
    made = manage(
        server,
        *("token", "create", "--role", "submitter", "--source", SOURCE),
        *("--note", "the HR system"),
    )
    assert set(made) == {"id", "token", "index"}
    assert ask(server, "main/events", made["token"], event("a"))[0] == 201
    foreign = event("a", "urn:okta:other")
    assert ask(server, "main/events", made["token"], foreign)[0] == 403

    listed = manage(server, "token", "list")
    assert made["id"] in [each["id"] for each in listed]
    assert made["token"].split("_", 2)[2] not in json.dumps(listed)

    revoked = manage(server, "token", "revoke", made["id"])
    assert ask(server, "main/events", made["token"], event("b"))[0] == 401

    created = admin_entry(server, made["index"])
    assert created["action"] == "token.create"
    assert created["by"] == {"id": "provlog-server"}
    assert created["token"] == {
        "id": made["id"],
        "roles": ["submitter"],
        "sources": [SOURCE],
        "note": "the HR system",
        "rate": None,
        "expires": None,
    }
    ended = admin_entry(server, revoked["index"])
    assert (ended["action"], ended["token"]) == ("token.revoke", {"id": made["id"]})


def test_a_source_with_a_hook_is_told_where_and_with_what_secret(
    server: Server,
) -> None:
    made = manage(
        server,
        *("source", "create", "urn:okta:a/b", "--connector", "okta"),
        *("--public-url", f"{server.url}/"),
    )
    hook = made["hook"]
    assert hook["url"] == f"{server.url}/logs/main/hooks/urn%3Aokta%3Aa%2Fb"
    assert hook["header"] == "Authorization"
    request = urllib.request.Request(
        hook["url"],
        headers={
            hook["header"]: hook["value"],
            "X-Okta-Verification-Challenge": "challenge",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer) == {"verification": "challenge"}
    hook_token = ("token", "create", "--role", "hook", "--source")
    again = manage(server, *hook_token, "urn:okta:a/b")
    request.add_header("Authorization", f"Bearer {again['token']}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer) == {"verification": "challenge"}
    useless = run_server_command(*hook_token, SOURCE, "--dir", server.folder)
    assert (useless.returncode, useless.stdout) == (2, "")
    assert "with no connector, which takes no deliveries" in useless.stderr


def test_a_source_that_is_registered_is_said_to_be_how(server: Server) -> None:
    done = run_server_command(
        *("source", "create", SOURCE, "--connector", "okta", "--dir", server.folder)
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: the source is registered already with no connector: that never"
        " changes\n"
    )


def test_a_log_named_twice_gets_a_token_once(server: Server) -> None:
    sizes = [each["size"] for each in manage(server, "log", "list")]
    twice = ("--log", "main", "--log", "main")
    manage(server, "token", "create", "--role", "monitor", *twice)
    after = [each["size"] for each in manage(server, "log", "list")]
    assert sum(after) == sum(sizes) + 1


def test_what_to_enter_at_the_provider_is_printed_to_be_pasted(
    tmp_path: Path,
) -> None:
    server = Server.init(tmp_path)
    text = provlog_server(
        *("source", "create", "urn:okta:acme", "--connector", "okta"),
        *("--dir", server.folder, "--public-url", "https://log.example.com"),
    )
    assert "https://log.example.com/logs/main/hooks/urn%3Aokta%3Aacme\n" in text
    assert re.search(r"secret +Bearer plt_\w{12}_[\w-]{43}\n", text)


def test_a_source_is_registered_by_an_entry(server: Server) -> None:
    before = manage(server, "log", "list")[0]["size"]
    assert manage(server, "source", "create", "urn:entra:acme", "--ns", "urn:acme") == {
        "uri": "urn:entra:acme",
        "ns": "urn:acme",
        "connector": None,
    }
    listed = manage(server, "source", "list")
    assert {each["uri"]: each["ns"] for each in listed}["urn:entra:acme"] == "urn:acme"
    entry = admin_entry(server, before)
    assert entry["action"] == "source.create"
    assert entry["source"]["uri"] == "urn:entra:acme"


def test_a_log_made_beside_the_server_is_served_to_its_own_tokens(
    server: Server,
) -> None:
    made = manage(server, "log", "create", "second", "--origin", "log.example/second")
    assert (made["name"], made["size"], made["public"]) == ("second", 1, False)
    trust = Trust.from_log_key(made["log_key"])
    assert trust.origin == "log.example/second"
    token = manage(server, "token", "create", "--log", "second", "--role", "monitor")[
        "token"
    ]
    status, note = ask(server, "second/checkpoint", token)
    assert status == 200
    assert verify_checkpoint(note, trust).checkpoint.size == 2

    # To a token of one log, another log is not there at all.
    paths = ("checkpoint", "entries/0", "tile/0/000.p/1", "proofs/inclusion?index=0")
    for path in paths:
        for role in ("monitor", "auditor", "submitter"):
            hidden = ask(server, f"second/{path}", server.tokens[role])
            assert hidden == ask(server, f"nothing/{path}", server.tokens[role])
            assert hidden[0] == 404
        assert ask(server, f"main/{path}", token)[0] == 404
    submitter = server.tokens["submitter"]
    assert ask(server, "second/events", submitter, event("c"))[0] == 404
    # The operator's own token reaches every log, reads no entries and submits none.
    admin = server.tokens["admin"]
    assert ask(server, "second/tokens", admin)[0] == 200
    assert ask(server, "second/entries/0", admin)[0] == 403
    assert ask(server, "second/events", admin, event("c"))[0] == 403
