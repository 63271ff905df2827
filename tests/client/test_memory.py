"""What is remembered: across programs, whole or not at all, and for one's own eyes."""

import json
import stat
import threading
from pathlib import Path

import pytest

from provlog.client import AsyncClient, FileMemory, UsageError, VolatileMemory
from provlog.client.memory import Evidence
from provlog.merkle.errors import InconsistencyError, PolicyError
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.trust import Trust
from support.lying_log import LyingLog, Served, event


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.rglob(pattern))


async def test_a_fork_is_remembered_by_the_next_program(
    tmp_path: Path, log: LyingLog, served: Served
) -> None:
    fork = log.fork()
    async with AsyncClient(served.url, log.trust, memory=FileMemory(tmp_path)) as first:
        await first.submit(event(id="a"))
    fork.append(event(id="b"))
    served.switch(fork)
    async with AsyncClient(served.url, log.trust, memory=FileMemory(tmp_path)) as next_:
        with pytest.raises(InconsistencyError) as caught:
            await next_.submit(event(id="c"))
    (path,) = files(tmp_path, "*.inconsistency.json")
    assert str(path) in "".join(caught.value.__notes__)
    evidence = json.loads(path.read_bytes())
    assert evidence["older"].encode() == caught.value.older
    assert evidence["newer"].encode() == caught.value.newer
    assert "bob@example.com" not in path.read_text()


async def test_the_newest_checkpoint_is_kept_byte_for_byte(
    tmp_path: Path, log: LyingLog, served: Served
) -> None:
    async with AsyncClient(served.url, log.trust, memory=FileMemory(tmp_path)) as one:
        for place in range(5):
            await one.submit(event(id=f"e{place}"))
    (path,) = files(tmp_path, "*.checkpoint")
    assert path.read_bytes() == log.note()
    for each in files(tmp_path, "*"):
        if each.is_file():
            assert stat.S_IMODE(each.stat().st_mode) == 0o600


async def test_a_stale_head_does_not_replace_what_is_kept(
    tmp_path: Path, log: LyingLog, served: Served
) -> None:
    for place in range(5):
        log.append(event(id=f"e{place}"))
    async with AsyncClient(served.url, log.trust, memory=FileMemory(tmp_path)) as one:
        await one.checkpoint()
    log.served_size = 2
    async with AsyncClient(served.url, log.trust, memory=FileMemory(tmp_path)) as two:
        assert (await two.checkpoint()).checkpoint.size == 2
    (path,) = files(tmp_path, "*.checkpoint")
    assert path.read_bytes() == log.note(6)


async def test_two_programs_at_a_time_keep_the_newest(
    tmp_path: Path, log: LyingLog, served: Served
) -> None:
    memory = FileMemory(tmp_path)
    slow = AsyncClient(served.url, log.trust, memory=memory)
    quick = AsyncClient(served.url, log.trust, memory=memory)
    await slow.checkpoint()
    log.append(event(id="a"))
    await slow.checkpoint()
    log.append(event(id="b"))
    await quick.checkpoint()
    await quick.close()
    await slow.close()
    assert memory.load(log.origin, log.vkey) == log.note()


async def test_two_programs_that_were_shown_different_logs_find_out(
    tmp_path: Path, log: LyingLog, served: Served
) -> None:
    memory = FileMemory(tmp_path)
    fork = log.fork()
    one = AsyncClient(served.url, log.trust, memory=memory)
    await one.checkpoint()
    log.append(event(id="a"))
    await one.checkpoint()
    fork.append(event(id="b"))
    # Written by a program that was shown the fork while this one was running.
    assert memory.replace(log.origin, log.vkey, log.note(1), fork.note())
    with pytest.raises(InconsistencyError):
        await one.close()


async def test_a_damaged_memory_is_found_out_before_anything_is_sent(
    tmp_path: Path, log: LyingLog, served: Served
) -> None:
    memory = FileMemory(tmp_path)
    memory.replace(log.origin, log.vkey, None, b"damaged")
    async with AsyncClient(served.url, log.trust, memory=memory) as client:
        with pytest.raises(UsageError, match="damaged"):
            await client.submit(event())
    assert log.requests == []


async def test_a_memory_that_cannot_be_written_is_found_out_before_anything_is_sent(
    tmp_path: Path, log: LyingLog, served: Served
) -> None:
    (tmp_path / "file").write_text("")
    memory = FileMemory(tmp_path / "file")
    async with AsyncClient(served.url, log.trust, memory=memory) as client:
        with pytest.raises(UsageError, match="file"):
            await client.submit(event())
    assert log.requests == []


async def test_a_stricter_policy_does_not_forget(
    tmp_path: Path, log: LyingLog, served: Served
) -> None:
    memory = FileMemory(tmp_path)
    async with AsyncClient(served.url, log.trust, memory=memory) as client:
        await client.checkpoint()
    fork = LyingLog()
    fork.leaves[0] = b'{"v":2}'
    served.switch(fork)
    trust = Trust.from_policy(f"log {log.vkey}\nquorum none\n")
    async with AsyncClient(served.url, trust, memory=memory) as client:
        with pytest.raises(InconsistencyError):
            await client.checkpoint()


async def test_a_memory_from_before_a_quorum_is_not_damaged(
    tmp_path: Path, log: LyingLog, served: Served
) -> None:
    memory = FileMemory(tmp_path)
    async with AsyncClient(served.url, log.trust, memory=memory) as client:
        await client.checkpoint()
    public = SigningKey.from_seed("witness", bytes(32)).verifier().public_key
    witness = VerifierKey("witness", KeyType.COSIGNATURE_ED25519, public).vkey()
    policy = f"log {log.vkey}\nwitness w {witness}\nquorum w\n"
    trust = Trust.from_policy(policy)
    async with AsyncClient(served.url, trust, memory=memory) as client:
        with pytest.raises(PolicyError):
            await client.checkpoint()
        with pytest.raises(PolicyError):
            await client.submit(event())
    assert log.requests[-1].query["wait"] == "witnessed"


def test_logs_and_keys_are_kept_apart(tmp_path: Path) -> None:
    for memory in (FileMemory(tmp_path), VolatileMemory()):
        assert memory.load("a/b", "k") is None
        assert memory.replace("a/b", "k", None, b"1")
        assert memory.replace("a-b", "k", None, b"2")
        assert memory.replace("a/b", "l", None, b"3")
        assert memory.load("a/b", "k") == b"1"
        assert not memory.replace("a/b", "k", None, b"4")
        assert not memory.replace("a/b", "k", b"2", b"4")
        assert memory.load("a/b", "k") == b"1"


def test_an_origin_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    memory = FileMemory(tmp_path / "state")
    memory.replace("../../etc/passwd", "k", None, b"1")
    memory.convict(Evidence("../../x", b"a", b"b", None))
    assert {each.name for each in tmp_path.iterdir()} == {"state"}


def test_of_many_writers_one_wins_at_a_time(tmp_path: Path) -> None:
    memory = FileMemory(tmp_path)
    wins: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda n=n: wins.append(memory.replace("o", "k", None, b"%d" % n))
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(wins) == 1
    assert len(files(tmp_path, "*")) == 3
