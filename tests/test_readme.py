"""The README's commands, run as they stand there, and what it says they print.

``make run`` is served in the background, on free ports; the blocks that follow talk to
it. `make test`, `make bench` and `make fairness` are this very run and minutes of work:
of these it is held that make knows them.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.pages import make_checkout, make_variables, matches, run_snippets, snippets
from support.vectors import REPOSITORY

README = REPOSITORY / "README.md"
DRY = ("make test", "make bench")
_SERVING = re.compile(r"serving on (http://127\.0\.0\.1:\d+)")

pytestmark = pytest.mark.needs("program:make", "program:bash")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder like a fresh clone whose environment is made already."""
    return make_checkout(tmp_path_factory.mktemp("clone") / "checkout")


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of the commands: a home and ports of their own."""
    free = {"SERVE": "--listen 127.0.0.1:0 --metrics 127.0.0.1:0"}
    return make_variables(tmp_path_factory.mktemp("home")) | free


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
    [run] = [each for each in snippets(README) if each.code == "make run\n"]
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
    run = [each for each in snippets(README) if not each.code.startswith("make ")]
    run_snippets(run, checkout, variables)


def test_make_demo_prints_what_the_readme_says(
    checkout: Path, variables: dict[str, str]
) -> None:
    [demo] = [each for each in snippets(README) if each.code == "make demo\n"]
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
        for each in snippets(README)
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
