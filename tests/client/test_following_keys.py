"""A client that knew only the first key follows its log to the last, on every path."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from provlog.client import AsyncClient, FileMemory, Receipt, VolatileMemory, log_keys
from provlog.client.errors import UnavailableError, UsageError
from provlog.client.kept_announcements import is_older
from provlog.merkle.announcements import format_announcements
from provlog.merkle.errors import (
    ContentError,
    FrozenError,
    InconsistencyError,
    MalformedError,
    ReplacedKeyError,
    SignatureError,
)
from provlog.merkle.notes import MAX_SIGNATURES, SignatureLine, add_signatures
from provlog.merkle.trust import Trust, verify_checkpoint
from support.lying_log import Served, event, serving
from support.outboxes import SOURCE, sending, until
from support.rotating_logs import RotatingLog


@pytest.fixture
def log() -> RotatingLog:
    log = RotatingLog()
    for place in range(3):
        log.append(event(id=f"e{place}"))
    return log


@pytest.fixture
def served(log: RotatingLog) -> Iterator[Served]:
    with serving(log) as running:
        yield running


def client_of(served: Served, log: RotatingLog, memory: Any) -> AsyncClient:  # noqa: ANN401
    return AsyncClient(served.url, log.trust, memory=memory, patience=0.0)


@pytest.fixture
async def client(
    served: Served, log: RotatingLog, memory: VolatileMemory
) -> AsyncIterator[AsyncClient]:
    async with client_of(served, log, memory) as running:
        yield running


async def read_checkpoint(client: AsyncClient) -> Any:  # noqa: ANN401
    return await client.checkpoint()


async def read_entry(client: AsyncClient) -> Any:  # noqa: ANN401
    return (await client.entry(2)).checkpoint


async def read_inclusion(client: AsyncClient) -> Any:  # noqa: ANN401
    return (await client.inclusion(2)).checkpoint


async def submit(client: AsyncClient) -> Any:  # noqa: ANN401
    return (await client.submit(event(id="new"))).checkpoint


async def submit_batch(client: AsyncClient) -> Any:  # noqa: ANN401
    results = await client.submit_batch([event(id="new1"), event(id="new2")])
    assert all(isinstance(each, Receipt) for each in results)
    return results[0].checkpoint  # type: ignore[union-attr]


async def submit_records(client: AsyncClient) -> Any:  # noqa: ANN401
    raw = json.dumps({"id": "r1", "time": "2026-11-21T18:53:55Z"}).encode()
    results = await client.submit_records("generic", "urn:x:y", raw)
    return results[0].checkpoint  # type: ignore[union-attr]


PATHS = [read_checkpoint, read_entry, read_inclusion, submit, submit_batch]


@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_signed_by_a_new_key_alone_is_followed_to(
    path: Any,  # noqa: ANN401
    client: AsyncClient,
    log: RotatingLog,
) -> None:
    log.rotate(1, retire=True)
    log.rotate(2, retire=True)
    assert (await path(client)).log_key == log.newest().verifier()
    await path(client) if path is read_checkpoint else None
    assert log.asked == 1


@pytest.mark.parametrize("path", PATHS)
async def test_during_an_overlap_the_new_key_is_learnt(
    path: Any,  # noqa: ANN401
    client: AsyncClient,
    log: RotatingLog,
) -> None:
    new = log.rotate(1)
    assert (await path(client)).log_key == new.verifier()
    # From here on the old one alone is not enough.
    log.note = lambda size=None, keys=(): RotatingLog.note(log, size, [log.key])  # type: ignore[method-assign]
    with pytest.raises(ReplacedKeyError, match="replaced"):
        await client.checkpoint()
    assert log.asked == 1


async def test_a_log_is_asked_once_about_a_key_that_it_does_not_announce(
    client: AsyncClient, log: RotatingLog
) -> None:
    new = log.rotate(1)
    log.document = format_announcements(log.origin, [])
    for _ in range(3):
        assert (await client.checkpoint()).strangers == (new.key_id,)
    assert log.asked == 1


@pytest.mark.parametrize("silent", [True, False])
async def test_an_unknown_key_that_nothing_announces_is_not_believed(
    silent: bool, client: AsyncClient, log: RotatingLog
) -> None:
    log.rotate(1, retire=True)
    log.silent = silent
    log.document = format_announcements(log.origin, [])
    for _ in range(2):
        with pytest.raises(SignatureError, match="no signature by a trusted key"):
            await client.checkpoint()
    assert log.asked == 1


async def test_a_key_that_was_not_announced_when_it_was_asked_about_is_found_later(
    client: AsyncClient, log: RotatingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.rotate(1, retire=True)
    log.document = format_announcements(log.origin, [])
    with pytest.raises(SignatureError):
        await client.checkpoint()
    log.document = None
    monkeypatch.setattr(log_keys, "REST_SECONDS", 0.0)
    assert (await client.checkpoint()).log_key == log.newest().verifier()


async def test_lines_of_keys_that_are_none_do_not_keep_a_true_one_from_being_found(
    client: AsyncClient, log: RotatingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_keys, "REST_SECONDS", 0.0)
    lines = [
        SignatureLine(log.origin, bytes([1, 2, 3, number]), bytes(64))
        for number in range(MAX_SIGNATURES - 1)
    ]
    with monkeypatch.context() as patch:
        flooded = add_signatures(log.note(), lines)
        patch.setattr(log, "note", lambda size=None, keys=(): flooded)
        await client.checkpoint()
    log.rotate(1, retire=True)
    assert (await client.checkpoint()).log_key == log.newest().verifier()


async def test_a_line_of_anothers_name_is_no_reason_to_ask(
    client: AsyncClient, log: RotatingLog
) -> None:
    other = RotatingLog(origin="w.example/x")
    log.note = lambda size=None, keys=(): RotatingLog.note(  # type: ignore[method-assign]
        log, size, [log.key, other.key]
    )
    await client.checkpoint()
    assert log.asked == 0


async def test_announcements_that_cannot_be_had_now_are_waited_for(
    client: AsyncClient, log: RotatingLog
) -> None:
    log.rotate(1, retire=True)
    log.faults.extend([lambda _: None, lambda _: web.Response(status=500)])
    with pytest.raises(UnavailableError):
        await client.checkpoint()
    assert (await client.checkpoint()).log_key == log.newest().verifier()


async def test_an_overlap_goes_on_without_announcements(
    client: AsyncClient, log: RotatingLog
) -> None:
    log.rotate(1)
    log.faults.extend([lambda _: None, lambda _: web.Response(status=500)])
    assert (await client.checkpoint()).log_key == log.key.verifier()


async def test_tasks_that_meet_a_new_key_at_once_ask_once(
    client: AsyncClient, log: RotatingLog
) -> None:
    await client.checkpoint()
    log.rotate(1, retire=True)
    await asyncio.gather(*(client.checkpoint() for _ in range(5)))
    assert log.asked == 1


async def test_what_was_followed_is_remembered(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    log.rotate(1, retire=True)
    async with client_of(served, log, FileMemory(tmp_path)) as client:
        await client.checkpoint()
    async with client_of(served, log, FileMemory(tmp_path)) as client:
        await client.checkpoint()
    assert log.asked == 1
    (kept,) = (tmp_path / "announcements").glob("*.json")
    assert kept.stat().st_mode & 0o777 == 0o600


async def test_remembered_announcements_that_are_damaged_are_told(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    log.rotate(1, retire=True)
    async with client_of(served, log, FileMemory(tmp_path)) as client:
        await client.checkpoint()
    (kept,) = (tmp_path / "announcements").glob("*.json")
    kept.write_bytes(b"{}")
    async with client_of(served, log, FileMemory(tmp_path)) as client:
        with pytest.raises(UsageError, match=r"announcements of .* are damaged"):
            await client.checkpoint()


async def test_a_head_remembered_under_the_old_key_binds_the_new_one(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    async with client_of(served, log, FileMemory(tmp_path)) as client:
        await client.checkpoint()
    fork = RotatingLog()
    for place in range(9):
        fork.append(event(id=f"x{place}"))
    fork.rotate(1, retire=True)
    served.switch(fork)
    async with client_of(served, log, FileMemory(tmp_path)) as client:
        with pytest.raises(InconsistencyError):
            await client.checkpoint()
    assert list((tmp_path / "evidence").iterdir())


async def test_a_head_remembered_under_the_new_key_binds_who_had_not_followed(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    behind = client_of(served, log, FileMemory(tmp_path))
    async with behind:
        await behind.checkpoint()
        log.rotate(1, retire=True)
        twin = log.fork()
        log.append(event(id="after"))
        async with client_of(served, log, FileMemory(tmp_path)) as ahead:
            await ahead.checkpoint()
        # All that the first one saw is in this history; not so what the other saw.
        twin.append(event(id="other"))
        served.switch(twin)
        with pytest.raises(InconsistencyError):
            await behind.checkpoint()


async def test_a_process_that_had_not_followed_takes_what_another_one_did(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    log.rotate(1)
    async with client_of(served, log, FileMemory(tmp_path)) as ahead:
        await ahead.checkpoint()
    # A thief of the old key, who serves no announcements.
    log.silent = True
    log.retired.add(log.newest().key_id)
    async with client_of(served, log, FileMemory(tmp_path)) as client:
        with pytest.raises(ReplacedKeyError):
            await client.checkpoint()


async def test_announcements_are_of_the_history_that_the_head_is_of(
    client: AsyncClient, log: RotatingLog
) -> None:
    other = log.fork()
    log.rotate(1, retire=True)
    log.append(event(id="true"))
    # The same key was announced in a tree that this one does not begin with.
    other.append(event(id="false"))
    other.rotate(1)
    log.document = format_announcements(other.origin, other.announcements())
    with pytest.raises(InconsistencyError):
        await client.checkpoint()


async def test_another_key_in_the_place_of_one_that_was_followed_is_refused(
    client: AsyncClient, log: RotatingLog
) -> None:
    twin = log.fork()
    log.rotate(1, retire=True)
    await client.checkpoint()
    thief = twin.rotate(7)
    log.document = format_announcements(log.origin, twin.announcements())
    log.note = lambda size=None, keys=(): RotatingLog.note(log, size, [thief])  # type: ignore[method-assign]
    with pytest.raises(ContentError, match="missing or another"):
        await client.checkpoint()


async def test_an_older_document_is_stale_and_takes_nothing_back(
    client: AsyncClient, log: RotatingLog
) -> None:
    log.rotate(1, retire=True)
    older = log.announcements_document()
    log.rotate(2, retire=True)
    await client.checkpoint()
    log.document = older
    log.rotate(3, retire=True)
    with pytest.raises(SignatureError):
        await client.checkpoint()


def test_a_document_with_a_gap_is_no_older_one() -> None:
    log = RotatingLog()
    for number in (1, 2, 3):
        log.rotate(number)
    first, second, third = log.announcements()
    kept = format_announcements(log.origin, [first, second, third])
    for places, older in (
        ([], True),
        ([first, second], True),
        ([first, second, third], False),
        ([first, third], False),
        ([second], False),
    ):
        document = format_announcements(log.origin, places)
        assert is_older(document, kept, None) is older
    assert is_older(format_announcements(log.origin, [first]), kept, second.index)
    assert not is_older(format_announcements(log.origin, [first]), kept, third.index)


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b"\xff", b"[" * 10_000])
async def test_what_is_no_document_is_the_logs_fault(
    document: bytes, client: AsyncClient, log: RotatingLog
) -> None:
    log.rotate(1)
    log.document = document
    with pytest.raises(MalformedError):
        await client.checkpoint()


async def test_an_endless_document_is_cut_off(
    client: AsyncClient, log: RotatingLog
) -> None:
    log.rotate(1)
    log.document = b" " * ((16 << 20) + 1)
    with pytest.raises(MalformedError, match="larger than"):
        await client.checkpoint()


async def test_a_policy_that_names_the_first_key_is_followed(
    served: Served, log: RotatingLog, memory: VolatileMemory
) -> None:
    log.rotate(1, retire=True)
    trust = Trust.from_policy(f"log {log.vkey}\nquorum none\n")
    async with AsyncClient(served.url, trust, memory=memory) as client:
        assert (await client.checkpoint()).log_key == log.newest().verifier()


async def test_a_frozen_log_that_goes_on_is_convicted_by_a_client(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    log.rotate(1, retire=True)
    log.freeze()
    async with client_of(served, log, FileMemory(tmp_path)) as client:
        assert (await client.checkpoint()).checkpoint.size == len(log.leaves)
        log.append(event(id="after the end"))
        with pytest.raises(FrozenError) as caught:
            await client.checkpoint()
    assert "What convicts the log is kept" in caught.value.__notes__[0]


def test_an_outbox_that_was_away_during_the_whole_overlap_goes_on(
    served: Served, log: RotatingLog, tmp_path: Path
) -> None:
    with sending(tmp_path / "spool", served, log) as outbox:
        outbox.put({"id": "before", "source": SOURCE, "type": "account.lock"})
        outbox.flush(20)
    log.rotate(1, retire=True)
    log.rotate(2, retire=True)
    with sending(tmp_path / "spool", served, log) as outbox:
        outbox.put({"id": "after", "source": SOURCE, "type": "account.lock"})
        outbox.flush(20)
        until(lambda: outbox.receipts(SOURCE, "after"))
        [receipt] = outbox.receipts(SOURCE, "after")
    note = json.loads(receipt.data)["proof"].partition("\n\n")[2].encode()
    newest = Trust.from_log_key(log.newest().verifier().vkey())
    assert verify_checkpoint(note, newest).checkpoint.size == len(log.leaves)
