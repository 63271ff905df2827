"""The terminal summary says which vectors were run, and what was skipped and why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.vectors import REPOSITORY, vectors_root

SAMPLE = """
import os
import pytest
from support.vectors import record, vectors_root

def test_vectors():
    vectors_root()
    record("some-folder", 41)

def test_more_vectors():
    vectors_root()
    record("some-folder", 1)

@pytest.mark.needs("program:no-such-program")
def test_program():
    raise AssertionError

@pytest.mark.needs("env:PROVLOG_TEST_NOTHING")
def test_variable():
    raise AssertionError

@pytest.mark.needs("vectors")
def test_settings_of_the_shell_are_forgotten():
    assert "PROVLOG_TOKEN" not in os.environ
"""


def run(folder: Path, *options: str, **environment: str) -> list[str]:
    """Run `SAMPLE` under this project's conftest; return the summary's lines."""
    sample = folder / "test_sample.py"
    sample.write_text(SAMPLE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "conftest", "-c", str(REPOSITORY / "pyproject.toml")]
    command += ["--rootdir", str(folder), *options, str(sample)]
    path = os.pathsep.join([str(REPOSITORY / "tests"), *sys.path])
    variables = {**os.environ, "PYTHONPATH": path, "PROVLOG_TOKEN": "x", **environment}
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.strip() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_summary_counts_vectors_and_ends_with_what_was_skipped(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    vectors_root()
    lines = run(tmp_path, *options)
    assert "42 some-folder" in lines
    assert "42 vectors run" in lines
    assert lines[-3:-1] == [
        "1 env: PROVLOG_TEST_NOTHING is not set",
        "1 program: no-such-program is not installed",
    ]


def test_absent_vectors_are_a_named_reason(tmp_path: Path) -> None:
    lines = run(tmp_path, PROVLOG_VECTORS=str(tmp_path / "nowhere"))
    assert "0 vectors run" in lines
    assert lines[-2] == "3 vectors: folder absent"
