"""What hooks and pollers deliver: every record becomes an entry, once."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from provlog.server.delivery import Delivered, deliver
from provlog.server.errors import ConfigurationError
from provlog.server.log import Log
from provlog.server.queueing import QueueLimits
from provlog.server.reader import LogReader
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord
from support.okta import GROUP, USER, okta_record
from support.services import make_instance, running

SOURCE = SourceRecord("urn:okta:acme", "acme", "okta")
INGEST: dict[str, str | int | float | bool | None] = {"authentication": "test"}


def encoded(*targets: dict[str, str], **members: object) -> bytes:
    return json.dumps(okta_record(*targets, **members)).encode()


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Service, Log]]:
    async with running(await make_instance(tmp_path)) as (service, log):
        await service.register_source(log, SOURCE, "test")
        yield service, log


async def send(opened: tuple[Service, Log], *records: bytes) -> Delivered:
    return await deliver(*opened, SOURCE, records, {**INGEST})


async def test_records_become_entries_and_are_known_the_next_time(
    opened: tuple[Service, Log],
) -> None:
    records = [encoded(USER, GROUP, uuid=f"u{number}") for number in range(3)]
    assert await send(opened, *records) == Delivered(logged=3)
    assert await send(opened, *records) == Delivered(repeated=3)
    assert opened[1].released.size == 2 + 3


async def test_another_record_under_a_known_id_is_logged_beside_it(
    opened: tuple[Service, Log],
) -> None:
    other = encoded(GROUP, uuid="u1")
    await send(opened, encoded(USER, uuid="u1"))
    assert await send(opened, other) == Delivered(logged=1)
    assert await send(opened, other) == Delivered(repeated=1)


async def test_what_cannot_be_read_is_logged_as_it_is(
    opened: tuple[Service, Log],
) -> None:
    service, log = opened
    junk = [b"\xff\x00", b"{", b'{"uuid": 1, "uuid": 2}', b"[" * 100_000]
    assert await send(opened, *junk) == Delivered(logged=len(junk))
    entry = await LogReader(log, service.storage).entry(log.released.size - 1)
    assert b'"type":"other.unparsed"' in entry.leaf


async def test_an_erased_record_counts_as_delivered(
    opened: tuple[Service, Log], tmp_path: Path
) -> None:
    service, log = opened
    await send(opened, encoded(USER))
    connection = apsw.Connection(str(tmp_path / "data" / "provlog.db"))
    connection.execute("DELETE FROM private WHERE idx = ?", (log.released.size - 1,))
    connection.close()
    assert await deliver(service, log, SOURCE, [encoded(USER)], {}) == Delivered(
        erased=1
    )


async def test_more_events_than_a_batch_holds_go_in_several_submissions(
    tmp_path: Path,
) -> None:
    users = [{**USER, "id": f"00u{number}"} for number in range(40)]
    records = [encoded(*users, uuid=f"u{number}") for number in range(60)]
    limits = QueueLimits(queued_events=1000)
    async with running(await make_instance(tmp_path), limits=limits) as (service, log):
        await service.register_source(log, SOURCE, "test")
        delivered = await deliver(service, log, SOURCE, records, {})
    assert delivered == Delivered(logged=2400)


async def test_records_that_make_many_events_leave_turns_to_others(
    opened: tuple[Service, Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: list[int] = []

    async def turn(_: object, __: object, weight: int) -> None:
        weights.append(weight)

    monkeypatch.setattr(opened[0].workplace, "turn", turn)
    users = [{**USER, "id": f"00u{number}"} for number in range(40)]
    records = [encoded(*users, uuid=f"u{number}") for number in range(20)]
    counted: list[int] = []
    await deliver(*opened, SOURCE, records, {}, count=counted.append)
    assert len(weights) == 20
    assert min(weights) >= 40
    assert counted == [800]


async def test_a_source_without_connector_cannot_be_delivered_to(
    opened: tuple[Service, Log],
) -> None:
    plain = SourceRecord("urn:plain", "urn:plain", None)
    with pytest.raises(ConfigurationError):
        await deliver(*opened, plain, [b"{}"], {})
