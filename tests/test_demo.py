"""The demo: it ends well on real records, and only if every step held."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.demo_inputs import find_inputs
from support.demo_steps import DemoError, Json
from support.demo_watching import (
    audit_names_the_entry,
    fsck_names_the_entry,
    require_growth,
)
from support.servers import Server, environment
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
    assert (
        "all 33 Okta records are in them, byte for byte but for secrets" in done.stdout
    )
    assert "the monitor saw growth only" in done.stdout
    assert "fsck names entry 128 and no other, exit code 1" in done.stdout
    assert "audit names entry 128 and no other, exit code 1" in done.stdout
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


def test_a_change_that_nobody_finds_ends_the_demo(tmp_path: Path) -> None:
    unchanged = Server.init(tmp_path)
    with pytest.raises(DemoError, match="fsck: 0"):
        fsck_names_the_entry(unchanged)
    with pytest.raises(DemoError, match="audit: 0"):
        audit_names_the_entry(unchanged, tmp_path / "monitor")


def grown(size: int, before: int) -> Json:
    return {"event": "grown", "size": size, "before": before}


FIRST: Json = {"event": "grown", "size": 1}


@pytest.mark.parametrize(
    "reports",
    [
        [],
        [FIRST],
        [grown(3, 2), grown(9, 3)],
        [FIRST, grown(3, 1), grown(9, 4)],
        [FIRST, grown(12, 1), grown(9, 12)],
        [FIRST, {"event": "unreachable"}, grown(9, 1)],
        [FIRST, {"event": "stale", "size": 1}, grown(9, 1)],
    ],
)
def test_a_monitor_that_saw_less_or_else_ends_the_demo(reports: list[Json]) -> None:
    with pytest.raises(DemoError):
        require_growth(reports, 9)


def test_a_monitor_that_saw_growth_only_does_not_end_the_demo() -> None:
    require_growth([FIRST, grown(3, 1), grown(9, 3)], 9)
