"""The witness's own keys: made once, alone in their files, rotated, retired."""

import errno
import os
import stat
from pathlib import Path

import pytest

from provlog.merkle.keys import KeyType
from provlog.merkle.notes import parse_signatures_unverified
from provlog.merkle.policy import parse_policy
from provlog.server.errors import ConfigurationError
from provlog.server.witness.keys import FOLDER, KeyFolder, policy_lines
from support.asked_witnesses import asked_witness
from support.witnessed_logs import MemoryLog
from support.witnesses import NAME, note_keys

LOG = MemoryLog()


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path)
    folder.create(NAME, ed25519_only=False)
    note_keys(tmp_path)
    return folder


def test_secrets_are_the_owner_s_alone(keys: KeyFolder, tmp_path: Path) -> None:
    paths = [*(tmp_path / FOLDER).iterdir()]
    assert {each.name for each in paths} == {"1-ed25519.key", "1-mldsa44.key"}
    for path in (*paths, tmp_path / FOLDER):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077
    paths[0].chmod(0o644)
    with pytest.raises(ConfigurationError, match="open to others"):
        keys.load()


def test_keys_are_not_made_twice(keys: KeyFolder) -> None:
    with pytest.raises(ConfigurationError, match="already"):
        keys.create(NAME, ed25519_only=False)


@pytest.mark.parametrize("name", ["", "two words", "a+b", "x" * 256])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        KeyFolder(tmp_path).create(name, ed25519_only=False)
    assert not [*(tmp_path / FOLDER).iterdir()]


def test_a_disk_that_is_full_leaves_the_keys_that_there_are(
    keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [each.vkeys() for each in keys.load()]

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            keys.rotate()
    assert [each.vkeys() for each in keys.load()] == before
    made = keys.rotate()
    assert [each.vkeys() for each in keys.load()] == [made.vkeys(), *before]


def test_a_new_generation_signs_beside_the_old_one(keys: KeyFolder) -> None:
    [old] = keys.load()
    new = keys.rotate()
    assert [each.vkeys() for each in keys.load()] == [new.vkeys(), old.vkeys()]
    assert {each.name for each in keys.load()} == {NAME}
    assert not set(new.vkeys()) & set(old.vkeys())


def test_one_kind_stays_one_kind(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.create(NAME, ed25519_only=True)
    [cosigner] = folder.rotate().cosigners
    assert cosigner.verifier().key_type is KeyType.COSIGNATURE_ED25519


def test_a_retired_generation_signs_nothing(keys: KeyFolder, tmp_path: Path) -> None:
    new = keys.rotate()
    keys.retire(1)
    assert [each.vkeys() for each in keys.load()] == [new.vkeys()]
    assert (tmp_path / FOLDER / "1-ed25519.retired").exists()
    assert keys.rotate().number == 3


def test_the_last_generation_cannot_be_retired(keys: KeyFolder) -> None:
    with pytest.raises(ConfigurationError, match="rotate first"):
        keys.retire(1)
    with pytest.raises(ConfigurationError, match="no generation 7"):
        keys.retire(7)


def test_the_number_of_a_retired_generation_is_not_used_again(keys: KeyFolder) -> None:
    keys.rotate()
    keys.rotate()
    keys.retire(3)
    assert keys.rotate().number == 4


def test_a_damaged_key_is_refused_without_showing_it(
    keys: KeyFolder, tmp_path: Path
) -> None:
    path = tmp_path / FOLDER / "1-ed25519.key"
    secret = path.read_text()
    path.write_text(secret[:-6])
    with pytest.raises(ConfigurationError, match="damaged") as refused:
        keys.load()
    assert secret[-20:-6] not in str(refused.value)
    path.write_text((tmp_path / FOLDER / "1-mldsa44.key").read_text())
    with pytest.raises(ConfigurationError, match="another kind"):
        keys.load()


def test_all_keys_of_a_witness_count_once_in_a_policy(keys: KeyFolder) -> None:
    keys.rotate()
    lines = policy_lines(keys.load(), "https://witness.example.com")
    policy = parse_policy("\n".join([*lines, f"quorum {NAME}", ""]))
    assert len(policy.witnesses) == 4
    assert {each.url for each in policy.witnesses} == {"https://witness.example.com"}
    for witness in policy.witnesses:
        assert policy.satisfied_by([witness.name])
    assert not policy.satisfied_by([])


async def test_a_running_witness_takes_up_new_keys_and_drops_retired_ones(
    tmp_path: Path,
) -> None:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:

        async def signers(old: int, size: int) -> set[bytes]:
            status, _, lines = await asking.post(LOG.request(old, size))
            assert status == 200
            return {line.key_id for line in parse_signatures_unverified(lines)}

        first = await signers(0, 5)
        keys = KeyFolder(tmp_path / "witness")
        keys.rotate()
        note_keys(tmp_path / "witness")
        await asking.served.witness.refresh()
        both = await signers(5, 5)  # though the first signed it in this very second
        assert first < both
        assert len(both) == 4
        keys.retire(1)
        await asking.served.witness.refresh()
        assert await signers(5, 5) == both - first
