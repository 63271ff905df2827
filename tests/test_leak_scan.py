"""What the scan of every test finds: leaks that are planted for it, and no others."""

import re
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from support.leaks import METRICS, OUTPUT, PROBLEM, WATCH, Watch
from support.servers import Server
from support.vectors import REPOSITORY

PLANTED = REPOSITORY / "tests" / "support" / "planted_leaks.py"
EXPECTED = {
    "a_token_in_a_log_line": r"token [0-9a-z]{12} in log lines: support.planted_leaks",
    "a_secret_without_its_token_in_a_further_field": "token .{12} in log lines: ",
    "a_key_in_a_log_line": "the key of epoch 1 of log.example.com/main in log lines: ",
    "a_person_in_the_text_of_an_exception": "'alice@example.com' in log lines: ",
    "a_person_in_a_disclosure": "'alice@example.com' in log lines: ",
    "a_person_in_a_metric": r"in metrics pages: at the end \(provlog_refusals_total\)",
    "a_person_in_a_scraped_page": r"GET 200 \(provlog_source_event_age_seconds\)",
    "a_person_in_a_problem": "in problem bodies: GET 403",
    "a_person_in_a_problem_of_a_batch": "in problem bodies: POST 200",
    "a_person_in_what_a_command_prints": "in outputs of processes: provlog-server fsck",
}


@pytest.fixture(scope="module")
def report() -> str:
    """Return what pytest says of the planted leaks."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", PLANTED],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def sections(report: str) -> dict[str, str]:
    """Return the findings of each test, without what pytest adds of captured logs."""
    parts = re.split(r"^_+ test_(\w+) _+$", report, flags=re.MULTILINE)
    return {
        name: re.split(r"^-+ Captured|^=+ ", text, flags=re.MULTILINE)[0]
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_each_planted_leak_fails_its_test_and_no_other(report: str) -> None:
    found = sections(report)
    assert found.keys() == EXPECTED.keys()
    assert f"{len(EXPECTED)} failed, 1 passed" in report
    for name, expected in EXPECTED.items():
        assert "what was run here leaks:" in found[name]
        assert re.search(expected, found[name]), found[name]


def test_a_finding_names_a_token_by_its_id_alone(report: str) -> None:
    for text in sections(report).values():
        assert re.search("[A-Za-z0-9_-]{43}", text) is None


def test_the_summary_says_how_much_was_searched(report: str) -> None:
    for kind in ("log lines", "metrics pages", "problem bodies", "outputs of"):
        assert re.search(rf"^ +[1-9][0-9]* {kind}", report, re.MULTILINE)


def test_what_a_process_prints_and_counts_is_searched(tmp_path: Path) -> None:
    WATCH.take_counts()
    with Server.init(tmp_path):
        pass
    counts = WATCH.take_counts()
    assert counts == {OUTPUT: 3, METRICS: 1}  # of init, and of serve as it runs
    WATCH.findings()


async def test_what_a_process_refuses_is_searched(tmp_path: Path) -> None:
    with Server.init(tmp_path) as server:
        WATCH.take_counts()
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{server.url}/logs/main/checkpoint") as answer,
        ):
            assert (answer.status, len(await answer.read()) > 0) == (401, True)
        assert WATCH.take_counts() == {PROBLEM: 1}


def test_a_process_that_prints_its_own_secrets_is_found_out(tmp_path: Path) -> None:
    with Server.init(tmp_path) as server:
        texts = [path.read_text() for path in (server.folder / "keys").rglob("*.key")]
    WATCH.findings()
    for text in (*texts, *server.tokens.values()):
        WATCH.saw(OUTPUT, "planted", f"key: {text}")
        assert len(WATCH.findings()) == 1


@pytest.mark.parametrize(
    "text",
    ["to=alice%40example.com&", "<alice@example.com>", "x 00u9\n", "(192.0.2.7)"],
)
def test_personal_data_are_found_in_the_forms_they_are_written(text: str) -> None:
    watch = Watch()
    watch.saw(OUTPUT, "planted", text)
    [finding] = watch.findings()
    assert finding.endswith("in outputs of processes: planted")
    assert watch.findings() == []


@pytest.mark.parametrize(
    "text", ["a00u9", "00u99", "urn:okta:acme log.example.com/main", "CHG-12", "Admin"]
)
def test_what_only_looks_like_them_is_not_found(text: str) -> None:
    watch = Watch()
    watch.saw(OUTPUT, "planted", text)
    assert watch.findings() == []
