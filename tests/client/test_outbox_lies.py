"""A log that lies to an outbox: nothing is settled, and the evidence is kept."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from provlog.client import (
    Outbox,
    VolatileMemory,
)
from provlog.client.outbox import sender
from provlog.merkle.errors import InconsistencyError, MerkleError
from support.lying_log import Json, LyingLog, Served
from support.outboxes import logged_ids, sending, small


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(sender, "POLL_SECONDS", 0.02)
    monkeypatch.setattr("provlog.client.outbox.box.PATIENCE", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def outbox(path: Path, served: Served, log: LyingLog) -> Iterator[Outbox]:
    with sending(path, served, log) as running:
        yield running


@pytest.mark.parametrize(
    "lie", [{"index": 0}, {"disclosures": []}, {"hashes": []}, {"status": "200"}]
)
def test_an_answer_that_is_not_true_settles_nothing_and_is_kept(
    lie: Json, path: Path, served: Served, log: LyingLog
) -> None:
    def rewrite(_: str, body: Json) -> None:
        results = body["results"]
        assert isinstance(results, list)
        last = results[-1]
        assert isinstance(last, dict)
        last.update(lie)

    log.rewrite = rewrite
    outbox = Outbox(path, served.url, log.trust, memory=VolatileMemory())
    outbox.start()
    outbox.put_many([small(1), small(2)])
    with pytest.raises(MerkleError) as caught:
        outbox.flush(20)
    outbox.put(small(3))  # which goes on
    status = outbox.status()
    assert (status.waiting, status.receipts, status.sending) == (3, 0, False)
    assert str(status.trouble).startswith("stopped: ")
    with pytest.raises(MerkleError):
        outbox.close()
    [evidence] = path.parent.glob("*.evidence.json")
    assert str(evidence) in "".join(caught.value.__notes__)
    assert stat.S_IMODE(evidence.stat().st_mode) == 0o600
    kept = json.loads(evidence.read_bytes())
    assert kept["origin"] == log.origin
    assert kept["request_base64"]
    log.rewrite = lambda path, body: None
    with sending(path, served, log) as again:
        again.flush(20)
    assert logged_ids(log) == ["s1", "s2", "s3"]


def test_another_event_s_receipt_is_not_taken_for_this_one_s(
    outbox: Outbox, path: Path, log: LyingLog
) -> None:
    outbox.put_many([small(1), small(2, type="account.unlock")])
    outbox.flush(20)

    def swap(_: str, body: Json) -> None:
        results = body["results"]
        assert isinstance(results, list)
        results.reverse()

    log.rewrite = swap
    outbox.put_many([small(3), small(4, type="account.unlock")])
    with pytest.raises(MerkleError):
        outbox.flush(20)
    assert outbox.status().waiting == 2


def test_a_fork_stops_it_and_both_checkpoints_are_kept(
    path: Path, served: Served, log: LyingLog
) -> None:
    memory = VolatileMemory()
    fork = log.fork()
    outbox = Outbox(path, served.url, log.trust, memory=memory)
    outbox.start()
    outbox.put(small(1))
    outbox.flush(20)
    fork.append({"specversion": "1.0", **small(2)})
    served.switch(fork)
    outbox.put(small(3))
    with pytest.raises(InconsistencyError):
        outbox.flush(20)
    assert outbox.status().waiting == 1
    assert len(memory.evidence) == 1
    with pytest.raises(InconsistencyError):
        outbox.close()
