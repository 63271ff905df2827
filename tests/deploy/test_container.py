"""Container file, compose file and what they need, read as data: no engine is here."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from provlog.server.cli import commands
from support.deploying import DEPLOY, read_yaml
from support.vectors import REPOSITORY

_PINNED = re.compile(
    r"[a-z0-9.]+/[a-z0-9._/-]+(:v?\d+\.\d+(\.\d+)?[a-z0-9.-]*|@sha256:[0-9a-f]{64})"
)
_OWN = "provlog-server:"


def instructions() -> list[tuple[str, str]]:
    """Return the container file's instructions, each on one line."""
    text = (DEPLOY / "Containerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in (s.partition(" ") for s in lines)]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = read_yaml(DEPLOY / "compose.yaml")
    return found


def services() -> list[tuple[str, dict[str, Any]]]:
    return list(compose()["services"].items())


def requirements(path: Path) -> dict[str, list[str]]:
    """Return the hashes of a lock by name and version."""
    text = path.read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if re.match(r"[a-z]", line)]
    return {line.split(" ")[0]: re.findall(r"sha256:\w+", line) for line in lines}


def names(path: Path) -> set[str]:
    return set(re.findall(r"^[a-z][a-z-]*", path.read_text(), re.M))


def test_the_base_image_is_pinned_and_used_throughout() -> None:
    [image] = [rest for name, rest in instructions() if name == "ARG"]
    assert _PINNED.fullmatch(image.removeprefix("PYTHON_IMAGE="))
    stages = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert stages == ["${PYTHON_IMAGE}"] * 2


def test_nothing_is_fetched_but_what_the_locks_name() -> None:
    assert "ADD" not in {name for name, _ in instructions()}
    text = "\n".join(rest for name, rest in instructions() if name == "RUN")
    assert not re.search(r"https?:|curl|wget|apt|\bgit\b", text)
    for install in re.findall(r"\bpip [^&]*?install[^&]*", text):
        assert "--require-hashes" in install or "--no-index" in install, install


def test_the_locks_are_the_workspace_s() -> None:
    whole = requirements(REPOSITORY / "requirements.lock")
    for name in ("runtime", "build"):
        part = requirements(DEPLOY / "locks" / f"{name}.lock")
        assert part
        for requirement, hashes in part.items():
            assert whole.get(requirement) == hashes, requirement


def test_the_container_has_what_the_server_asks_for() -> None:
    def project(part: str) -> dict[str, Any]:
        return tomllib.loads((REPOSITORY / part / "pyproject.toml").read_text())

    wanted = list(project("merkle")["project"]["dependencies"])
    server = project("server")["project"]
    wanted += server["dependencies"] + server["optional-dependencies"]["object-store"]
    asked = {match[0] for each in wanted if (match := re.match(r"[a-z-]+", each))}
    assert names(DEPLOY / "locks" / "runtime.in") == asked - {"provlog-merkle"}
    assert names(DEPLOY / "locks" / "build.in") == {"hatchling"}
    # What builds stays behind.
    built = requirements(DEPLOY / "locks" / "build.lock").keys()
    assert not built & requirements(DEPLOY / "locks" / "runtime.lock").keys()


def test_the_server_is_nobody_in_the_container() -> None:
    [user] = [rest for name, rest in instructions() if name == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    kinds = [name for name, _ in instructions()]
    after = kinds[kinds.index("USER") + 1 :]
    assert "RUN" not in after
    assert {"HEALTHCHECK", "ENTRYPOINT"} <= set(after)
    assert compose()["services"]["provlog-1"]["user"] == user


def test_nothing_but_the_sources_is_sent_to_the_builder() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {
        source
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied


@pytest.mark.parametrize(("name", "service"), services())
def test_a_service_is_confined(name: str, service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert not service.keys() & {"privileged", "network_mode", "pid", "ipc", "devices"}
    image = service["image"]
    assert image.startswith(_OWN) or _PINNED.fullmatch(image), image
    assert "latest" not in image
    assert ("healthcheck" in service) == (name != "init")
    for mount in service.get("tmpfs", []):
        assert "size=" in mount


def test_secrets_are_files_and_stand_nowhere_else() -> None:
    whole = compose()
    for secret in whole["secrets"].values():
        assert secret.keys() == {"file"}
        assert secret["file"].startswith("./secrets/")
    used = set()
    for name, service in services():
        used |= set(service.get("secrets", []))
        for variable, value in service.get("environment", {}).items():
            if re.search("PASS|SECRET|TOKEN|KEY", variable):
                assert value.startswith("/run/secrets/"), (name, variable)
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert used == whole["secrets"].keys()
    assert "deploy/secrets/" in (REPOSITORY / ".gitignore").read_text().splitlines()


def test_nothing_is_reached_past_nginx() -> None:
    whole = compose()
    published = {name: each["ports"] for name, each in services() if "ports" in each}
    assert published.pop("nginx") == ["443:8443"]
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)
    inner = {name for name, each in whole["networks"].items() if each.get("internal")}
    assert inner == {"database", "metrics", "servers"}
    for name, service in services():
        if name not in published.keys() | {"nginx"}:
            assert set(service["networks"]) <= inner, name
    assert "database" not in whole["services"]["nginx"]["networks"]


def test_the_servers_are_started_as_they_can_be() -> None:
    whole = compose()["services"]
    proxy = whole["nginx"]["networks"]["servers"]["ipv4_address"]
    for name in ("provlog-1", "provlog-2"):
        service = whole[name]
        command, *arguments = service["command"]
        context = commands.commands[command].make_context(
            command, [*arguments, "--dir", "/var/lib/provlog"]
        )
        assert context.params["trusted_proxies"] == (proxy,)
        assert context.params["insecure"] is False
        # One database, one set of keys, one guard.
        assert service["volumes"] == whole["init"]["volumes"]
        assert service["secrets"] == ["db_server_pgpass"]
        assert service["depends_on"] == {
            "init": {"condition": "service_completed_successfully"}
        }


def test_the_job_that_makes_the_tables_uses_options_that_there_are() -> None:
    [script] = compose()["services"]["init"]["command"]
    for name in ("init", "migrate"):
        [used] = re.findall(rf"provlog-server {name}((?:\\\n|.)*)", script)
        known = {
            option for each in commands.commands[name].params for option in each.opts
        }
        assert set(re.findall(r"--[a-z-]+", used)) <= known


def test_prometheus_scrapes_the_servers_that_there_are() -> None:
    jobs = read_yaml(DEPLOY / "prometheus" / "scrape.yml")["scrape_configs"]
    [targets] = [job["static_configs"][0]["targets"] for job in jobs[:1]]
    whole = compose()["services"]
    for target in targets:
        name, _, port = target.partition(":")
        assert f"--metrics=0.0.0.0:{port}" in whole[name]["command"]
        assert "metrics" in whole[name]["networks"]


@pytest.mark.needs("program:openssl")
def test_secrets_are_made_once_for_those_who_read_them(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_bytes((DEPLOY / "make-secrets.sh").read_bytes())

    def make() -> dict[str, str]:
        done = subprocess.run(
            ["sh", script], capture_output=True, text=True, check=True, timeout=60
        )
        files = sorted((tmp_path / "secrets").iterdir())
        assert [path.stat().st_mode & 0o777 for path in files] == [0o400] * len(files)
        texts = {path.name: path.read_text().strip() for path in files}
        for text in texts.values():
            assert text.rpartition(":")[2] not in done.stdout + done.stderr
        return texts

    made = make()
    assert made.keys() | {"tls_cert", "tls_key"} == compose()["secrets"].keys()
    for role in ("owner", "server"):
        text = f"db:5432:provlog:provlog_{role}:{made[f'db_{role}_password']}"
        assert made[f"db_{role}_pgpass"] == text
    assert len({each.rpartition(":")[2] for each in made.values()}) == 3
    assert make() == made
    # The database may know a role's password: what is lost is made of what is left.
    for lost in ("db_owner_pgpass", "db_server_password"):
        (tmp_path / "secrets" / lost).unlink()
    assert make() == made
