"""What anybody may read of a witness: checkpoints, logs, keys, metrics."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from provlog.merkle.keys import SigningKey
from provlog.merkle.log_list import parse_log_list
from provlog.merkle.notes import open_note
from provlog.merkle.witness_messages import origin_hash
from provlog.server.witness.figures import MOST_LABELS, WitnessFigures
from support.asked_witnesses import Asking, asked_witness
from support.witnessed_logs import ORIGIN, MemoryLog

LOG = MemoryLog()
PLACE = f"/{origin_hash(ORIGIN)}/checkpoint"


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Asking]:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        yield asking


async def test_the_newest_checkpoint_bears_both_signatures(asking: Asking) -> None:
    for old, size in ((0, 3), (3, 5)):
        _, _, lines = await asking.post(LOG.request(old, size))
        url = f"{asking.served.url}{PLACE}"
        async with asking.session.get(url) as answer:
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
            note = await answer.read()
        assert note == LOG.checkpoint(size) + lines.encode()
        keys = [*asking.served.keys, LOG.key.verifier()]
        assert len(open_note(note, keys).signatures) == 3


async def test_what_was_never_cosigned_is_not_found(asking: Asking) -> None:
    for path in (PLACE, "/" + "0" * 64 + "/checkpoint", "/abc/checkpoint", "/nothing"):
        assert (await asking.get(path))[0] == 404


async def test_a_log_that_was_removed_is_still_remembered(asking: Asking) -> None:
    await asking.post(LOG.request(0, 5))
    store = asking.served.witness.store
    assert store.settle(lambda writing: writing.remove_key(ORIGIN, LOG.vkey))
    assert await asking.status(LOG.request(5, 6)) == 404
    assert (await asking.get(PLACE))[0] == 200
    asking.served.add_log(LOG.vkey)
    assert await asking.post(LOG.request(0, 6)) == (409, "text/x.tlog.size", "5\n")


async def test_the_logs_are_listed_with_their_newest_key(asking: Asking) -> None:
    newer = replace(LOG, key=SigningKey(ORIGIN, bytes([1]) * 32))
    other = SigningKey("sum.example", bytes([2]) * 32).verifier().vkey()
    asking.served.add_log(newer.vkey, rate=10)
    asking.served.add_log(other, "a database tree")
    status, text = await asking.get("/logs")
    listed = {log.origin: log for log in parse_log_list(text)}
    assert status == 200
    assert set(listed) == {ORIGIN, "a database tree"}
    assert listed[ORIGIN].key.vkey() == newer.vkey
    assert listed[ORIGIN].rate == 10


async def test_the_page_names_the_keys(asking: Asking) -> None:
    status, page = await asking.get("/")
    assert status == 200
    for vkey in asking.served.vkeys:
        assert vkey in page.decode()
    assert (await asking.get("/healthz"))[0] == 200


async def test_the_figures_tell_of_requests_and_heads(asking: Asking) -> None:
    await asking.post(LOG.request(0, 5))
    await asking.post(LOG.request(0, 5))
    await asking.post(b"nothing")
    page = generate_latest(asking.served.metrics.registry).decode()
    for line in (
        'provlog_witness_requests_total{call="add-checkpoint",status="200"} 1.0',
        'provlog_witness_requests_total{call="add-checkpoint",status="409"} 1.0',
        'provlog_witness_requests_total{call="add-checkpoint",status="400"} 1.0',
        f'provlog_witness_head_size{{origin="{ORIGIN}"}} 5.0',
    ):
        assert line in page
    assert f'provlog_witness_head_timestamp_seconds{{origin="{ORIGIN}"}} 1.' in page


async def test_labels_are_bounded(asking: Asking) -> None:
    figures: WitnessFigures = asking.served.witness.figures
    for number in range(MOST_LABELS + 5):
        figures.inconsistent(f"log {number}", convicts=True)
    page = generate_latest(asking.served.metrics.registry).decode()
    assert page.count("provlog_witness_inconsistent_total{") == MOST_LABELS + 1
    assert 'origin="other"} 5.0' in page


async def test_nothing_that_was_sent_is_logged_or_repeated(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "nobody-may-repeat-this"
    stranger = MemoryLog(SigningKey(secret, bytes(32)), origin=secret)
    for body in (stranger.request(0, 3), secret.encode(), LOG.request(0, 3) + b"-"):
        _, _, text = await asking.post(body)
        assert secret not in text
    assert secret not in caplog.text
