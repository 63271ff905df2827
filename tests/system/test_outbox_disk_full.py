"""The disk of an outbox is full: what was put is there, and nothing is put by half."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from provlog.client import Outbox, OutboxFullError, VolatileMemory
from provlog.client.outbox import views
from provlog.merkle.encoding import JsonValue
from support.disks import SmallDisk, small_disk
from support.lying_log import LyingLog, serving
from support.outboxes import logged_ids, small, until

pytestmark = pytest.mark.needs("program:mount")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "1m") as disk:
        if disk is None:
            pytest.skip("program: mount may not be used here")
        yield disk


def put_until_full(outbox: Outbox) -> list[str]:
    """Put pairs of events until there is no room; return the ids of those put."""
    names: list[str] = []
    padding: JsonValue = {"target": {"id": "u1", "name": "x" * 3000}}
    while True:
        pair = [small(len(names) + more, data=padding) for more in (0, 1)]
        try:
            names += outbox.put_many(pair)
        except OutboxFullError as error:
            why = str(error)
            break
    assert "disk is full" in why
    return names


def test_a_full_disk_is_said_and_costs_nothing_that_was_put(disk: SmallDisk) -> None:
    path = disk.folder / "outbox"
    outbox = Outbox(path)
    names = put_until_full(outbox)
    disk.fill()
    with pytest.raises(OutboxFullError):
        outbox.put(small("x"))
    assert [each.id for each in outbox.spool.batch()] == names
    views.check(outbox.spool)
    outbox.close()
    again = Outbox(path)
    assert again.status().waiting == len(names)
    disk.empty()
    disk.resize("8m")
    assert again.put(small("x")) == "sx"
    assert [each.id for each in again.spool.batch()] == [*names, "sx"]
    again.close()


def test_a_receipt_without_room_is_asked_for_again(disk: SmallDisk) -> None:
    log = LyingLog()
    with serving(log) as served:
        path = disk.folder / "outbox"
        outbox = Outbox(path, served.url, log.trust, memory=VolatileMemory())
        outbox.spool.bind(log.origin)
        names = put_until_full(outbox)
        disk.fill()
        outbox.start()
        until(lambda: len(log.bodies) > 1)
        assert outbox.status().waiting == len(names)
        disk.empty()
        disk.resize("8m")
        outbox.flush(60)
        assert outbox.status().receipts == len(names)
        outbox.close()
    assert logged_ids(log) == names
