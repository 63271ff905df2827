"""`provlog compare`: who is asked, what is said, what is kept, and with which code."""

import json
from pathlib import Path

import pytest

from provlog.client.memory import FileMemory
from support.commands import verify_alone
from support.comparers import PREFIX, Comparer, grown, mirror
from support.cosigners import Cosigner
from support.lying_log import ORIGIN, LyingLog, serving
from support.sites import serving_pages

TOKEN = "plt_a_b"


@pytest.fixture
def log() -> LyingLog:
    return grown(LyingLog(), "e", 5)


@pytest.fixture
def user(tmp_path: Path, log: LyingLog) -> Comparer:
    return Comparer(tmp_path, log)


def test_a_log_and_what_others_saw_of_it_are_one_history(
    user: Comparer, log: LyingLog
) -> None:
    receipts = user.receipts(log, "receipts", 1, 2, 4)
    monitor = {PREFIX: log.note(3)}
    with serving(log) as served, serving_pages(monitor) as site:
        code, said = user.told("--url", served.url, site.url, receipts)
        shown = user.compare("--url", served.url, site.url, receipts)
    *sources, verdict = said
    assert (code, verdict["verdict"]) == (0, "consistent"), said
    assert [each["size"] for each in sources] == [6, 3, 5]
    assert [each["behind"] for each in sources] == [0, 3, 1]
    assert sources[2]["recorded"] == "2026-11-21T17:53:56.001Z"
    assert "3 checkpoints, this is the largest" in shown.stdout
    assert "consistent: all of it is one history" in shown.stderr
    assert user.evidence() == []


@pytest.mark.parametrize("size", [3, 4, 6])
def test_a_split_view_is_proved_to_anybody_without_network(
    user: Comparer, log: LyingLog, size: int
) -> None:
    other = grown(LyingLog(), "x", 7)
    with serving(log) as served, serving_pages({PREFIX: other.note(size)}) as site:
        shown = user.compare("--url", served.url, site.url)
    assert shown.exit_code == 1, shown.output
    assert "SPLIT VIEW" in shown.stderr
    [path] = user.evidence()
    assert str(path) in shown.stdout
    judged = verify_alone(log.vkey, path)
    assert (judged.returncode, judged.stderr) == (1, "")
    assert "CONVICTED" in judged.stdout
    root = other.note(size).decode().splitlines()[2][:8]
    shown_there = f"{site.url} showed the one of {size}, root {root}\n"
    assert f"said, and not signed: {shown_there}" in judged.stdout


def test_a_static_mirror_proves_what_the_log_would(
    user: Comparer, log: LyingLog
) -> None:
    receipts = user.receipts(log, "receipts", 1, 3)
    with serving_pages(mirror(log)) as site:
        code, said = user.told(site.url, receipts)
    assert (code, said[-1]["verdict"]) == (0, "consistent"), said


@pytest.mark.parametrize("size", [3, 4])
def test_a_static_mirror_convicts(user: Comparer, log: LyingLog, size: int) -> None:
    # Where the smaller size is a power of two the tiles have to show the leaf.
    receipts = user.receipts(grown(LyingLog(), "x", 3), "receipts", size - 1)
    with serving_pages(mirror(log, "/mirrors/acme")) as site:
        code, said = user.told(f"{site.url}/mirrors/acme", receipts)
    assert (code, said[-1]["verdict"]) == (1, "split"), said
    [path] = user.evidence()
    assert "CONVICTED" in verify_alone(log.vkey, path).stdout


@pytest.mark.parametrize("full", [False, True])
def test_a_mirror_in_a_folder_proves_without_any_network(
    user: Comparer, log: LyingLog, full: bool
) -> None:
    folder = user.folder / "mirror"
    for name, page in mirror(log).items():
        assert isinstance(page, bytes)
        path = folder / name.strip("/").removesuffix(".p/6" if full else "")
        path.parent.mkdir(parents=True, exist_ok=True)
        # A log that grew may have only the full form of a tile.
        path.write_bytes(page + bytes(250 * 32) if full and "tile/0" in name else page)
    ours = user.receipts(log, "ours", 1, 4)
    fine = user.compare("--offline", folder, ours)
    assert fine.exit_code == 0, fine.output
    theirs = user.receipts(grown(LyingLog(), "x", 3), "theirs", 3)
    caught = user.compare("--offline", folder, theirs)
    assert "SPLIT VIEW" in caught.stderr, caught.output
    [path] = user.evidence()
    assert "CONVICTED" in verify_alone(log.vkey, path).stdout
    for tile in folder.glob("tile/0/*"):
        if tile.is_file():
            tile.write_bytes(bytes(256 * 32))
        else:
            tile.joinpath("6").write_bytes(bytes(6 * 32))
    flipped = user.compare("--offline", folder, ours)
    assert (flipped.exit_code, len(user.evidence())) == (3, 1)


def test_what_nobody_who_answers_can_prove_is_not_compared(
    user: Comparer, log: LyingLog
) -> None:
    ahead = {PREFIX: grown(log, "y", 4).note()}
    with serving_pages(mirror(log)) as site, serving_pages(ahead) as monitor:
        shown = user.compare(site.url, monitor.url)
        code, said = user.told(site.url, monitor.url)
    # A mirror that lags is no lie, and neither owes a proof.
    assert (code, said[-1]["verdict"]) == (3, "not compared")
    assert "not compared: 6 leaves, shown by" in shown.stdout
    assert user.evidence() == []


def test_many_receipts_share_tiles(user: Comparer, log: LyingLog) -> None:
    longer = grown(log, "m", 60)
    receipts = user.receipts(longer, "many", *range(1, 60, 2))
    with serving(longer) as served:
        code, said = user.told("--url", served.url, receipts)
    assert (code, said[-1]["checkpoints"]) == (0, 31)
    asked = [each for each in longer.paths() if "checkpoint" not in each]
    assert asked == ["GET tile/0/000.p/66"]


@pytest.mark.parametrize("tile", [bytes(66 * 32), bytes(32), b"", b"x" * 8192, None])
def test_tiles_that_are_wrong_accuse_nobody_whose_proofs_are_right(
    user: Comparer, log: LyingLog, tile: bytes | None
) -> None:
    longer = grown(log, "m", 60)
    longer.tampered["tile/0/000.p/66"] = longer.tampered["tile/0/000"] = tile
    receipts = user.receipts(longer, "many", *range(1, 60, 2))
    with serving(longer) as served:
        code, said = user.told("--url", served.url, receipts)
    assert (code, said[-1]["verdict"]) == (0, "consistent")


def test_the_token_goes_to_the_log_alone(user: Comparer, log: LyingLog) -> None:
    with serving(log) as served, serving_pages({PREFIX: log.note(3)}) as site:
        done = user.compare("--url", served.url, "--token", TOKEN, site.url)
        own = {each.headers.get("Authorization") for each in log.requests}
        assert (done.exit_code, own) == (0, {f"Bearer {TOKEN}"})
        assert site.tokens == []
        # Nor to another path of the same server, which may be somebody else's.
        log.requests.clear()
        user.compare("--url", served.url, "--token", TOKEN, f"{served.url}x")
        others = [each for each in log.requests if each.path.startswith("/x")]
        assert others
        assert all("Authorization" not in each.headers for each in others)


def test_a_place_that_wants_a_token_is_told_from_one_that_is_away(
    user: Comparer, log: LyingLog
) -> None:
    pages: dict[str, bytes | int] = {"/checkpoint": 401, "/there/checkpoint": 302}
    with serving(log) as served, serving_pages(pages) as site:
        code, said = user.told(
            "--url", served.url, site.url, f"{site.url}/there", f"{site.url}/none"
        )
    troubles = [each.get("trouble", "") for each in said[1:-1]]
    assert "none is sent but to the log" in troubles[0]
    assert "redirects" in troubles[1]
    assert "shows no checkpoint" in troubles[2]
    assert (code, said[-1]["verdict"]) == (3, "not compared")


@pytest.mark.parametrize(
    "page", [b"<html>", b"", b"\xff" * 1000, b"a\n1\nb\n", b"x" * (2 << 20)]
)
def test_a_page_that_is_no_checkpoint_is_refused_and_stops_nothing(
    user: Comparer, log: LyingLog, page: bytes
) -> None:
    with serving(log) as served, serving_pages({"/checkpoint": page}) as site:
        code, said = user.told("--url", served.url, site.url)
    assert (code, said[-1]["verdict"]) == (1, "refused")
    assert said[0]["size"] == 6
    assert said[1]["refused"]


def test_a_note_that_the_log_did_not_sign_convicts_nobody(
    user: Comparer, log: LyingLog
) -> None:
    forged = grown(LyingLog(seed=bytes(32)), "x", 2)
    forged.key = LyingLog(seed=bytes(32)).key
    with serving(log) as served, serving_pages({PREFIX: forged.note()}) as site:
        code, said = user.told("--url", served.url, site.url)
    assert (code, said[-1]["verdict"], said[-1]["splits"]) == (1, "refused", 0)


def test_a_log_that_was_rolled_back_owes_a_proof(user: Comparer, log: LyingLog) -> None:
    receipts = user.receipts(grown(log, "y", 4), "receipts", 8)
    with serving(log) as served:
        shown = user.compare("--url", served.url, receipts)
        code, said = user.told("--url", served.url, receipts)
    assert (code, said[-1]["verdict"]) == (1, "not proved")
    assert "the log owes a proof" in shown.stderr
    assert "both signed checkpoints, no proof" in shown.stdout
    [path] = user.evidence()
    judged = verify_alone(log.vkey, path)
    assert judged.returncode == 1
    assert "nothing in the file shows" in judged.stdout


def test_a_log_restored_and_grown_anew_is_caught(user: Comparer, log: LyingLog) -> None:
    before, after = grown(log, "old", 3), grown(log, "new", 6)
    receipts = user.receipts(before, "receipts", 7, 8)
    with serving(after) as served:
        code, said = user.told("--url", served.url, receipts)
    assert (code, said[-1]["verdict"]) == (1, "split")
    assert "CONVICTED" in verify_alone(log.vkey, user.evidence()[0]).stdout


def test_offline_asks_nobody(user: Comparer, log: LyingLog) -> None:
    receipts = user.receipts(log, "receipts", 1, 2, 3, 4)
    with serving(log) as served:
        done = user.compare("--url", served.url, "--offline", receipts)
        assert (done.exit_code, log.requests) == (0, [])
        both = user.compare("--offline", served.url, receipts)
    assert both.exit_code == 2


def test_two_folders_of_receipts_prove_a_split_alone(
    user: Comparer, log: LyingLog
) -> None:
    # The log gave two people two entries 6, in trees of 8 and 9 leaves.
    ours = user.receipts(grown(log, "a", 2), "ours", 6, size=8)
    theirs = user.receipts(grown(log, "b", 3), "theirs", 6, size=9)
    shown = user.compare("--offline", ours, theirs)
    assert shown.exit_code == 1, shown.output
    [path] = user.evidence()
    judged = verify_alone(log.vkey, path)
    assert "do not begin with the same 7" in judged.stdout
    assert f"{ours} showed the one of 8" in judged.stdout


def test_what_a_client_remembers_and_kept_can_be_compared(
    user: Comparer, log: LyingLog, tmp_path: Path
) -> None:
    memory = FileMemory(tmp_path / "other")
    assert memory.replace(ORIGIN, log.vkey, None, log.note(4))
    assert memory.replace("else.example", "k", None, LyingLog(origin="else").note())
    with serving(log) as served:
        code, said = user.told("--url", served.url, tmp_path / "other")
    assert (code, said[1]["size"], said[1]["of_other_logs"]) == (0, 4, 1)


W1 = Cosigner.ed25519("w1.example", 1)
W2 = Cosigner.mldsa("w2.example", 2)


def test_witnesses_that_cosigned_both_are_named(
    user: Comparer, log: LyingLog, tmp_path: Path
) -> None:
    other = grown(LyingLog(), "x", 7)
    policy = tmp_path / "policy"
    policy.write_text(
        f"log {log.vkey}\nwitness one {W1.key.vkey()}\nwitness two {W2.key.vkey()}\n"
        "group both all one two\nquorum both\n"
    )
    # Both on one side, one on the other: no quorum there, and a split all the same.
    here = W2.cosign(W1.cosign(log.note(6), 1_800_000_000), 1_800_000_000)
    there = W1.cosign(other.note(6), 1_700_000_000)
    first, second = {PREFIX: here}, {PREFIX: there}
    with serving_pages(first) as one, serving_pages(second) as two:
        shown = user.compare("--policy", policy, one.url, two.url)
        code, said = user.told("--policy", policy, one.url, two.url)
    assert code == 1
    split = said[-2]
    assert split["witnesses"] == ["one"]
    assert "witness one cosigned both" in shown.stdout
    assert "cosigned by two 2027-01-15T08:00:00.000Z" in shown.stdout
    judged = verify_alone(log.vkey, "--policy", policy, "--json", user.evidence()[0])
    [witness] = json.loads(judged.stdout)["witnesses"]
    assert (witness["witness"], witness["key"]) == ("one", W1.key.vkey())
    assert {witness["older"], witness["newer"]} == {1_700_000_000, 1_800_000_000}


def test_cosignatures_of_one_head_from_several_places_are_joined(
    user: Comparer, log: LyingLog, tmp_path: Path
) -> None:
    other = grown(LyingLog(), "x", 7)
    policy = tmp_path / "policy"
    policy.write_text(
        f"log {log.vkey}\nwitness one {W1.key.vkey()}\nwitness two {W2.key.vkey()}\n"
        "quorum none\n"
    )
    with (
        serving_pages({PREFIX: W1.cosign(log.note(6))}) as one,
        serving_pages({PREFIX: W2.cosign(log.note(6))}) as two,
        serving_pages({PREFIX: W2.cosign(other.note(6))}) as three,
    ):
        code, said = user.told("--policy", policy, one.url, two.url, three.url)
    assert (code, said[-2]["witnesses"]) == (1, ["two"])
    judged = verify_alone(log.vkey, "--policy", policy, user.evidence()[0])
    assert "witness two cosigned both" in judged.stdout


def test_a_place_that_is_away_leaves_the_rest_compared_and_is_told(
    user: Comparer, log: LyingLog
) -> None:
    receipts = user.receipts(log, "receipts", 2, 4)
    with serving(log) as served:
        away = "http://127.0.0.1:9"
        code, said = user.told("--url", served.url, away, receipts)
    assert (code, said[-1]["verdict"]) == (3, "not compared")
    assert "no connection" in said[1]["trouble"]
    assert {said[0]["state"], said[2]["state"]} == {"consistent"}


def test_a_false_cosignature_hides_nothing(
    user: Comparer, log: LyingLog, tmp_path: Path
) -> None:
    policy = tmp_path / "policy"
    policy.write_text(f"log {log.vkey}\nwitness one {W1.key.vkey()}\nquorum one\n")
    other = grown(LyingLog(), "x", 7)
    line = W1.cosign(log.note(5)).rpartition(b"\n\n")[2].splitlines(keepends=True)[1]
    with (
        serving_pages({PREFIX: log.note(6)}) as one,
        serving_pages({PREFIX: other.note(6) + line}) as two,
    ):
        code, said = user.told("--policy", policy, one.url, two.url)
    assert (code, said[-1]["verdict"]) == (1, "split")
    assert said[1]["forged"] == ["one"]


def test_one_checkpoint_alone_is_no_comparison(user: Comparer, log: LyingLog) -> None:
    with serving(log) as served:
        done = user.compare("--url", served.url)
    assert done.exit_code == 3
    assert "nothing to hold against anything" in done.stderr


def test_mistakes_in_the_call_are_told(user: Comparer, log: LyingLog) -> None:
    assert user.compare().exit_code == 2
    assert user.compare(user.folder / "none").exit_code == 2
    empty = user.folder / "empty"
    empty.mkdir()
    assert "nothing to compare in this folder" in user.compare(empty).output
    assert user.compare(empty, key="").exit_code == 2
    many = [f"http://127.0.0.1:1/{number}" for number in range(201)]
    assert "more than 200 URLs" in user.compare(*many).output
