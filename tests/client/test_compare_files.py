"""What files show of a log: every form that is kept, and files of liars."""

import contextlib
import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client import AsyncClient, FileMemory, VolatileMemory
from provlog.client.cli import cli
from provlog.client.comparing import Board
from provlog.client.comparing_files import FileSource, read_source
from provlog.client.errors import UsageError
from provlog.client.evidence import judge_evidence
from provlog.client.outbox.delivery import stored_receipt
from provlog.client.outbox.items import Settled, event_item
from provlog.client.outbox.spool import Spool
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.errors import MerkleError
from provlog.merkle.proof_file import format_proof
from support.forks import ORIGIN, TRUST, Fork, signed
from support.lying_log import LyingLog, Served, event

FORK = Fork.of("a", 3, 12)


def read(folder: Path, data: bytes | str, name: str = "file") -> FileSource:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_source(path, TRUST)


def sizes(found: FileSource) -> list[int]:
    assert found.refused == []
    return [each.gossiped.signed.checkpoint.size for each in found.sightings]


def batch(fork: Fork, size: int, *indexes: int) -> dict[str, JsonValue]:
    results: list[JsonValue] = [{"status": 409, "problem": {}}]
    for index in indexes:
        path = fork.leaf_path(index, size)
        results.append(
            {
                "status": 201,
                "index": index,
                "leaf": encode_base64(fork.leaves[index]),
                "disclosures": [],
                "hashes": [encode_base64(each) for each in path.hashes],
            }
        )
    return {"checkpoint": fork.note(size).decode(), "results": results}


def evidence() -> dict[str, JsonValue]:
    board = Board()
    other = Fork.of("b", 3, 12)
    board.add("here", FORK.sighting(7, 4))
    board.add("there", other.sighting(9, 4))
    board.settle()
    return board.splits[0].evidence(ORIGIN).to_json()


def test_every_form_is_read(tmp_path: Path) -> None:
    path = FORK.leaf_path(4, 7)
    proof = format_proof(4, path.hashes, FORK.note(7), b"extra")
    receipt = FORK.receipt(4, 7)
    for data, expected in (
        (FORK.note(5), [5]),
        (proof, [7]),
        (json.dumps(receipt), [7]),
        (json.dumps({"note": FORK.note(6).decode(), "size": 6}), [6]),
        (json.dumps(batch(FORK, 8, 2, 3)), [8, 8, 8]),
        (json.dumps({"announcements": [receipt], "v": 1}), [7]),
        (json.dumps(evidence()), [7, 9]),
    ):
        assert sizes(read(tmp_path, data)) == expected


def test_what_was_proved_in_a_file_is_used(tmp_path: Path) -> None:
    for data, expected in (
        (json.dumps(FORK.receipt(4, 7)), 1),
        (json.dumps(batch(FORK, 8, 2, 3)), 2),
        (json.dumps(evidence()), 2),
        (FORK.note(5), 0),
    ):
        found = read(tmp_path, data)
        assert sum(len(each.paths) for each in found.sightings) == expected


def test_evidence_of_others_convicts_again(tmp_path: Path) -> None:
    board = Board()
    for each in read(tmp_path, json.dumps(evidence())).sightings:
        board.add("their evidence", each)
    board.settle()
    assert len(board.splits) == 1


@pytest.mark.parametrize("fork", [Fork.of("b", 3, 12), Fork.of("b", 0, 5)])
def test_a_receipt_whose_proof_is_false_is_refused(tmp_path: Path, fork: Fork) -> None:
    note = FORK.note(5)
    found = read(tmp_path, fork.receipt_bytes(4, 5, note))
    assert found.sightings == []
    assert "another root" in found.refused[0]


def test_a_folder_is_read_as_far_as_it_is_true(tmp_path: Path) -> None:
    (tmp_path / "1.receipt.json").write_bytes(FORK.receipt_bytes(1, 5))
    (tmp_path / "2.receipt.json").write_bytes(b"{}")
    (tmp_path / "3.receipt.json").write_bytes(
        FORK.receipt_bytes(1, 5, signed(5, FORK.root(5), "else.example"))
    )
    (tmp_path / "checkpoint").write_bytes(FORK.note(9))
    (tmp_path / "notes.txt").write_bytes(b"not looked at")
    found = read_source(tmp_path, TRUST)
    read_sizes = [each.gossiped.signed.checkpoint.size for each in found.sightings]
    assert sorted(read_sizes) == [5, 9]
    assert [each.partition(":")[0] for each in found.refused] == ["2.receipt.json"]
    assert found.others == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\x00" * 100,
        b"[" * 100_000,
        b'{"leaf":1,"proof":2}',
        b'{"leaf":"","proof":""}',
        b'{"checkpoint":null,"results":[]}',
        b'{"checkpoint":"","results":{}}',
        b'{"announcements":[1]}',
        b'{"announcements":[{}]}',
        b'{"older":1,"newer":2}',
        b'{"note":1}',
        b"c2sp.org/tlog-proof@v1\n",
        b"log.example/main\n1\n\n\n",
    ],
)
def test_a_file_that_is_none_of_these_is_refused(tmp_path: Path, body: bytes) -> None:
    found = read(tmp_path, body)
    assert (found.sightings, len(found.refused)) == ([], 1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_convicts_nobody(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = data.draw(
        st.sampled_from(
            [
                FORK.receipt_bytes(4, 7),
                json.dumps(batch(FORK, 8, 2, 3)).encode(),
                FORK.note(7),
            ]
        )
    )
    place = data.draw(st.integers(0, len(whole) - 1))
    value = data.draw(st.integers(0, 255))
    altered = whole[:place] + bytes((value,)) + whole[place + 1 :]
    found = read(tmp_path_factory.mktemp("flipped"), altered)
    board = Board()
    board.add("the log", FORK.sighting(12, 3, 6))
    for each in found.sightings:
        board.add("altered", each)
    board.settle()
    assert board.splits == []


JUNK: list[JsonValue] = [None, True, 0, -1, 2**70, 1.5, "", "x", [], {}, "A" * 44]


def mutant(value: JsonValue, chance: random.Random) -> JsonValue:
    """Return a value of the same kind with some parts replaced or left out."""
    if chance.random() < 0.2:
        return chance.choice(JUNK)
    if isinstance(value, dict):
        kept = {n: e for n, e in value.items() if chance.random() > 0.05}
        return {
            name: mutant(each, chance) if chance.random() < 0.4 else each
            for name, each in kept.items()
        }
    if isinstance(value, list):
        return [mutant(e, chance) if chance.random() < 0.4 else e for e in value]
    if isinstance(value, str) and value:
        place = chance.randrange(len(value))
        return value[:place] + chance.choice("A= \n+—0") + value[place + 1 :]
    return value


@settings(max_examples=60, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_no_altered_file_does_more_than_be_refused(
    chance: random.Random, tmp_path_factory: pytest.TempPathFactory
) -> None:
    receipt = FORK.receipt(4, 7)
    whole: list[JsonValue] = [
        receipt,
        {"announcements": [receipt]},
        evidence(),
        batch(FORK, 8, 2, 3),
        {"note": FORK.note(5).decode()},
    ]
    folder = tmp_path_factory.getbasetemp()
    for _ in range(5):
        data = json.dumps(mutant(chance.choice(whole), chance)).encode()
        found = read(folder, data, "mutant")
        for each in found.sightings:
            Board().add("mutant", each)
        with contextlib.suppress(MerkleError):
            judge_evidence(data, TRUST)


def test_bounds_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provlog.client.comparing_files.MAX_FILES", 2)
    monkeypatch.setattr("provlog.client.comparing_files.MAX_FILE", 1000)
    for index in range(1, 4):
        (tmp_path / f"{index}.receipt.json").write_bytes(FORK.receipt_bytes(index, 5))
    with pytest.raises(UsageError, match="more than 2 files"):
        read_source(tmp_path, TRUST)
    with pytest.raises(UsageError, match="larger than"):
        read(tmp_path, b"x" * 2000)
    assert read(tmp_path, json.dumps({"announcements": [{}] * 3})).refused


async def test_a_spool_shows_the_receipts_it_keeps(
    tmp_path: Path, served: Served, log: LyingLog
) -> None:
    async with AsyncClient(served.url, log.trust, memory=VolatileMemory()) as client:
        receipts = [await client.submit(event(id=f"s{place}")) for place in range(3)]
    path = tmp_path / "outbox.spool"
    spool = Spool(path)
    try:
        spool.put([event_item(event(id=f"s{place}")) for place in range(3)])
        items = spool.batch()
        spool.settle(
            [
                Settled(item.number, (stored_receipt(receipt),))
                for item, receipt in zip(items, receipts, strict=True)
            ]
        )
    finally:
        spool.close()
    found = read_source(path, log.trust)
    assert sizes(found) == [2, 3, 4]


def test_names_of_files_that_somebody_else_chose_drive_no_terminal(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "sent\udcff"
    folder.mkdir()
    (folder / "\x1b[2J\x9b1m\udcff.receipt.json").write_text("{}")
    (folder / "1.checkpoint").write_bytes(FORK.note(5))
    found = read_source(folder, TRUST)
    [refused] = found.refused
    assert refused.isprintable()
    board = Board()
    board.add(found.place, found.sightings[0])
    board.add("there", Fork.of("b", 3, 12).sighting(5))
    board.settle()
    [split] = board.splits
    # It is kept whatever the places are called.
    path = Path(FileMemory(tmp_path / "state").convict(split.evidence(ORIGIN)))
    assert judge_evidence(path.read_bytes(), TRUST).origin == ORIGIN
    call = ["verify", "--log-key", TRUST.log_keys[0].vkey()]
    done = CliRunner().invoke(cli, [*call, *map(str, folder.glob("*.json"))])
    assert "FAILED" in done.stdout
    assert done.stdout.replace("\n", "").isprintable()


def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoint").write_bytes(FORK.note(3))

    def denied(path: object = ".") -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(UsageError, match="Permission denied"):
        read_source(tmp_path, TRUST)
