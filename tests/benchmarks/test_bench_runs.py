"""The benchmark runs and verifies what it measures; its figures are not judged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).with_name("bench.py")
FAIRNESS = Path(__file__).with_name("fairness.py")
SCIM_PROXY = Path(__file__).with_name("scim_proxy.py")


@pytest.mark.parametrize(
    "engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))]
)
def test_a_short_run_gives_every_figure_and_verifies_receipts(
    tmp_path: Path, engine: str
) -> None:
    figures = tmp_path / "bench.json"
    options = ["--rounds", "1", "--seconds", "0.5", "--json", str(figures)]
    options += ["--engine", engine]
    subprocess.run(
        [sys.executable, str(BENCH), *options],
        check=True,
        capture_output=True,
        timeout=120,
    )
    written = json.loads(figures.read_bytes())
    assert "synchronous=FULL" in written["machine"]["durability"]
    results = [row for row in written["results"] if row["engine"] == engine]
    assert [(row["scenario"], row["connections"]) for row in results] == [
        ("single events", 1),
        ("single events", 64),
        ("single events", 256),
        ("batches of 1,000", 2),
        ("inclusion proofs", 16),
    ]
    assert all(row["rate"] > 0 for row in results)
    assert all(row["verified"] > 0 for row in results[:3])
    assert {"parse", "draft", "tree", "store", "commit", "sign"} <= set(
        results[1]["stages_us"]
    )


def test_a_quiet_submitter_is_answered_beside_every_flood(tmp_path: Path) -> None:
    figures = tmp_path / "fairness.json"
    options = ["--rounds", "1", "--seconds", "0.5", "--json", str(figures)]
    subprocess.run(
        [sys.executable, str(FAIRNESS), *options],
        check=True,
        capture_output=True,
        timeout=120,
    )
    alone, *beside = json.loads(figures.read_bytes())["results"]
    assert alone["flood_rate"] == 0
    assert len(beside) == 5
    assert all(row["flood_rate"] > 0 and row["p50_ms"] > 0 for row in beside)


def test_what_the_scim_proxy_adds_is_measured_in_pairs(tmp_path: Path) -> None:
    figures = tmp_path / "scim-proxy.json"
    subprocess.run(
        [sys.executable, str(SCIM_PROXY), "--pairs", "10", "--json", str(figures)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=120,
    )
    written = json.loads(figures.read_bytes())
    change, read = written["results"]
    assert change["pairs"] == read["pairs"] == 10
    assert change["proxied_p50_ms"] > change["straight_p50_ms"] > 0
