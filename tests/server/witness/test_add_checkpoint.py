"""`add-checkpoint` over HTTP: the statuses of tlog-witness, and what is cosigned."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import SigningKey
from provlog.merkle.notes import (
    add_signatures,
    open_note,
    parse_signatures_unverified,
    sign_note,
)
from provlog.merkle.witness_messages import (
    SIZE_MEDIA_TYPE,
    AddCheckpoint,
    origin_hash,
    parse_add_checkpoint,
)
from support.asked_witnesses import Asking, SetClock, asked_witness
from support.cosigners import Cosigner
from support.witnessed_logs import ORIGIN, MemoryLog

LOG = MemoryLog()
OTHER = MemoryLog(history="two")


@pytest.fixture
def clock() -> SetClock:
    return SetClock(1_700_000_000_000)


@pytest.fixture
async def asking(tmp_path: Path, clock: SetClock) -> AsyncIterator[Asking]:
    async with asked_witness(tmp_path / "witness", LOG.vkey, clock=clock) as asking:
        yield asking


def cosigned_at(asking: Asking, note: bytes, lines: str) -> dict[str, int | None]:
    """Verify an answer as its client does; return the times by key ID."""
    opened = open_note(note + lines.encode(), asking.served.keys)
    return {each.key.key_id.hex(): each.timestamp for each in opened.signatures}


async def test_a_log_that_grows_is_cosigned_by_every_key(asking: Asking) -> None:
    for old, size in ((0, 1), (1, 3), (3, 4), (4, 11)):
        status, _, lines = await asking.post(LOG.request(old, size))
        assert status == 200
        times = cosigned_at(asking, LOG.checkpoint(size), lines)
        assert list(times.values()) == [1_700_000_000, 1_700_000_000]


async def test_a_body_that_is_none_is_refused(asking: Asking) -> None:
    good = LOG.request(0, 3)
    assert await asking.status(good[:-1]) == 403  # its last line is no signature
    for body in (
        b"",
        b"old 0\n",
        good[4:],
        good.replace(b"old 0", b"old 00"),
    ):
        assert await asking.status(body) == 400


async def test_an_old_size_beyond_the_checkpoint_s_is_malformed(asking: Asking) -> None:
    assert await asking.status(AddCheckpoint(4, (), LOG.checkpoint(3)).format()) == 400


async def test_a_log_that_is_not_known_is_not_found(asking: Asking) -> None:
    stranger = MemoryLog(SigningKey("else.example", bytes(32)), origin="else.example")
    assert await asking.status(stranger.request(0, 3)) == 404


async def test_a_log_is_known_by_its_origin_and_not_by_its_key(asking: Asking) -> None:
    assert await asking.status(replace(LOG, origin="else.example").request(0, 3)) == 404


async def test_without_a_signature_by_a_trusted_key_nothing_is_done(
    asking: Asking,
) -> None:
    forged = replace(LOG, key=SigningKey(ORIGIN, bytes([1]) * 32))
    assert await asking.status(forged.request(0, 3)) == 403
    assert asking.served.witness.store.head(ORIGIN) is None


async def test_a_false_signature_beside_a_true_one_is_refused(asking: Asking) -> None:
    newer = SigningKey(ORIGIN, bytes([1]) * 32)
    asking.served.add_log(newer.verifier().vkey())
    text = LOG.checkpoint(3).split(b"\n\n")[0].decode() + "\n"
    wrong = sign_note(f"{text}more\n", [newer]).rpartition(b"\n\n")[2]
    body = AddCheckpoint(0, (), LOG.checkpoint(3) + wrong).format()
    assert await asking.status(body) == 403


async def test_lines_by_others_are_ignored_and_not_kept(asking: Asking) -> None:
    other = Cosigner.ed25519("other.example", 7)
    note = other.cosign(LOG.checkpoint(3))
    status, _, lines = await asking.post(AddCheckpoint(0, (), note).format())
    assert status == 200
    _, kept = await asking.get(f"/{origin_hash(ORIGIN)}/checkpoint")
    assert kept == LOG.checkpoint(3) + lines.encode()


async def test_another_old_size_is_told_the_one_that_is_known(asking: Asking) -> None:
    assert await asking.post(LOG.request(2, 3)) == (409, SIZE_MEDIA_TYPE, "0\n")
    assert await asking.status(LOG.request(0, 5)) == 200
    for old in (0, 3, 6):
        answer = await asking.post(LOG.request(old, 8))
        assert answer == (409, SIZE_MEDIA_TYPE, "5\n")


async def test_a_wrong_proof_is_refused_and_changes_nothing(asking: Asking) -> None:
    assert await asking.status(LOG.request(0, 5)) == 200
    good = parse_add_checkpoint(LOG.request(5, 8))
    for proof in ((), good.proof[:-1], good.proof[::-1], (*good.proof, bytes(32))):
        assert await asking.status(replace(good, proof=proof).format()) == 422
    assert await asking.status(good.format()) == 200


async def test_the_first_checkpoint_has_no_proof(asking: Asking) -> None:
    body = AddCheckpoint(0, (bytes(32),), LOG.checkpoint(3)).format()
    assert await asking.status(body) == 422


async def test_a_tree_without_leaves_has_the_empty_root(asking: Asking) -> None:
    for root, status in ((bytes(32), 422), (EMPTY_ROOT, 200), (EMPTY_ROOT, 200)):
        note = sign_note(Checkpoint(ORIGIN, 0, root).text(), [LOG.key])
        assert await asking.status(AddCheckpoint(0, (), note).format()) == status
    assert await asking.status(LOG.request(0, 2)) == 200


async def test_the_same_tree_is_cosigned_anew_with_a_later_time(
    asking: Asking, clock: SetClock
) -> None:
    _, _, first = await asking.post(LOG.request(0, 5))
    clock.pass_time(60_000)
    status, _, again = await asking.post(LOG.request(5, 5))
    assert status == 200
    times = cosigned_at(asking, LOG.checkpoint(5), again).values()
    assert set(times) == {1_700_000_060}
    assert first != again


async def test_within_a_second_the_same_tree_costs_no_write(asking: Asking) -> None:
    _, _, first = await asking.post(LOG.request(0, 5))
    assert await asking.post(LOG.request(5, 5)) == (200, "text/plain", first)
    extended = AddCheckpoint(5, (), LOG.checkpoint(5, "more")).format()
    _, _, other = await asking.post(extended)
    cosigned_at(asking, LOG.checkpoint(5, "more"), other)


async def test_another_root_of_the_same_size_is_not_cosigned(asking: Asking) -> None:
    assert await asking.status(LOG.request(0, 5)) == 200
    assert await asking.status(OTHER.request(5, 5)) == 422
    body = AddCheckpoint(5, LOG.proof(5, 8), OTHER.checkpoint(8)).format()
    assert await asking.status(body) == 422


async def test_time_does_not_go_back(asking: Asking, clock: SetClock) -> None:
    clock.pass_time(3_000)
    await asking.post(LOG.request(0, 5))
    clock.pass_time(-2_000)
    _, _, lines = await asking.post(LOG.request(5, 6))
    assert set(cosigned_at(asking, LOG.checkpoint(6), lines).values()) == {
        1_700_000_003
    }


async def test_nothing_is_signed_while_the_clock_is_wrong(
    asking: Asking, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.ms += 60_000
    for _ in range(2):
        assert await asking.status(LOG.request(0, 5)) == 503
    assert len([each for each in caplog.records if "cosigned" in each.message]) == 1
    page = generate_latest(asking.served.metrics.registry).decode()
    assert 'call="add-checkpoint",status="503"} 2.0' in page
    assert asking.served.witness.trouble() is not None
    clock.accept()
    assert await asking.status(LOG.request(0, 5)) == 200
    clock.pass_time(-20_000)  # with the steady clock: as after a start
    assert await asking.status(LOG.request(5, 6)) == 503


async def test_any_key_of_a_log_is_enough(asking: Asking) -> None:
    newer = replace(LOG, key=SigningKey(ORIGIN, bytes([1]) * 32))
    asking.served.add_log(newer.vkey)
    assert await asking.status(LOG.request(0, 5)) == 200
    assert await asking.status(newer.request(5, 6)) == 200
    text = LOG.checkpoint(7).split(b"\n\n")[0].decode() + "\n"
    both = sign_note(text, [newer.key, LOG.key])
    body = AddCheckpoint(6, LOG.proof(6, 7), both).format()
    status, _, lines = await asking.post(body)
    assert status == 200
    _, kept = await asking.get(f"/{origin_hash(ORIGIN)}/checkpoint")
    assert kept == both + lines.encode()


async def test_a_log_that_signs_with_ml_dsa_is_cosigned(asking: Asking) -> None:
    signer = Cosigner.mldsa("pq.example.com", 3)
    asking.served.add_log(signer.key.vkey())
    text = Checkpoint("pq.example.com", 4, LOG.tree(4).root()).text()
    body = AddCheckpoint(0, (), signer.sign_alone(text)).format()
    assert await asking.status(body) == 200
    # Its signature does not cover extension lines, which anybody may have added.
    added = signer.sign_alone(text).replace(b"\n\n", b"\nadded by anybody\n\n", 1)
    assert await asking.status(AddCheckpoint(4, (), added).format()) == 403
    _, kept = await asking.get(f"/{origin_hash('pq.example.com')}/checkpoint")
    assert b"added" not in kept


async def test_a_log_grows_no_more_often_than_it_may(
    asking: Asking, clock: SetClock
) -> None:
    asking.served.add_log(LOG.vkey, rate=2)
    assert await asking.status(LOG.request(0, 1)) == 200
    assert await asking.status(LOG.request(1, 2)) == 200
    assert await asking.status(LOG.request(2, 3)) == 429
    # Who repeats what the log signed has not used anything up, nor is it kept back.
    clock.pass_time(1_000)
    assert await asking.status(LOG.request(2, 2)) == 200
    url = f"{asking.served.url}/add-checkpoint"
    async with asking.session.post(url, data=LOG.request(2, 3)) as answer:
        assert answer.headers["Retry-After"] == "43199"
    clock.pass_time(43_199_000)
    assert await asking.status(LOG.request(2, 3)) == 200


async def test_strangers_do_not_use_up_a_log_s_rate(asking: Asking) -> None:
    asking.served.add_log(LOG.vkey, rate=1)
    forged = replace(LOG, key=SigningKey(ORIGIN, bytes([1]) * 32))
    for body in (forged.request(0, 3), LOG.request(1, 3), OTHER.request(2, 3)):
        assert await asking.status(body) in (403, 409)
    assert await asking.status(LOG.request(0, 3)) == 200


async def test_a_body_is_bounded(asking: Asking) -> None:
    assert await asking.status(LOG.request(0, 3) + b"x" * 600_000) == 413


async def test_what_is_answered_is_remembered(asking: Asking, tmp_path: Path) -> None:
    assert await asking.status(LOG.request(0, 5)) == 200
    async with asked_witness(tmp_path / "witness") as other:
        assert await other.post(LOG.request(0, 8)) == (409, SIZE_MEDIA_TYPE, "5\n")
        assert await other.status(LOG.request(5, 8)) == 200
    assert await asking.post(LOG.request(5, 6)) == (409, SIZE_MEDIA_TYPE, "8\n")


async def test_a_cosignature_can_be_added_to_the_log_s_note(asking: Asking) -> None:
    _, _, lines = await asking.post(LOG.request(0, 5))
    note = add_signatures(LOG.checkpoint(5), parse_signatures_unverified(lines))
    assert len(open_note(note, asking.served.keys).signatures) == 2
