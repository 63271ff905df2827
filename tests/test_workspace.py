"""What holds the three distributions together, and the core apart."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.vectors import REPOSITORY

PARTS = ("merkle", "client", "server")
ALLOWED = {
    "merkle": {"merkle"},
    "client": {"merkle", "client"},
    "server": {"merkle", "server"},
}
IMPURE = ("asyncio", "socket", "ssl", "sqlite3", "aiohttp", "apsw")
_PINNED = re.compile(r"[a-z0-9._-]+(\[[a-z,]+\])?==[0-9][0-9a-z.]*( ; .+)?")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def metadata(part: str = "") -> dict[str, Any]:
    """Return a distribution's pyproject.toml, by default the workspace's."""
    return tomllib.loads((REPOSITORY / part / "pyproject.toml").read_text())


def package(part: str) -> Path:
    """Return the folder of a distribution's package."""
    return REPOSITORY / part / "src" / "provlog" / part


def locked() -> Iterator[list[str]]:
    """Yield each requirement of the lock: its first line, and its hashes."""
    text = (REPOSITORY / "requirements.lock").read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield re.split(r"\s+(?=--)", line.strip())


def imported(path: Path) -> set[str]:
    """Return which parts of provlog a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.add(node.module or "")
    return {name.split(".")[1] for name in names if name.startswith("provlog.")}


def in_new_process(code: str) -> str:
    """Return what a program prints in a process without tests' paths."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_versions_are_in_lockstep() -> None:
    version = metadata()["project"]["version"]
    assert {metadata(part)["project"]["version"] for part in PARTS} == {version}
    for part in ("client", "server"):
        needed = metadata(part)["project"]["dependencies"]
        assert f"provlog-merkle=={version}" in needed


def test_the_change_log_has_the_version() -> None:
    version = metadata()["project"]["version"]
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(version)}\]", text, re.M)


def test_the_core_depends_on_cryptography_alone() -> None:
    [needed] = metadata("merkle")["project"]["dependencies"]
    assert re.match(r"[a-z-]+", needed)[0] == "cryptography"  # type: ignore[index]


@pytest.mark.parametrize("part", PARTS)
def test_a_distribution_does_not_hide_the_others(part: str) -> None:
    # An __init__.py here would end the namespace that the three share.
    namespace = REPOSITORY / part / "src" / "provlog"
    assert [path.name for path in namespace.iterdir() if path.name != part] == []


@pytest.mark.parametrize("part", PARTS)
def test_every_folder_with_code_is_a_package(part: str) -> None:
    folders = {path.parent for path in package(part).rglob("*.py")}
    assert package(part) in folders
    for folder in folders:
        assert (folder / "__init__.py").is_file(), folder


@pytest.mark.parametrize("part", PARTS)
def test_a_distribution_is_typed_and_licensed(part: str) -> None:
    assert (package(part) / "py.typed").is_file()
    assert "Typing :: Typed" in metadata(part)["project"]["classifiers"]
    licence = (REPOSITORY / "LICENSE").read_bytes()
    assert (REPOSITORY / part / "LICENSE").read_bytes() == licence


@pytest.mark.parametrize("part", PARTS)
def test_a_distribution_introduces_itself(part: str) -> None:
    text = (REPOSITORY / part / "README.md").read_text()
    assert text.startswith(f"# provlog-{part}\n")
    assert len(text.splitlines()) > 10


@pytest.mark.parametrize("part", PARTS)
def test_imports_run_one_way(part: str) -> None:
    for path in package(part).rglob("*.py"):
        assert imported(path) <= ALLOWED[part], path


def test_the_core_imports_nothing_that_does_io() -> None:
    names = [
        ".".join(path.relative_to(package("merkle").parents[1]).with_suffix("").parts)
        for path in package("merkle").rglob("*.py")
        if path.name != "__init__.py"
    ]
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print(*sorted(sys.modules.keys() & set({IMPURE!r})))
"""
    assert len(names) > 15
    assert in_new_process(code).split() == []


def test_verifying_loads_no_http_and_no_server() -> None:
    code = """
import sys
import provlog.client, provlog.client.cli
print(*sorted(sys.modules.keys() & {"aiohttp", "ssl", "provlog.server"}))
"""
    assert in_new_process(code).split() == []


def test_the_lock_pins_everything_with_hashes() -> None:
    requirements = list(locked())
    assert len(requirements) > 30
    for name, *hashes in requirements:
        assert _PINNED.fullmatch(name), name
        assert hashes, name
        assert all(_HASH.fullmatch(each) for each in hashes), name


def test_the_lock_names_no_host() -> None:
    text = (REPOSITORY / "requirements.lock").read_text()
    assert "://" not in text
    assert "index-url" not in text
    assert " @ " not in text


def test_the_lock_holds_all_that_is_asked_for() -> None:
    names = {re.split(r"[=\[]", name)[0] for name, *_ in locked()}
    wanted = (REPOSITORY / "requirements.in").read_text().splitlines()
    for part in PARTS:
        project = metadata(part)
        wanted += project["project"]["dependencies"]
        wanted += project["build-system"]["requires"]
    asked = {
        match[0].lower()
        for line in wanted
        if (match := re.match(r"[A-Za-z0-9._-]+", line))
    }
    assert {name for name in asked if not name.startswith("provlog-")} <= names
