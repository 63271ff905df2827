"""Changed keys and ended logs where they are moved, backed up, checked and shown."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from provlog.merkle.notes import open_note, parse_note_unverified
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server import batch
from provlog.server.announced import Announced, announcement_id
from provlog.server.errors import (
    ConfigurationError,
    FrozenError,
)
from provlog.server.initialise import Place, initialise
from provlog.server.instance import Instance, load_instance, record_instance
from provlog.server.key_changes import KeyState, freeze, known_keys, retire_keys
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.moving.backup import back_up
from provlog.server.moving.exported import open_export
from provlog.server.moving.house import read_keys
from provlog.server.moving.restoring import restore
from provlog.server.selfcheck.findings import Finding
from provlog.server.service import Service
from provlog.server.tokens import mint_token
from support.checked_instance import check, copy_of, unprotected
from support.exports import export, move, opened
from support.rotations import followed, id_of, rotate, signers
from support.services import ORIGIN, append, draft, now_ms, running

SOURCE = "urn:okta:acme"


async def _changed(
    folder: Path, url: str | None = None, *, frozen: bool = True
) -> Instance:
    """Return an instance whose log has its third key, lost its first, and ended."""
    made = await initialise(
        Place(folder / "data", folder / "guard", url),
        origin=ORIGIN,
        sources=(SOURCE,),
        now=now_ms(),
    )
    async with running(made.instance) as (service, log):
        await append(service, log, *(draft(log, f"a-{each}") for each in range(5)))
        await rotate(service, log)
        await retire_keys(log, destroy=True)
        await append(service, log, *(draft(log, f"b-{each}") for each in range(300)))
        await rotate(service, log)
        token = mint_token(logs=[log.id], roles=["monitor"], now=service.clock.now())
        await service.store_token(log, token.record, "test")
        if frozen:
            await freeze(service, log, None, "test")
            await service.revoke_token(log, token.record.id, "test")
    return made.instance


async def _require_same(instance: Instance, note: str) -> None:
    async with Service.of(instance) as service:
        log = await service.log("main")
        assert log is not None
        assert log.note(log.released) == note
        found = await followed(service, log)
        assert len(found.keys) == 2
        assert found.freeze is not None
        with pytest.raises(FrozenError):
            await append(service, log, draft(log, "late"))


async def _note(instance: Instance) -> str:
    async with Service.of(instance) as service:
        log = await service.log("main")
        assert log is not None
        return log.note(log.released)


async def test_a_log_moves_with_its_keys_and_its_end(tmp_path: Path) -> None:
    instance = await _changed(tmp_path / "old")
    note = await _note(instance)
    assert len(signers(note)) == 2
    await export(instance, tmp_path / "export")
    await move(opened(instance, tmp_path / "export"), tmp_path / "new")
    moved = load_instance(tmp_path / "new" / "data", None)
    await _require_same(moved, note)
    assert check(moved) == []
    keys = Keyring(moved.keys).load("main")
    assert keys.same_as(Keyring(instance.keys).load("main"))


async def test_an_export_is_not_imported_without_the_keys_that_are_to_sign(
    tmp_path: Path,
) -> None:
    instance = await _changed(tmp_path / "old")
    await export(instance, tmp_path / "export")
    newest, second = signers(await _note(instance))
    for lost in (f"signing-{newest}.key", f"signing-{second}.key"):
        keys = tmp_path / lost / "main"
        shutil.copytree(instance.keys / "main", keys)
        (keys / lost).unlink()
        opened_export = open_export(tmp_path / "export", read_keys(keys))
        with pytest.raises(ConfigurationError, match=f"the keys lack {lost}"):
            await move(opened_export, tmp_path / f"new-{lost}")
        assert not (tmp_path / f"new-{lost}" / "data").exists()


@pytest.mark.parametrize(
    "engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))]
)
async def test_a_backup_keeps_retired_keys_retired(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = None
    if engine == "postgres":
        url = request.getfixturevalue("postgres_url")
    instance = await _changed(tmp_path, url)
    assert await asyncio.to_thread(check, instance) == []
    note = await _note(instance)
    made = await back_up(
        instance, tmp_path / "to", with_keys=True, on_progress=lambda *_: None
    )
    first = id_of(made.logs[0].log_key)
    assert f"keys/main/last-{first}.checkpoint" in made.files
    assert "keys/main/signing.key" not in made.files
    if engine == "postgres":
        return
    place = Place(tmp_path / "restored", instance.guard)
    await restore(tmp_path / "to", place, lambda *_: None)
    await _require_same(load_instance(place.folder, None), note)


async def test_fsck_says_which_key_is_missing_and_what_stands_wrong(
    tmp_path: Path,
) -> None:
    instance = await _changed(tmp_path)
    assert check(instance) == []
    copied = copy_of(instance, tmp_path / "copy")
    record_instance(copied)
    with unprotected(copied.database) as database:
        rows = list(
            database.execute("SELECT idx FROM keys WHERE id = ?", (announcement_id(1),))
        )
        [(index,)] = rows
        database.execute("UPDATE keys SET idx = 3 WHERE id = ?", (announcement_id(1),))
    found = check(copied)
    assert _names(found) == {("keys", "idx"), ("keys", "id")}
    with unprotected(copied.database) as database:
        database.execute("DELETE FROM keys WHERE id = ?", (announcement_id(1),))
    assert "has no row" in check(copied)[0].what
    with unprotected(copied.database) as database:
        database.execute(
            "INSERT INTO keys (log, id, idx) VALUES (1, ?, ?)",
            (announcement_id(1), index),
        )
    assert check(copied) == []
    newest = signers(await _note(instance))[0]
    (instance.keys / "main" / f"signing-{newest}.key").rename(tmp_path / "elsewhere")
    [finding] = check(instance)
    assert (finding.table, finding.column) == ("keyring", f"signing-{newest}.key")


def _names(found: Sequence[Finding]) -> set[tuple[str, str | None]]:
    return {(each.table, each.column) for each in found}


async def test_an_altered_announcement_halts_the_log(tmp_path: Path) -> None:
    instance = await _changed(tmp_path, frozen=False)
    with unprotected(instance.database) as database:
        database.execute("UPDATE keys SET idx = 3 WHERE id = ?", (announcement_id(0),))
    with pytest.raises(ConfigurationError, match="no announcement of this log"):
        await _note(instance)


async def test_an_ml_dsa_key_signs_beside_the_others(tmp_path: Path) -> None:
    instance = await _changed(tmp_path / "old", frozen=False)
    async with running(instance) as (service, log):
        before = log.note(log.released)
        key = log.signer.files.add_mldsa(log.origin)
        assert log.signer.files.add_mldsa(log.origin).encode() == key.encode()
        log.signer.look()
        note = log.note(log.released)
        # Hedged: the bytes differ each time, so what was made is kept.
        assert log.note(log.released) == note
        lines = [*signers(before), key.verifier().key_id.hex()]
        assert signers(note) == lines
        opened_note = open_note(note.encode(), [key.verifier()])
        assert [each.timestamp for each in opened_note.signatures] == [0]
        trust = Trust((key.verifier(),), log.origin)
        assert verify_checkpoint(note.encode(), trust).checkpoint.size == (
            log.released.size
        )
        await append(service, log, draft(log, "further"))
        assert signers(log.note(log.released)) == lines
        assert (await followed(service, log)).keys
    assert _mode(instance.keys / "main" / "mldsa.key") == 0o600
    await export(instance, tmp_path / "export")
    await move(opened(instance, tmp_path / "export"), tmp_path / "new")
    moved = load_instance(tmp_path / "new" / "data", None)
    assert signers(await _note(moved)) == lines


async def test_what_stands_behind_the_end_of_a_log_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await _changed(tmp_path / "old")
    async with running(instance) as (service, log):
        monkeypatch.setattr(log, "announced", _forgetful(log))
        monkeypatch.setattr(batch, "announcement_id", lambda _: bytes(32))
        await append(service, log, draft(log, "behind"))
    monkeypatch.undo()
    assert any("after the end of the log" in each.what for each in check(instance))


def _forgetful(log: Log) -> Announced:
    known = log.announced
    return replace(known, entries=known.entries[:-1])


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_keys_are_shown_with_their_entries(tmp_path: Path) -> None:
    instance = await _changed(tmp_path)
    async with running(instance) as (_, log):
        states = [each.state for each in known_keys(log)]
        assert states == [KeyState.DESTROYED, KeyState.REPLACED, KeyState.SIGNING]
        assert [each.index for each in known_keys(log)] == [0, 6, 307]
        note = parse_note_unverified(log.note(log.released).encode())
        assert note.signatures[0].key_id.hex() == id_of(log.announced.newest)
        assert json.loads(json.dumps(known_keys(log)[0].json()))["state"] == "destroyed"
