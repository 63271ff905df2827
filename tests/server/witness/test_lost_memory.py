"""A witness whose memory was set back finds out by what it signed, and stops."""

import shutil
from pathlib import Path

import pytest

from provlog.merkle.notes import add_signatures, parse_signatures_unverified
from provlog.merkle.witness_messages import AddCheckpoint
from provlog.server.witness.keys import KeyFolder
from support.asked_witnesses import Asking, asked_witness
from support.cosigners import Cosigner
from support.witnessed_logs import MemoryLog
from support.witnesses import NAME, note_keys

LOG = MemoryLog()


async def grow(asking: Asking, old: int, size: int) -> bytes:
    """Return the cosigned checkpoint."""
    status, _, lines = await asking.post(LOG.request(old, size))
    assert status == 200
    return add_signatures(LOG.checkpoint(size), parse_signatures_unverified(lines))


def shown(old: int, size: int, note: bytes) -> bytes:
    """Return a request that shows a checkpoint as it was published."""
    return AddCheckpoint(old, LOG.proof(old, size), note).format()


async def set_back(folder: Path) -> bytes:
    """Set a witness back from 8 leaves to 5; return what it signed of the 8."""
    async with asked_witness(folder, LOG.vkey) as asking:
        await grow(asking, 0, 5)
    backup = folder.with_name("backup")
    shutil.copytree(folder, backup)
    async with asked_witness(folder) as asking:
        note = await grow(asking, 5, 8)
    shutil.rmtree(folder)
    backup.rename(folder)
    return note


async def test_one_signature_that_it_does_not_remember_stops_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "witness"
    note = await set_back(folder)
    async with asked_witness(folder) as asking:
        assert await asking.status(shown(0, 8, note)) == 503
        assert await asking.status(LOG.request(5, 6)) == 503
        assert "set back" in str(asking.served.witness.trouble())
        assert len([each for each in caplog.records if "set back" in each.message]) == 1
        keys = KeyFolder(folder)
        keys.rotate()
        note_keys(folder)
        await asking.served.witness.refresh()
        assert await asking.status(LOG.request(5, 6)) == 503  # the old ones sign too
        keys.retire(1)
        await asking.served.witness.refresh()
        assert await asking.status(shown(5, 8, note)) == 200
        assert asking.served.witness.trouble() is None


async def test_a_restart_does_not_make_it_forget_that_it_forgot(tmp_path: Path) -> None:
    folder = tmp_path / "witness"
    note = await set_back(folder)
    async with asked_witness(folder) as first, asked_witness(folder) as second:
        assert await first.status(shown(0, 8, note)) == 503
        # Another process on the same memory learns of it, too.
        await second.served.witness.refresh()
        assert await second.status(LOG.request(5, 6)) == 503
    async with asked_witness(folder) as asking:
        assert "set back" in str(asking.served.witness.trouble())
        assert await asking.status(LOG.request(5, 6)) == 503
    keys = KeyFolder(folder)
    keys.rotate()
    note_keys(folder)
    keys.retire(1)
    async with asked_witness(folder) as asking:
        assert asking.served.witness.trouble() is None
        assert await asking.status(LOG.request(5, 6)) == 200


async def test_what_it_remembers_may_be_shown_to_it(tmp_path: Path) -> None:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        five = await grow(asking, 0, 5)
        assert await asking.status(shown(5, 5, five)) == 200
        eight = await grow(asking, 5, 8)
        assert await asking.status(shown(5, 8, eight)) == 409
        assert await asking.status(shown(5, 5, five)) == 409
        assert await asking.status(LOG.request(8, 9)) == 200


async def test_nobody_else_can_stop_it(tmp_path: Path) -> None:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        five = await grow(asking, 0, 5)
        own = five.rpartition(b"\n\n")[2].split(b"\n", 1)[1]
        other = Cosigner.ed25519(NAME, 7).cosign(LOG.checkpoint(8))
        for note in (LOG.checkpoint(8) + own, other):
            assert await asking.status(shown(0, 8, note)) == 409
        assert asking.served.witness.trouble() is None
