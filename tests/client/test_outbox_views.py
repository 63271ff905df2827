"""Looking into an outbox's file, and deciding about what failed."""

import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client.errors import (
    UsageError,
)
from provlog.client.outbox import views
from provlog.client.outbox.items import (
    Failure,
    Item,
    Settled,
    StoredReceipt,
)
from provlog.client.outbox.spool import Spool
from support.outboxes import SOURCE, item

REFUSED = Failure(422, "not valid", "invalid-event", "/type")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box" / "spool"


def ids(spool: Spool) -> list[str | None]:
    return [each.id for each in spool.batch()]


def test_failed_items_are_listed_retried_in_their_place_and_dropped(
    path: Path,
) -> None:
    spool = Spool(path)
    spool.put([item(1), item(2), item(3)])
    spool.settle([Settled(1, failure=REFUSED), Settled(2, failure=REFUSED)])
    assert ids(spool) == ["s3"]
    found = views.read_failed(spool)
    assert [(each.id, each.failure) for each in found] == [
        ("s1", REFUSED),
        ("s2", REFUSED),
    ]
    assert views.read_failed(spool, after=1)[0].id == "s2"
    assert views.retry(spool, [1]) == 1
    assert ids(spool) == ["s1", "s3"]
    with pytest.raises(UsageError, match="number 3"):
        views.drop(spool, [2, 3])
    assert views.drop(spool, [2]) == 1
    status = views.read_status(spool)
    assert (status.waiting, status.failed, status.refused) == (2, 0, 2)
    assert status.dropped == 1
    spool.close()


def test_receipts_move_to_a_folder_and_write_over_no_stranger(
    path: Path, tmp_path: Path
) -> None:
    spool = Spool(path)
    spool.put([item(1), item(2)])
    data = b'{"origin":"log.example/main"}'
    kept = [StoredReceipt(number, SOURCE, f"s{number}", data) for number in (1, 2)]
    spool.settle([Settled(each.index, (each,)) for each in kept])
    assert views.find_receipts(spool, SOURCE, "s2") == [kept[1]]
    folder = tmp_path / "kept"
    assert views.move_receipts(spool, folder, remove=False) == 2
    assert views.move_receipts(spool, folder, remove=True) == 2
    assert views.read_status(spool).receipts == 0
    assert (folder / "2.receipt.json").read_bytes() == data + b"\n"
    assert stat.S_IMODE((folder / "2.receipt.json").stat().st_mode) == 0o600
    (folder / "3.receipt.json").write_bytes(b'{"origin":"other.example/main"}')
    spool.put([item(3)])
    spool.settle([Settled(3, (StoredReceipt(3, SOURCE, "s3", data),))])
    with pytest.raises(UsageError, match="not overwritten"):
        views.move_receipts(spool, folder, remove=True)
    assert views.read_status(spool).receipts == 1
    spool.close()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 4)),
            st.tuples(st.just("settle"), st.integers(0, 3)),
            st.tuples(st.just("fail"), st.integers(0, 3)),
            st.tuples(st.sampled_from(["retry", "drop", "reopen"]), st.just(0)),
        ),
        max_size=12,
    )
)
@settings(max_examples=30)
def test_whatever_is_done_its_counts_and_items_are_those_of_a_model(
    steps: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool")
        waiting: dict[int, Item] = {}
        failed: dict[int, Item] = {}
        count = 0
        for what, number in steps:
            some = dict(sorted(waiting.items())[:number])
            if what == "put":
                spool.put([item(count + each) for each in range(number)])
                waiting |= {count + e + 1: item(count + e) for e in range(number)}
                count += number
            elif what in ("settle", "fail"):
                failure = REFUSED if what == "fail" else None
                spool.settle([Settled(each, failure=failure) for each in some])
                failed |= some if what == "fail" else {}
                waiting = {k: v for k, v in waiting.items() if k not in some}
            elif what == "reopen":
                spool.close()
                spool = Spool(Path(folder) / "spool", create=False)
            elif what == "retry":
                assert views.retry(spool) == len(failed)
                waiting, failed = waiting | failed, {}
            else:
                assert views.drop(spool) == len(failed)
                failed = {}
        status = views.read_status(spool)
        bodies = [each.body for each in (*waiting.values(), *failed.values())]
        assert (status.waiting, status.failed) == (len(waiting), len(failed))
        assert status.bytes == sum(map(len, bodies))
        assert {e.number: e.body for e in spool.batch()} == {
            key: value.body for key, value in sorted(waiting.items())
        }
        spool.close()
