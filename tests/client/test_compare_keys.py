"""Comparing across a change of keys, and behind a log's end."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from provlog.client.cli import cli
from provlog.merkle.witness_messages import origin_hash
from support.commands import verify_alone
from support.lying_log import ORIGIN, event, serving
from support.rotating_logs import RotatingLog
from support.sites import serving_pages

PREFIX = f"/{origin_hash(ORIGIN)}/checkpoint"


@pytest.fixture
def log() -> RotatingLog:
    """Return a log whose first key, which users know, signs no longer."""
    log = RotatingLog()
    for place in range(3):
        log.append(event(id=f"a{place}"))
    log.rotate(7, retire=True)
    for place in range(3):
        log.append(event(id=f"b{place}"))
    return log


class User:
    """Somebody who knows the log's first key."""

    def __init__(self, folder: Path, log: RotatingLog) -> None:
        self.folder, self.vkey = folder, log.vkey

    def compare(self, *arguments: str | Path) -> Result:
        environment = {
            "XDG_CONFIG_HOME": str(self.folder),
            "PROVLOG_STATE": str(self.folder / "state"),
            "PROVLOG_LOG_KEY": self.vkey,
            "PROVLOG_PATIENCE": "0",
        }
        call = ["compare", *map(str, arguments)]
        return CliRunner().invoke(cli, call, env=environment)

    def keep(self, name: str, log: RotatingLog, *indexes: int) -> Path:
        folder = self.folder / name
        folder.mkdir()
        for index in indexes:
            path = folder / f"{index}.receipt.json"
            path.write_text(json.dumps(log.receipt(index, index + 1)))
        return folder


@pytest.fixture
def user(tmp_path: Path, log: RotatingLog) -> User:
    return User(tmp_path, log)


def test_who_knows_the_first_key_compares_across_its_change(
    user: User, log: RotatingLog
) -> None:
    receipts = user.keep("receipts", log, 5, 6, 7)
    with serving(log) as served, serving_pages({PREFIX: log.note()}) as site:
        done = user.compare("--url", served.url, site.url, receipts)
    assert done.exit_code == 0, done.output
    # What the log announced is remembered: no network is needed from now on.
    offline = user.compare("--offline", receipts)
    assert offline.exit_code == 0, offline.output


def test_keys_that_one_place_announces_are_known_of_all(
    user: User, log: RotatingLog
) -> None:
    with (
        serving(log) as served,
        serving_pages({PREFIX: log.note()}) as before,
        serving_pages({PREFIX: log.note(6)}) as after,
    ):
        done = user.compare(before.url, f"{served.url}logs/main", after.url)
        assert done.exit_code == 0, done.output
        # But what others announce is not kept: they are asked anew.
        assert user.compare("--offline", user.keep("r", log, 5, 6)).exit_code == 1


def test_a_fork_under_the_newer_key_convicts_in_the_hands_of_who_knew_the_first(
    user: User, log: RotatingLog
) -> None:
    other = log.fork()
    log.append(event(id="ours"))
    other.append(event(id="theirs"))
    receipts = user.keep("receipts", other, 8)
    with serving(log) as served:
        done = user.compare("--url", served.url, receipts)
    assert done.exit_code == 1, done.output
    [path] = (user.folder / "state").rglob("*.inconsistency.json")
    assert "SPLIT VIEW" in done.stderr
    state = user.folder / "state"
    judged = verify_alone(log.newest().verifier().vkey(), path)
    assert "CONVICTED" in judged.stdout, (judged, state)


def test_a_checkpoint_from_behind_the_end_is_refused_and_kept(
    user: User, log: RotatingLog
) -> None:
    log.rotate(8)
    log.freeze()
    receipts = user.keep("receipts", log, 6)
    with serving(log) as served:
        fine = user.compare("--url", served.url, receipts)
        assert fine.exit_code == 0, fine.output
        log.append(event(id="after the end"))
        done = user.compare("--url", served.url, receipts)
    assert (done.exit_code, "REFUSED" in done.stderr) == (1, True), done.output
    [path] = (user.folder / "state").rglob("*.inconsistency.json")
    assert str(path) in done.stdout
    assert "CONVICTED" in verify_alone(log.vkey, path).stdout
    later = user.keep("later", log, 10)
    offline = user.compare("--offline", later)
    assert "but the log ended" in offline.stdout
