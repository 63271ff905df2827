"""Whatever is sent, it is answered with one of the statuses, and nothing is signed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from provlog.merkle.witness_messages import AddCheckpoint
from provlog.server.clock import Clock
from provlog.server.witness import serving
from provlog.server.witness.cosigning import Witness
from provlog.server.witness.figures import WitnessFigures
from provlog.server.witness.judging import Refusal
from provlog.server.witness.keys import KeyFolder
from provlog.server.witness.roll import Roll, add_log
from provlog.server.witness.soundness import Soundness
from provlog.server.witness.store import DATABASE, WitnessStore
from support.asked_witnesses import asked_witness
from support.witnessed_logs import ORIGIN, MemoryLog
from support.witnesses import make_witness

LOG = MemoryLog()
GOOD = LOG.request(0, 5)
shared = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    folder = tmp_path / "witness"
    make_witness(folder, ed25519_only=True)
    store = WitnessStore(folder / DATABASE)
    add_log(store, LOG.vkey, None, None, "")
    figures = WitnessFigures(CollectorRegistry())
    made = Witness(store, Roll(store), KeyFolder(folder), Soundness(Clock()), figures)
    yield made
    made._thread.shutdown()
    store.close()


def refused(witness: Witness, body: bytes) -> Refusal:
    """Return why a body that cannot be granted is refused: no thread, so no write."""
    read = witness.read(body)
    assert isinstance(read, Refusal)
    return read


@given(data=st.binary(max_size=400))
@shared
def test_any_bytes_are_refused(witness: Witness, data: bytes) -> None:
    for start in (b"", b"old 0\n\n", b"old 0\n\n" + ORIGIN.encode() + b"\n"):
        assert refused(witness, start + data).status in (400, 403, 404)


@given(place=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
@shared
def test_no_byte_of_a_request_can_be_changed(
    witness: Witness, place: int, value: int
) -> None:
    body = bytearray(GOOD)
    if body[place] == value:
        return
    body[place] = value
    read = witness.read(bytes(body))
    if isinstance(read, Refusal):
        assert read.status in (400, 403, 404)
    else:  # the old size is not signed
        assert read.message.checkpoint == LOG.checkpoint(5)


@given(lines=st.lists(st.text("— ab=\n+AQ", max_size=30), max_size=5))
@shared
def test_signature_lines_of_all_kinds_are_no_signature(
    witness: Witness, lines: list[str]
) -> None:
    text = LOG.checkpoint(5).partition(b"\n\n")[0]
    note = text + b"\n\n" + "\n".join(lines).encode()
    body = AddCheckpoint(0, (), note).format()
    assert refused(witness, body).status in (400, 403)


async def test_a_note_of_many_signatures_is_read(tmp_path: Path) -> None:
    line = "— other.example/{} " + "A" * 3240 + "\n"
    more = "".join(line.format(number) for number in range(99)).encode()
    body = AddCheckpoint(0, (), LOG.checkpoint(5) + more).format()
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        assert await asking.status(body) == 200
        body = AddCheckpoint(5, (), LOG.checkpoint(5) + more + more[:3264]).format()
        assert await asking.status(body) == 403


async def test_who_sends_slowly_holds_no_more_room_than_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_BODIES", serving.MOST_BODY)
    monkeypatch.setattr(serving, "BODY_SECONDS", 0.3)
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        host, _, port = asking.served.url.partition("://")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % serving.MOST_BODY
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")
        assert await asking.status(GOOD) == 503
        await reader.readline()
        async with asyncio.timeout(20):  # the API's own bound is 30 s
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        assert await asking.status(GOOD) == 200
        writer.close()
        await writer.wait_closed()


async def test_methods_and_encodings_that_are_not_taken(tmp_path: Path) -> None:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        url = f"{asking.served.url}/add-checkpoint"
        async with asking.session.get(url) as answer:
            assert answer.status == 405
        zipped = {"Content-Encoding": "gzip"}
        async with asking.session.post(url, data=b"x", headers=zipped) as answer:
            assert answer.status == 415
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in answer.headers.get("Server", "")
