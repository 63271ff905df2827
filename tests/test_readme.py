"""The README's commands, run as they stand there, and what it says they print.

A block ``sh`` or ``python`` is run; a block ``text`` below it is what it prints, with
``…`` for anything. ``make run`` is served in the background, on free ports; the blocks
that follow talk to it. `make test` and `make bench` are this very run and minutes of
work: of these it is held that make knows them.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.servers import environment
from support.vectors import REPOSITORY

README = REPOSITORY / "README.md"
DRY = ("make test", "make bench")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_SERVING = re.compile(r"serving on (http://127\.0\.0\.1:\d+)")

pytestmark = pytest.mark.needs("program:make", "program:bash")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A block that can be run, and what it prints if the README says so."""

    language: str
    code: str
    prints: str | None


def snippets() -> list[Snippet]:
    """Return the README's blocks, in order."""
    blocks = _BLOCK.findall(README.read_text())
    following = [*blocks[1:], ("", "")]
    return [
        Snippet(language, code, after if kind == "text" else None)
        for (language, code), (kind, after) in zip(blocks, following, strict=True)
        if language != "text"
    ]


def matches(printed: str, expected: str) -> bool:
    """Tell whether a text is the expected one; ports and ``…`` stand for anything."""
    pattern = re.escape(expected.strip()).replace("…", ".*?")
    pattern = re.sub(r"(127\\\.0\\\.0\\\.1:)\d+", r"\1\\d+", pattern)
    return re.fullmatch(pattern, printed.strip(), re.S) is not None


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder like a fresh clone whose environment is made already."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in REPOSITORY.iterdir():
        if path.name not in (".venv", ".git", "data"):
            (folder / path.name).symlink_to(path)
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != ".provlog-installed":
            (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / ".provlog-installed").touch()
    return folder


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of the commands: a home and ports of their own."""
    variables = environment()
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "EVENTS", "TESTS", "BENCH"):
        variables.pop(name, None)
    home = tmp_path_factory.mktemp("home")
    variables |= {
        "HOME": str(home),
        "SERVE": "--listen 127.0.0.1:0 --metrics 127.0.0.1:0",
        "PYTHONUNBUFFERED": "1",
    }
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        variables.pop(name, None)
    return variables


@pytest.fixture(scope="module")
def announced(checkout: Path, variables: dict[str, str]) -> Iterator[str]:
    """Yield what `make run` prints, while it runs."""
    output = checkout.parent / "make-run.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=checkout,
            env=variables,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + 60
    try:
        while "provlog submit" not in (text := output.read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        yield text
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)


def test_make_run_prints_what_the_readme_says(announced: str, checkout: Path) -> None:
    [run] = [each for each in snippets() if each.code == "make run\n"]
    assert run.prints is not None
    assert matches(announced, run.prints)
    assert (checkout / "data" / "dev.env").stat().st_mode & 0o777 == 0o600


def test_the_readme_s_snippets_print_what_it_says(
    announced: str, checkout: Path, variables: dict[str, str]
) -> None:
    served = _SERVING.search(announced)
    assert served is not None
    env_file = checkout / "data" / "dev.env"
    env_file.write_text(
        env_file.read_text().replace("http://127.0.0.1:8470", served[1])
    )
    run = [each for each in snippets() if not each.code.startswith("make ")]
    # One shell for all of them, as for somebody who types them one after another.
    script = ["set -euo pipefail", "exec 2>&1"]
    for each in run:
        code = each.code
        if each.language == "python":
            code = f".venv/bin/python -c {shlex.quote(code)}\n"
        script += [code, r"printf '\0'"]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=checkout,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    *outputs, rest = done.stdout.split("\0")
    assert (done.returncode, rest) == (0, "")
    for each, printed in zip(run, outputs, strict=True):
        assert each.prints is None or matches(printed, each.prints), printed


def test_make_demo_prints_what_the_readme_says(
    checkout: Path, variables: dict[str, str]
) -> None:
    [demo] = [each for each in snippets() if each.code == "make demo\n"]
    done = subprocess.run(
        ["make", "demo"],
        cwd=checkout,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert demo.prints is not None
    assert matches(done.stdout, demo.prints)


def test_every_other_command_of_the_readme_is_a_target() -> None:
    others = {
        each.code.strip()
        for each in snippets()
        if each.code.startswith("make ")
        and each.code.strip() not in ("make run", "make demo")
    }
    assert others == set(DRY)
    for command in others:
        subprocess.run([*command.split(), "--dry-run"], cwd=REPOSITORY, check=True)


def test_what_ci_runs_is_the_readme_s_test_command() -> None:
    lines = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert lines[-2:] == ["make check", "make test"]
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)


def test_another_text_does_not_match() -> None:
    assert matches("a 17 b\n", "a … b\n")
    assert not matches("a 17 c\n", "a … b\n")
    assert not matches("a\nb\n", "a\n")
