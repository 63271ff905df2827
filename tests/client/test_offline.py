"""Verifying needs no server code, no HTTP and no network; exports are as announced."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import provlog.client
from support.lying_log import LyingLog, event

PROBE = """
import sys
sys.argv = ["provlog", "verify", sys.argv[1]]
from provlog.client.cli import main
try:
    main()
except SystemExit as end:
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"aiohttp", "asyncio", "yarl", "rich"}, loaded
    assert "provlog.server" not in sys.modules
    sys.exit(end.code)
"""


@pytest.fixture
def receipt(log: LyingLog, tmp_path: Path) -> Path:
    log.append(event())
    path = tmp_path / "1.receipt.json"
    path.write_text(json.dumps(log.receipt(1)))
    return path


def python(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_verify_loads_neither_http_nor_the_server(receipt: Path, log: LyingLog) -> None:
    done = python("-c", PROBE, str(receipt), PROVLOG_LOG_KEY=log.vkey)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok ")


def test_the_module_is_the_command(receipt: Path, log: LyingLog) -> None:
    module = ("-m", "provlog.client", "verify", str(receipt))
    good = python(*module, PROVLOG_LOG_KEY=log.vkey)
    assert (good.returncode, good.stderr) == (0, "")
    other = LyingLog(seed=bytes(32))
    bad = python(*module, PROVLOG_LOG_KEY=other.vkey)
    assert (bad.returncode, bad.stdout[:6]) == (1, "FAILED")
    unkeyed = python(*module)
    assert unkeyed.returncode == 2
    assert "Traceback" not in unkeyed.stderr


def test_an_error_nobody_foresaw_shows_no_data(receipt: Path, log: LyingLog) -> None:
    code = (
        "import provlog.client.cli.verifying as v, sys\n"
        "def fail(*a): raise RuntimeError('alice@example.com')\n"
        "v.verify_receipt = fail\n"
        f"sys.argv = ['provlog', 'verify', {str(receipt)!r}]\n"
        "from provlog.client.cli import main\n"
        "main()\n"
    )
    done = python("-c", code, PROVLOG_LOG_KEY=log.vkey)
    assert done.returncode == 70
    assert "alice" not in done.stderr
    assert "Traceback" not in done.stderr


def test_every_export_is_there() -> None:
    for name in provlog.client.__all__:
        assert getattr(provlog.client, name).__name__ == name
    assert provlog.client.__all__ == sorted(provlog.client._HOMES)
    with pytest.raises(AttributeError):
        provlog.client.nothing  # noqa: B018
