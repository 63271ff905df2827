"""Comparing across a change of keys, and behind a log's end."""

from pathlib import Path

import pytest

from support.commands import verify_alone
from support.comparers import PREFIX, Comparer
from support.lying_log import event, serving
from support.rotating_logs import RotatingLog
from support.sites import serving_pages


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


@pytest.fixture
def user(tmp_path: Path, log: RotatingLog) -> Comparer:
    return Comparer(tmp_path, log)


def test_who_knows_the_first_key_compares_across_its_change(
    user: Comparer, log: RotatingLog
) -> None:
    receipts = user.receipts(log, "receipts", 5, 6, 7)
    with serving(log) as served, serving_pages({PREFIX: log.note()}) as site:
        done = user.compare("--url", served.url, site.url, receipts)
    assert done.exit_code == 0, done.output
    # What the log announced is remembered: no network is needed from now on.
    offline = user.compare("--offline", receipts)
    assert offline.exit_code == 0, offline.output


def test_keys_that_one_place_announces_are_known_of_all(
    user: Comparer, log: RotatingLog
) -> None:
    with (
        serving(log) as served,
        serving_pages({PREFIX: log.note()}) as before,
        serving_pages({PREFIX: log.note(6)}) as after,
    ):
        done = user.compare(before.url, f"{served.url}logs/main", after.url)
        assert done.exit_code == 0, done.output
        # But what others announce is not kept: they are asked anew.
        assert user.compare("--offline", user.receipts(log, "r", 5, 6)).exit_code == 1


def test_a_fork_under_the_newer_key_convicts_in_the_hands_of_who_knew_the_first(
    user: Comparer, log: RotatingLog
) -> None:
    other = log.fork()
    log.append(event(id="ours"))
    other.append(event(id="theirs"))
    receipts = user.receipts(other, "receipts", 8)
    with serving(log) as served:
        done = user.compare("--url", served.url, receipts)
    assert done.exit_code == 1, done.output
    [path] = user.evidence()
    assert "SPLIT VIEW" in done.stderr
    state = user.folder / "state"
    judged = verify_alone(log.newest().verifier().vkey(), path)
    assert "CONVICTED" in judged.stdout, (judged, state)


@pytest.mark.parametrize("keys", [1, 3])
@pytest.mark.parametrize("heard", [True, False])
def test_who_stole_a_replaced_key_makes_no_split_view(
    user: Comparer, log: RotatingLog, keys: int, heard: bool
) -> None:
    thief = RotatingLog()
    thief.append(event(id="a0"))
    for number in range(keys):
        thief.rotate(20 + number, retire=True)
    thief.append(event(id="theirs"))
    with serving(log) as served, serving(thief) as other:
        if heard:
            user.compare("--url", served.url)
        theirs = f"{other.url}logs/main"
        done = user.compare("--url", served.url, theirs)
    assert done.exit_code == 1, done.output
    assert "SPLIT" not in done.stderr
    assert "REFUSED" in done.stderr
    assert f"{theirs}: announcements" in done.stdout
    assert user.evidence() == []


def test_a_checkpoint_from_behind_the_end_is_refused_and_kept(
    user: Comparer, log: RotatingLog
) -> None:
    log.rotate(8)
    log.freeze()
    receipts = user.receipts(log, "receipts", 6)
    with serving(log) as served:
        fine = user.compare("--url", served.url, receipts)
        assert fine.exit_code == 0, fine.output
        log.append(event(id="after the end"))
        done = user.compare("--url", served.url, receipts)
    assert (done.exit_code, "REFUSED" in done.stderr) == (1, True), done.output
    [path] = user.evidence()
    assert str(path) in done.stdout
    assert "CONVICTED" in verify_alone(log.vkey, path).stdout
    later = user.receipts(log, "later", 10)
    offline = user.compare("--offline", later)
    assert "but the log ended" in offline.stdout
