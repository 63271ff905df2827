"""The commands of the documents: cut out of their pages, run, held to what they print.

A block ``sh`` or ``python`` is run; a block ``text`` below it is what it prints, with
``…`` for anything. Blocks ``console`` and others are shown only.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.servers import environment
from support.vectors import REPOSITORY

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_RUN = ("sh", "python")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A block that can be run, and what it prints if the page says so."""

    language: str
    code: str
    prints: str | None


def snippets(page: Path) -> list[Snippet]:
    """Return a page's blocks that are run, in order."""
    blocks = _BLOCK.findall(page.read_text())
    following = [*blocks[1:], ("", "")]
    return [
        Snippet(language, code, after if kind == "text" else None)
        for (language, code), (kind, after) in zip(blocks, following, strict=True)
        if language in _RUN
    ]


def matches(printed: str, expected: str) -> bool:
    """Tell whether a text is the expected one; ports and ``…`` stand for anything."""
    pattern = re.escape(expected.strip()).replace("…", ".*?")
    pattern = re.sub(r"(127\\\.0\\\.0\\\.1:)\d+", r"\1\\d+", pattern)
    return re.fullmatch(pattern, printed.strip(), re.S) is not None


def run_snippets(
    run: Sequence[Snippet], checkout: Path, variables: dict[str, str]
) -> None:
    """Run blocks in one shell, as somebody would type them one after another.

    Each has to succeed and to print what its page says.
    """
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
    assert (done.returncode, rest) == (0, ""), done.stdout
    for each, printed in zip(run, outputs, strict=True):
        assert each.prints is None or matches(printed, each.prints), printed


def make_checkout(folder: Path) -> Path:
    """Return a folder like a fresh clone whose environment is made already."""
    folder.mkdir()
    for path in REPOSITORY.iterdir():
        if path.name not in (".venv", ".git", "data"):
            (folder / path.name).symlink_to(path)
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != ".provlog-installed":
            (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / ".provlog-installed").touch()
    return folder


def make_variables(home: Path) -> dict[str, str]:
    """Return an environment for commands, with a home of their own."""
    variables = environment()
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "EVENTS", "TESTS", "BENCH"):
        variables.pop(name, None)
    for name in [name for name in variables if name.lower().endswith("_proxy")]:
        del variables[name]
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        variables.pop(name, None)
    return variables | {"HOME": str(home), "PYTHONUNBUFFERED": "1"}
