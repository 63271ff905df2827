"""The guard's file, bearer tokens, and rates."""

import errno
import fcntl
from dataclasses import replace
from pathlib import Path

import pytest

from provlog.server.errors import (
    ConfigurationError,
    GuardBusyError,
    UnavailableError,
)
from provlog.server.guard import FileGuard, ReleasedHead
from provlog.server.guard.record import SLOT
from provlog.server.rates import Bucket, LogRates, RateLimiter
from provlog.server.registry import store_tokens
from provlog.server.storage.sqlite import SqliteStorage
from provlog.server.tokens import authenticate, may_write, mint_token, reaches
from support.services import make_instance

ORIGIN = "log.example.com/main"
ROOT = bytes(range(32))


async def advance(guard: FileGuard, size: int, root: bytes = ROOT) -> bool:
    """Record a head after whatever is recorded."""
    known = await guard.read(ORIGIN)
    return await guard.replace(ORIGIN, known, ReleasedHead(size, root))


def open_files() -> int:
    return len([*Path("/dev/fd").iterdir()])


async def test_the_guard_only_advances(tmp_path: Path) -> None:
    guard = FileGuard(tmp_path / "guard")
    assert await guard.read(ORIGIN) is None
    assert await advance(guard, 5)
    for size in (3, 5):
        with pytest.raises(ValueError, match="advances"):
            await advance(guard, size)
    assert await guard.read(ORIGIN) == ReleasedHead(5, ROOT)
    assert await guard.read("another") is None
    await guard.flush()


async def test_a_head_is_recorded_after_the_one_that_was_looked_at_alone(
    tmp_path: Path,
) -> None:
    guard = FileGuard(tmp_path / "guard")
    seen = ReleasedHead(4, ROOT)
    assert not await guard.replace(ORIGIN, seen, ReleasedHead(5, ROOT))
    assert await guard.read(ORIGIN) is None
    assert await guard.replace(ORIGIN, None, ReleasedHead(3, ROOT))
    for known in (None, seen, ReleasedHead(3, bytes(32))):
        assert not await guard.replace(ORIGIN, known, ReleasedHead(5, ROOT))
    assert await guard.read(ORIGIN) == ReleasedHead(3, ROOT)


async def test_a_lock_that_is_held_does_not_hold_up_the_process(tmp_path: Path) -> None:
    guard = FileGuard(tmp_path / "guard")
    assert await advance(guard, 1)
    with open(f"{guard.path(ORIGIN)}.lock") as lock:  # noqa: ASYNC230, PTH123  for flock
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(GuardBusyError):
            await advance(guard, 2)
    assert await advance(guard, 2)


async def test_however_many_logs_are_released_no_file_stays_open(
    tmp_path: Path,
) -> None:
    guard = FileGuard(tmp_path / "guard")
    before = open_files()
    for number in range(20):
        for size in (1, 2):
            origin = f"log.example.com/{number}"
            known = await guard.read(origin)
            assert await guard.replace(origin, known, ReleasedHead(size, ROOT))
    await guard.flush()
    # Fewer, where something of another test was cleared away meanwhile.
    assert open_files() <= before


@pytest.mark.parametrize("data", [b"", b"{}", bytes(2 * SLOT), b" " * 2 * SLOT])
async def test_a_guard_that_cannot_be_read_is_no_missing_guard(
    tmp_path: Path, data: bytes
) -> None:
    guard = FileGuard(tmp_path / "guard")
    guard.path(ORIGIN).write_bytes(data)
    with pytest.raises(ConfigurationError):
        await guard.read(ORIGIN)
    with pytest.raises(ConfigurationError):
        await guard.replace(ORIGIN, ReleasedHead(1, ROOT), ReleasedHead(2, ROOT))


async def test_a_guard_of_another_log_is_refused(tmp_path: Path) -> None:
    guard = FileGuard(tmp_path / "guard")
    await guard.replace("another", None, ReleasedHead(5, ROOT))
    guard.path("another").rename(guard.path(ORIGIN))
    with pytest.raises(ConfigurationError):
        await guard.read(ORIGIN)


@pytest.mark.parametrize("place", [0, 100, SLOT - 1])
async def test_a_record_that_was_written_in_part_leaves_the_one_before(
    tmp_path: Path, place: int
) -> None:
    guard = FileGuard(tmp_path / "guard")
    for size in (5, 6, 7):
        assert await advance(guard, size)
    path = guard.path(ORIGIN)
    data = bytearray(path.read_bytes())
    newest = data.index(b'"size": 7') // SLOT * SLOT
    data[newest : newest + place + 1] = b"x" * (place + 1)
    path.write_bytes(data)
    again = FileGuard(tmp_path / "guard")
    assert await again.read(ORIGIN) == ReleasedHead(6, ROOT)
    assert await advance(guard, 8)
    assert await guard.read(ORIGIN) == ReleasedHead(8, ROOT)


async def test_a_flush_that_fails_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = FileGuard(tmp_path / "guard")
    await advance(guard, 1)
    flushed: list[Path] = []

    def fail(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("provlog.server.guard.file.flush_path", fail)
    with pytest.raises(OSError, match="Input"):
        await guard.flush()
    monkeypatch.setattr("provlog.server.guard.file.flush_path", flushed.append)
    await guard.flush()
    await guard.flush()
    assert flushed == [guard.path(ORIGIN), tmp_path / "guard"]


async def test_a_guard_that_cannot_be_read_now_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = FileGuard(tmp_path / "guard")
    await advance(guard, 1)

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.pread", fail)
    with pytest.raises(UnavailableError, match="Input/output error"):
        await guard.read(ORIGIN)
    with pytest.raises(UnavailableError, match="Input/output error"):
        await guard.replace(ORIGIN, ReleasedHead(1, ROOT), ReleasedHead(2, ROOT))


async def test_two_processes_advance_one_guard(tmp_path: Path) -> None:
    one, two = FileGuard(tmp_path / "guard"), FileGuard(tmp_path / "guard")
    for size in range(1, 40):
        assert await advance(one if size % 3 else two, size)
        head = ReleasedHead(size, ROOT)
        assert await one.read(ORIGIN) == await two.read(ORIGIN) == head


async def test_a_token_is_known_by_its_whole_text_alone(tmp_path: Path) -> None:
    instance = await make_instance(tmp_path)
    storage = SqliteStorage(instance.database)
    minted = mint_token(logs=[1], roles=["monitor"], now=1000, expires=2000)
    await store_tokens(storage, 1, (minted.record,))
    assert await authenticate(storage, minted.text, 1999) == minted.record
    prefix, secret = minted.text[:17], minted.text[17:]
    for text in (
        "",
        minted.text[:-1],
        minted.text + "A",
        prefix + secret[::-1],
        minted.text.replace("plt_", "plt-"),
        f"plt_{'0' * 12}_{secret}",
        "plt_ü",
    ):
        assert await authenticate(storage, text, 1500) is None
    assert await authenticate(storage, minted.text, 2000) is None
    stored = b"".join(path.read_bytes() for path in instance.folder.glob("provlog.db*"))
    assert secret.encode() not in stored
    assert secret not in repr(minted)
    await storage.close()


def test_roles_and_sources_belong_together() -> None:
    for roles, sources in (
        ([], []),
        (["root"], []),
        (["submitter"], []),
        (["monitor"], ["urn:x"]),
        (["hook"], []),
        (["hook"], ["*"]),
        (["hook"], ["urn:x", "urn:y"]),
        (["hook", "submitter"], ["urn:x"]),
        (["hook"], ["urn:x"]),
    ):
        with pytest.raises(ValueError, match=r"role|sources"):
            mint_token(logs=None, roles=roles, sources=sources, now=0)
    with pytest.raises(ValueError, match="rate"):
        mint_token(logs=None, roles=["monitor"], now=0, rate=0)


def test_a_submitter_writes_its_sources_and_a_star_any() -> None:
    named = mint_token(logs=[1], roles=["submitter"], sources=["urn:a"], now=0).record
    assert may_write(named, "urn:a")
    assert not may_write(named, "urn:b")
    assert not may_write(replace(named, roles=frozenset({"monitor"})), "urn:a")
    assert may_write(replace(named, sources=("*",)), "urn:b")
    assert reaches(named, 1)
    assert not reaches(named, 2)
    assert reaches(replace(named, logs=None), 2)


T = Bucket("t", 10)


def test_a_bucket_fills_at_its_rate() -> None:
    now = [0.0]
    limiter = RateLimiter(lambda: now[0])
    assert limiter.take([T], 10) == 0
    assert limiter.take([T], 5) == pytest.approx(0.5)
    assert limiter.take([Bucket("other", 10)], 5) == 0
    now[0] = 0.5
    assert limiter.take([T], 5) == 0
    now[0] = 100.0
    assert limiter.take([T], 10) == 0
    assert limiter.take([T], 1) > 0


def test_a_bucket_can_be_asked_and_can_be_charged_in_any_case() -> None:
    limiter = RateLimiter(lambda: 0.0)
    assert [limiter.wait([T], 10) for _ in range(3)] == [0, 0, 0]
    limiter.charge([T], 10)
    assert limiter.wait([T], 1) == pytest.approx(0.1)
    limiter.charge([T], 10)
    assert limiter.take([T], 1) == pytest.approx(1.1)


def test_a_request_larger_than_the_bucket_goes_through_and_is_paid_for() -> None:
    now = [0.0]
    limiter = RateLimiter(lambda: now[0])
    assert limiter.take([T], 100) == 0
    assert limiter.take([T], 1) == pytest.approx(9.1)
    now[0] = 9.2
    assert limiter.take([T], 1) == 0


def test_an_event_comes_out_of_every_bucket_or_out_of_none() -> None:
    limiter = RateLimiter(lambda: 0.0)
    narrow = Bucket("narrow", 2)
    assert limiter.take([T, narrow], 2) == 0
    assert limiter.take([T, narrow], 1) == pytest.approx(0.5)
    assert limiter.take([T], 8) == 0
    assert limiter.take([], 10**6) == 0


def test_a_log_has_the_rate_of_its_name_or_of_all_others() -> None:
    rates = LogRates(100, {"main": 5})
    assert rates.bucket("main") == Bucket("log main", 5)
    assert rates.bucket("else") == Bucket("log else", 100)
    assert LogRates().bucket("main") is None
