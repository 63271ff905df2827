"""A log that moves from SQLite to PostgreSQL and back stays the log it was."""

from pathlib import Path

import pytest

from provlog.server.errors import ConfigurationError, DamagedError
from provlog.server.initialise import Place
from provlog.server.instance import load_instance
from provlog.server.moving import reading
from provlog.server.moving.house import import_into
from provlog.server.service import Service
from provlog.server.storage.base import AlreadyExistsError
from provlog.server.storage.opening import create_storage
from support.checked_instance import ENTRIES, check, make_checked_instance
from support.exports import export, ignore, opened, receipts_of
from support.services import append, draft

pytestmark = pytest.mark.needs("postgres")


async def test_there_and_back(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "OWN_PROCESS", 100)
    first = await make_checked_instance(tmp_path / "first")
    before = await receipts_of(first)
    await export(first, tmp_path / "a")
    place = Place(tmp_path / "second", first.guard, postgres_url)
    await import_into(place, opened(first, tmp_path / "a"), "main", ignore)
    second = load_instance(place.folder, None, postgres_url)
    assert await receipts_of(second) == before
    async with Service.of(second) as service:
        log = await service.log("main")
        assert log is not None
        await append(service, log, draft(log, "on PostgreSQL"))
        outcome = await append(service, log, draft(log, "on PostgreSQL"))
        assert "Repeated" in repr(outcome)
    before = await receipts_of(second)
    await export(second, tmp_path / "b")
    # Under the guard that has seen it released from PostgreSQL.
    place = Place(tmp_path / "third", first.guard)
    await import_into(place, opened(second, tmp_path / "b"), "main", ignore)
    third = load_instance(place.folder, None)
    assert await receipts_of(third) == before
    assert len(before) == 1 + 2 * (ENTRIES + 1)
    assert check(third) == []


async def test_an_import_that_failed_leaves_tables_that_the_next_one_takes_up(
    postgres_url: str, tmp_path: Path
) -> None:
    first = await make_checked_instance(tmp_path / "first")
    await export(first, tmp_path / "a")
    line = tmp_path / "a" / "private.ndjson"
    data = line.read_bytes()
    line.write_bytes(data[:-2] + b"]\n")
    place = Place(tmp_path / "second", tmp_path / "second-guard", postgres_url)
    export_ = opened(first, tmp_path / "a")
    with pytest.raises((DamagedError, ConfigurationError)):
        await import_into(place, export_, "main", ignore)
    assert not place.folder.exists()
    line.write_bytes(data)
    await import_into(place, export_, "main", ignore)
    with pytest.raises(AlreadyExistsError):
        await create_storage(load_instance(place.folder, None, postgres_url))
    other = Place(tmp_path / "other", tmp_path / "other-guard", postgres_url)
    with pytest.raises(ConfigurationError, match="holds a provlog already"):
        await import_into(other, export_, "main", ignore)
    assert not other.folder.exists()
