"""The commands of docs/run-a-witness.md, run as they stand there."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.nginx import free_port
from support.pages import Snippet, make_variables, matches, run_snippets, snippets
from support.vectors import REPOSITORY
from support.warm_commands import warm_commands
from support.witnessed_logs import MemoryLog

PAGE = REPOSITORY / "docs" / "run-a-witness.md"
SERVE = "provlog-server witness serve"

pytestmark = pytest.mark.needs("program:bash", "program:curl")


@contextmanager
def served(serve: Snippet, folder: Path, variables: dict[str, str]) -> Iterator[None]:
    """Run the block that serves, and hold it to what it is said to print."""
    output = folder / "serve.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {serve.code.strip()}"],
            cwd=folder,
            env=variables,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while "metrics on" not in (text := output.read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        assert serve.prints is not None
        assert matches(text, serve.prints), text
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_the_commands_of_the_page_print_what_it_says(tmp_path: Path) -> None:
    port = free_port()
    where = f" --listen 127.0.0.1:{port} --metrics 127.0.0.1:0"
    variables = make_variables(tmp_path) | {"LOG_KEY": MemoryLog().vkey}

    def here(snippet: Snippet) -> Snippet:
        code = snippet.code.replace("127.0.0.1:8500", f"127.0.0.1:{port}")
        if code.startswith(SERVE):
            code = code.strip() + where
        return Snippet(snippet.language, code, snippet.prints)

    run = [here(each) for each in snippets(PAGE)]
    assert len(run) == 5
    [place] = [at for at, each in enumerate(run) if each.code.startswith(SERVE)]
    with warm_commands(tmp_path / "programs") as programs:
        variables["PATH"] = f"{programs}:{variables['PATH']}"
        run_snippets(run[:place], tmp_path, variables)
        with served(run[place], tmp_path, variables):
            run_snippets(run[place + 1 :], tmp_path, variables)


def test_what_the_page_asks_to_alert_on_is_counted() -> None:
    reference = (REPOSITORY / "docs" / "reference.md").read_text()
    for name in re.findall(r"provlog_witness_[a-z_]+", PAGE.read_text()):
        assert f"`{name}`" in reference, name
