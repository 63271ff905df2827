"""A log's keys are changed while several processes serve it, on every engine."""

import asyncio
from pathlib import Path
from shutil import copy

import pytest

from provlog.merkle.announcements import follow
from provlog.merkle.errors import MerkleError
from provlog.merkle.keys import SigningKey
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server.announcements import announcements
from provlog.server.errors import (
    ConfigurationError,
    MissingKeyError,
    UnavailableError,
)
from provlog.server.key_changes import (
    KeyState,
    announce_key,
    known_keys,
    prepare_key,
    prepared_keys,
    retire_keys,
)
from support.homes import Home
from support.rotations import followed, id_of, keyring_copy, rotate, signers
from support.services import append, draft, fill


async def test_both_keys_sign_from_the_tree_that_holds_the_announcement(
    home: Home,
) -> None:
    async with home.running() as (service, log):
        await fill(service, log, 3)
        first = id_of(log.record.log_key)
        before = log.note(log.released)
        assert signers(before) == [first]
        made, _ = await prepare_key(log)
        await fill(service, log, 1, "prepared")
        assert signers(log.note(log.released)) == [first]
        key, entry = await announce_key(service, log, None, "test")
        assert key == made.verifier()
        assert log.released.size == entry.index + 1
        assert signers(log.note(log.released)) == [key.key_id.hex(), first]
        await fill(service, log, 1, "announced")
        assert signers(log.note(log.released)) == [key.key_id.hex(), first]
        found = await followed(service, log)
        assert found.trust.log_keys[-1] == key
    async with home.running() as (service, log):
        assert signers(log.note(log.released)) == [key.key_id.hex(), first]
        assert [each.state for each in known_keys(log)] == [
            KeyState.REPLACED,
            KeyState.SIGNING,
        ]


async def test_each_step_done_again_changes_nothing(home: Home) -> None:
    async with home.running() as (service, log):
        with pytest.raises(ConfigurationError, match="key prepare first"):
            await announce_key(service, log, None, "test")
        with pytest.raises(ConfigurationError, match="no key of the log was replaced"):
            await retire_keys(log, destroy=False)
        made, is_new = await prepare_key(log)
        assert is_new
        assert await prepare_key(log) == (prepared_keys(log)[0], False)
        assert prepared_keys(log)[0].verifier() == made.verifier()
        key, entry = await announce_key(service, log, None, "test")
        size = log.released.size
        for key_id in (None, key.key_id.hex()):
            again = await announce_key(service, log, key_id, "test")
            assert again[0] == key
            assert (again[1].index, again[1].is_new) == (entry.index, False)
        assert log.released.size == size
        await retire_keys(log, destroy=False)
        last = dict(log.signer.keys.last)
        await fill(service, log, 2)
        await retire_keys(log, destroy=False)
        assert log.signer.keys.last == last


async def test_a_retired_key_signs_nothing_and_proves_its_announcement_for_ever(
    home: Home,
) -> None:
    async with home.running() as (service, log):
        first = Trust.from_log_key(log.record.log_key)
        second = await rotate(service, log)
        await fill(service, log, 3)
        [retired] = await retire_keys(log, destroy=False)
        assert retired.state is KeyState.RETIRED
        assert signers(log.note(log.released)) == [second.key_id.hex()]
        third = await rotate(service, log)
        await fill(service, log, 300)
        for state in (KeyState.RETIRED, KeyState.DESTROYED):
            destroy = state is KeyState.DESTROYED
            changed = await retire_keys(log, destroy=destroy)
            assert [each.state for each in changed] == [state, state]
            note = log.note(log.released).encode()
            assert signers(note) == [third.key_id.hex()]
            with pytest.raises(MerkleError):
                verify_checkpoint(note, first)
            assert [each.log_key for each in (await followed(service, log)).keys] == [
                second,
                third,
            ]
    names = {path.name for path in home.keys.files("main").folder.glob("signing*")}
    assert names == {f"signing-{third.key_id.hex()}.key"}
    async with home.running() as (service, log):
        await append(service, log, draft(log, "after"))
        assert (await followed(service, log)).trust.log_keys[-1] == third


async def test_another_process_signs_with_the_new_key_and_stops_with_the_old_one(
    home: Home,
) -> None:
    async with home.running() as (one, log), home.running() as (other, its_log):
        await fill(one, log, 2)
        key = await rotate(one, log)
        head = await its_log.refresh()
        expected = [key.key_id.hex(), id_of(log.record.log_key)]
        assert signers(its_log.note(head)) == expected
        await append(other, its_log, draft(its_log, "other"))
        assert signers(its_log.note(its_log.released)) == expected
        await retire_keys(log, destroy=True)
        its_log.signer.look()
        assert signers(its_log.note(its_log.released)) == expected[:1]


async def test_a_process_without_the_key_neither_writes_nor_signs_until_it_is_there(
    home: Home, tmp_path: Path
) -> None:
    without = keyring_copy(home, tmp_path / "copy")
    async with home.running() as (one, log), without.running() as (other, its_log):
        key = await rotate(one, log)
        size = log.released.size
        with pytest.raises(
            MissingKeyError, match=f"put signing-{key.key_id.hex()}.key"
        ):
            await append(other, its_log, draft(its_log, "refused"))
        assert (await log.refresh()).size == size
        with pytest.raises(MissingKeyError, match="is not here"):
            its_log.note(await its_log.refresh())
        path = home.keys.files("main").key_path(key)
        copy(path, without.keys.files("main").folder)
        await append(other, its_log, draft(its_log, "taken"))
        assert its_log.released.size == size + 1
        assert key.key_id.hex() in signers(its_log.note(its_log.released))
    path.unlink()
    with pytest.raises(ConfigurationError, match=f"put signing-{key.key_id.hex()}"):
        async with home.running():
            pass


async def test_without_the_old_key_or_its_last_checkpoint_nothing_is_signed(
    home: Home, tmp_path: Path
) -> None:
    without = keyring_copy(home, tmp_path / "copy")
    async with home.running() as (service, log):
        second = await rotate(service, log)
        third = await rotate(service, log)
        files = home.keys.files("main")
        for key in (second, third):
            copy(files.key_path(key), without.keys.files("main").folder)
        await retire_keys(log, destroy=False)
    their = without.keys.files("main")
    their.key_path(second).unlink()
    with pytest.raises(ConfigurationError, match=f"last-{second.key_id.hex()}"):
        async with without.running():
            pass
    copy(files.last_path(second), their.folder)
    async with without.running() as (service, log):
        assert second.key_id.hex() not in signers(log.note(log.released))
        assert len((await followed(service, log)).keys) == 2


async def test_of_two_processes_that_announce_different_keys_one_is_refused(
    home: Home, tmp_path: Path
) -> None:
    elsewhere = keyring_copy(home, tmp_path / "copy")
    async with home.running() as (one, log), elsewhere.running() as (other, its_log):
        await prepare_key(log)
        await prepare_key(its_log)
        done = await asyncio.gather(
            announce_key(one, log, None, "test"),
            announce_key(other, its_log, None, "test"),
            return_exceptions=True,
        )
        failed = [each for each in done if isinstance(each, Exception)]
        assert len(failed) == 1
        # Refused, or stopped by an announcement whose key it does not have.
        assert isinstance(failed[0], (ConfigurationError, MissingKeyError))
        await asyncio.gather(log.refresh(), its_log.refresh())
        assert len(log.announced.entries) == len(its_log.announced.entries) == 1


async def test_which_of_several_prepared_keys_is_meant_has_to_be_said(
    home: Home,
) -> None:
    async with home.running() as (service, log):
        made, _ = await prepare_key(log)
        log.signer.files.prepare(log.origin)
        with pytest.raises(ConfigurationError, match="say which"):
            await announce_key(service, log, None, "test")
        with pytest.raises(ConfigurationError, match="no such key"):
            await announce_key(service, log, "00000000", "test")
        key_id = made.verifier().key_id.hex()
        key, _ = await announce_key(service, log, key_id, "test")
        assert key == made.verifier()


async def test_a_damaged_last_checkpoint_is_not_handed_out(home: Home) -> None:
    async with home.running() as (service, log):
        await rotate(service, log)
        await retire_keys(log, destroy=False)
        [last] = log.signer.keys.last
        other = SigningKey.from_seed(log.origin, bytes(32))
        note = log.signer.keys.last[last]
        assert other.key_id not in note
        path = home.keys.files("main").folder / f"last-{last.hex()}.checkpoint"
        path.write_bytes(log.note(log.released).encode())
        log.signer.reload()
        with pytest.raises(UnavailableError, match="cannot be proved"):
            await announcements(log, service.storage, log.released)
        path.write_bytes(note)
        log.signer.reload()
        document = await announcements(log, service.storage, log.released)
        assert follow(Trust.from_log_key(log.record.log_key), document).keys
