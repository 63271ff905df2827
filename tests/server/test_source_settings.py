"""Files that say what is special about a source: strict, and clear where not."""

from pathlib import Path

import pytest

from provlog.server.cli.hooks import SignedAccess, mint_hook
from provlog.server.errors import ConfigurationError
from provlog.server.service import Service
from provlog.server.source_settings import MAX_BYTES, read_settings, read_source
from provlog.server.storage.base import SourceRecord
from support.servers import Server, provlog_server, run_server_command
from support.services import make_instance, running

WHOLE = """
source = "urn:keycloak:acme"
log = "other"
heartbeat = "1h"
[hook]
hmac_header = "X-Keycloak-Signature"
hmac_secret_file = "secret"
[poll]
realm = "acme"
[[issuers]]
issuer = "https://idp.example.com"
[mapping]
id = "/id"
[types]
made = "account.create"
"""


def write(folder: Path, text: str, name: str = "one.toml") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_a_whole_file_is_read_and_found_by_its_source(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)
    book = read_settings(tmp_path)
    found = book.find("other", "urn:keycloak:acme")
    assert found is not None
    assert found.heartbeat == 3_600_000
    assert found.hook is not None
    assert (found.hook.hmac_encoding, found.hook.hmac_prefix) == ("hex", "")
    assert found.poll == {"realm": "acme"}
    assert found.issuers == ({"issuer": "https://idp.example.com"},)
    assert (found.mapping, found.types) == ({"id": "/id"}, {"made": "account.create"})
    assert book.find("main", "urn:keycloak:acme") is None


def test_no_folder_is_no_settings(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "nowhere").sources == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing required field `source`"),
        ('source = "a"\nsecret = "hunter2"', "unknown field `secret`"),
        ("source = 1", "Expected `str`, got `int` - at `$.source`"),
        ('source = "a"\n[hook]\nhmac_header = "X"', "missing required field"),
        ('source = "a"\nheartbeat = "often"', "heartbeat"),
        ('source = "a', "Unterminated string"),
        ("#" * (MAX_BYTES + 1), "longer than"),
        ('source = "a"\n[hook]\nhmac_header="X"\nhmac_secret_file="f"\n'
         'hmac_encoding="rot13"', "Invalid enum value"),
        ('source = "a"\n[hook]\nhmac_header="X-Sig:"\nhmac_secret_file="f"',
         "hmac_header is no name of a field"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_right_is_refused(
    text: str, said: str, tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as refused:
        read_source(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_two_files_of_one_source_are_refused(tmp_path: Path) -> None:
    write(tmp_path, 'source = "a"', "one.toml")
    write(tmp_path, 'source = "a"', "two.toml")
    with pytest.raises(ConfigurationError, match=r"one\.toml already"):
        read_settings(tmp_path)


def test_a_secret_is_read_anew_from_a_file_that_is_the_owner_s(tmp_path: Path) -> None:
    settings = read_source(write(tmp_path, 'source = "a"'))
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    with pytest.raises(ConfigurationError, match="open to others"):
        settings.secret("secret")
    secret.chmod(0o600)
    assert settings.secret("secret") == "one"
    secret.write_text("two\n")
    assert settings.secret("secret") == "two"
    for text in ("", " \n", "ümlaut", "x" * 20_000):
        secret.write_text(text)
        with pytest.raises(ConfigurationError, match="holds no secret"):
            settings.secret("secret")
    with pytest.raises(ConfigurationError, match="No such file"):
        settings.secret("nowhere")


async def test_a_service_starts_with_its_instance_s_settings(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    write(instance.connect, WHOLE)
    async with Service.of(instance) as service:
        assert service.settings.find("other", "urn:keycloak:acme") is not None
    write(instance.connect, "nonsense = 1")
    with pytest.raises(ConfigurationError):
        Service.of(instance)


async def test_without_settings_nothing_is_different(tmp_path: Path) -> None:
    async with running(await make_instance(tmp_path)) as (service, _):
        assert service.settings.sources == {}


async def test_a_source_whose_deliveries_are_signed_gets_no_token(
    tmp_path: Path,
) -> None:
    instance = await make_instance(tmp_path)
    write(
        instance.connect,
        'source = "urn:okta:acme"\n[hook]\n'
        'hmac_header = "X-Signature"\nhmac_secret_file = "secret"',
    )
    async with Service.of(instance) as service:
        log = await service.log("main")
        assert log is not None
        before = len(await service.storage.tokens(log.id))
        source = SourceRecord("urn:okta:acme", "urn:okta:acme", "okta")
        access = await mint_hook(service, log, source, "https://log.example.com")
        assert isinstance(access, SignedAccess)
        assert access.json() == {
            "url": "https://log.example.com/logs/main/hooks/urn%3Aokta%3Aacme",
            "header": "X-Signature",
            "secret_file": str(instance.connect / "secret"),
        }
        assert len(await service.storage.tokens(log.id)) == before


HOOK = '[hook]\nhmac_header = "X-Signature"\nhmac_secret_file = "secret"\n'


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Server:
    server = Server.init(tmp_path_factory.mktemp("settings"))
    where = ("--dir", server.folder)
    provlog_server("source", "create", "urn:okta:a", "--connector", "okta", *where)
    provlog_server("source", "create", "urn:scim:a", "--connector", "scim", *where)
    (server.folder / "connect").mkdir()
    return server


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'source = "urn:okta:a"\n{HOOK}', "connect/secret: No such file"),
        (
            f'source = "urn:scim:a"\n{HOOK}',
            "one.toml: [hook]: urn:scim:a is registered",
        ),
    ],
)
def test_a_hook_that_could_answer_nobody_is_refused_at_the_start(
    stopped: Server, text: str, said: str
) -> None:
    write(stopped.folder / "connect", text)
    listen = ("--listen", "127.0.0.1:0", "--metrics", "off")
    done = run_server_command("serve", "--dir", stopped.folder, *listen)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_settings_that_nothing_has_use_of_are_said_at_the_start(
    stopped: Server,
) -> None:
    folder = stopped.folder / "connect"
    write(folder, f'source = "urn:okta:mistyped"\n{HOOK}')
    write(folder, 'source = "urn:okta:a"\nlog = "mian"', "two.toml")
    write(folder, 'source = "urn:hr:a"\nheartbeat = "1h"', "three.toml")
    write(folder, 'source = "urn:okta:a"\n[types]\na = "account.lock"', "four.toml")
    stopped.start()
    _, errors = stopped.stop()
    lines = errors.splitlines()
    for said in (
        "four.toml: a [mapping] means nothing to okta",
        "one.toml: log main has no source 'urn:okta:mistyped'",
        "two.toml: there is no log 'mian' here",
    ):
        assert said in lines.pop(0)
    assert lines == []
