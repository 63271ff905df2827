"""The demo: it ends well on real records, and only if every step held."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.demo_inputs import find_inputs
from support.servers import environment
from support.vectors import REPOSITORY, samples_root


def demo(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the demo on the events of a folder."""
    return subprocess.run(
        [sys.executable, REPOSITORY / "tests" / "demo" / "demo.py", folder],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.needs("samples")
def test_every_okta_sample_becomes_an_entry_and_verifies() -> None:
    done = demo(samples_root())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "33 Okta records, 33 new entries" in done.stdout
    assert "all 33 Okta records are in them, byte for byte" in done.stdout
    assert "Every step held." in done.stdout


def test_an_event_that_is_refused_ends_the_demo(tmp_path: Path) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "urn:provlog:demo", "type": "X"}
    (tmp_path / "bad.json").write_text(json.dumps(event))
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "bad.json" in done.stdout
    assert "Every step held." not in done.stdout


def test_a_folder_without_events_ends_the_demo(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 1
    assert "no Okta records and no CloudEvents" in done.stdout


def test_files_of_other_kinds_are_counted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "okta").mkdir()
    (tmp_path / "okta" / "log.ndjson").write_text('{"uuid":"1"}\n{"uuid":"2"}\n')
    (tmp_path / "other.json").write_text('{"id":"1"}')
    (tmp_path / "broken.ndjson").write_text("{")
    (tmp_path / "notes.md").write_text("nothing")
    [found], others = find_inputs(tmp_path)
    assert (found.okta, list(found.records)) == (
        True,
        [b'{"uuid":"1"}', b'{"uuid":"2"}'],
    )
    assert others == 2
