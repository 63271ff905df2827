"""Checkpoints that a log should not have signed are kept, and convict it elsewhere."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provlog.client.evidence import verify_evidence
from provlog.merkle.trust import Trust
from provlog.merkle.witness_messages import AddCheckpoint
from provlog.server.witness.evidence import write_evidence
from provlog.server.witness.records import Evidence
from provlog.server.witness.writing import MOST_EVIDENCE
from support.asked_witnesses import Asking, asked_witness
from support.witnessed_logs import ORIGIN, MemoryLog
from support.witnesses import witness_command

LOG = MemoryLog()
OTHER = MemoryLog(history="two")


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Asking]:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        yield asking


def kept(asking: Asking) -> list[Evidence]:
    return asking.served.witness.store.evidence()


@pytest.mark.parametrize("old", [0, 5, 3])
async def test_two_roots_of_one_size_are_kept_whatever_is_asked(
    asking: Asking, old: int, caplog: pytest.LogCaptureFixture
) -> None:
    await asking.post(LOG.request(0, 5))
    body = AddCheckpoint(old, (), OTHER.checkpoint(5)).format()
    assert await asking.status(body) in (409, 422)
    [found] = kept(asking)
    assert found.convicts
    assert (found.known, found.note) == (LOG.checkpoint(5), OTHER.checkpoint(5))
    [record] = [each for each in caplog.records if "evidence" in each.getMessage()]
    assert record.levelno == logging.ERROR
    assert await asking.status(body) in (409, 422)  # nothing new
    assert len(kept(asking)) == 1


async def test_of_two_histories_that_ask_at_once_one_is_cosigned(
    asking: Asking,
) -> None:
    asked = [asking.post(log.request(0, 5)) for log in (LOG, OTHER) * 4]
    answers = await asyncio.gather(*asked)
    assert [status for status, _, _ in answers].count(200) == 1
    [found] = kept(asking)
    assert found.convicts


async def test_what_is_kept_convicts_the_log_in_anybody_s_hands(
    asking: Asking, tmp_path: Path
) -> None:
    await asking.post(LOG.request(0, 5))
    await asking.post(OTHER.request(5, 5))
    [path] = write_evidence(kept(asking), tmp_path / "found")
    conviction = verify_evidence(path.read_bytes(), Trust.from_log_key(LOG.vkey))
    assert conviction.origin == ORIGIN
    assert conviction.older.checkpoint.size == 5
    assert write_evidence(kept(asking), tmp_path / "found") == []


async def test_the_command_lists_and_writes_it(asking: Asking, tmp_path: Path) -> None:
    await asking.post(LOG.request(0, 5))
    await asking.post(OTHER.request(5, 5))
    await asking.post(OTHER.request(5, 8))
    where = ("--dir", f"{tmp_path}/witness", "--to", f"{tmp_path}/found")
    printed = witness_command("evidence", *where, code=1)
    assert "convicts the log" in printed
    assert "not shown to be consistent" in printed
    said = witness_command("evidence", *where, "--json", code=1)
    found = json.loads(said)["evidence"]
    assert [each["convicts"] for each in found] == [True, False]


async def test_what_may_be_the_sender_s_mistake_convicts_nobody(
    asking: Asking, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await asking.post(LOG.request(0, 5))
    body = AddCheckpoint(5, (), LOG.checkpoint(8)).format()
    assert await asking.status(body) == 422
    [found] = kept(asking)
    assert not found.convicts
    assert write_evidence([found], tmp_path / "found") == []
    witness_command("evidence", "--dir", f"{tmp_path}/witness")  # ends with 0
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]
    # Once the log itself asks, with the proof, nothing is left of it.
    assert await asking.status(LOG.request(5, 8)) == 200
    assert kept(asking) == []


async def test_what_the_log_did_not_sign_is_not_kept(asking: Asking) -> None:
    await asking.post(LOG.request(0, 5))
    forged = OTHER.checkpoint(5).replace(b"\n5\n", b"\n05\n")
    for body in (b"nothing", AddCheckpoint(5, (), forged).format()):
        await asking.post(body)
    note = OTHER.checkpoint(5).replace(b"\xe2\x80\x94 log", b"\xe2\x80\x94 dog")
    assert await asking.status(AddCheckpoint(5, (), note).format()) == 403
    assert kept(asking) == []


async def test_strangers_cannot_crowd_out_what_convicts(asking: Asking) -> None:
    await asking.post(LOG.request(0, 5))
    for size in range(6, 6 + MOST_EVIDENCE + 4):
        await asking.post(AddCheckpoint(5, (), LOG.checkpoint(size)).format())
    assert len(kept(asking)) == MOST_EVIDENCE
    await asking.post(OTHER.request(5, 5))
    assert [each.convicts for each in kept(asking)].count(True) == 1
    for number in range(MOST_EVIDENCE + 4):
        log = MemoryLog(history=f"{number}")
        await asking.post(log.request(5, 5))
    assert len(kept(asking)) == 2 * MOST_EVIDENCE
