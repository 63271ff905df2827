"""`sign-subtree` over HTTP: parts of what the witness cosigned, and nothing else."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from provlog.merkle.cosignatures import mldsa_message
from provlog.merkle.keys import KeyType
from provlog.merkle.notes import parse_signatures_unverified
from provlog.merkle.witness_messages import SignSubtree, parse_sign_subtree
from support.asked_witnesses import Asking, asked_witness
from support.witnessed_logs import ORIGIN, MemoryLog

LOG = MemoryLog()
SIZE = 14


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Asking]:
    async with asked_witness(tmp_path / "witness", LOG.vkey) as asking:
        yield asking


async def cosigned(asking: Asking, size: int = SIZE) -> bytes:
    status, _, lines = await asking.post(LOG.request(0, size))
    assert status == 200
    return LOG.checkpoint(size) + lines.encode()


async def ask(asking: Asking, body: bytes) -> tuple[int, str]:
    status, _, text = await asking.post(body, "sign-subtree")
    return status, text


@pytest.mark.parametrize(("start", "end"), [(0, 14), (0, 8), (8, 13), (8, 14), (5, 6)])
async def test_a_subtree_is_signed_without_a_time(
    asking: Asking, start: int, end: int
) -> None:
    note = await cosigned(asking)
    status, text = await ask(asking, LOG.subtree(start, end, SIZE, note))
    assert status == 200
    [line] = parse_signatures_unverified(text)
    [key] = [each for each in asking.served.keys if each.key_id == line.key_id]
    assert key.key_type is KeyType.COSIGNATURE_MLDSA44
    root = LOG.tree(SIZE).mth(start, end)
    assert line.value[:8] == bytes(8)
    key.verify(mldsa_message(key.name, 0, ORIGIN, start, end, root), line.value[8:])


async def test_a_reference_without_the_log_s_signature_is_enough(
    asking: Asking,
) -> None:
    note = await cosigned(asking)
    text, lines = note.rsplit(b"\n\n", 1)
    own = b"\n".join(lines.split(b"\n")[1:])
    body = LOG.subtree(8, 13, SIZE, text + b"\n\n" + own)
    assert (await ask(asking, body))[0] == 200


async def test_a_range_that_is_no_subtree_is_malformed(asking: Asking) -> None:
    note = await cosigned(asking)
    good = parse_sign_subtree(LOG.subtree(8, 13, SIZE, note))
    for start, end in ((8, 8), (4, 13), (8, 15), (1, 3)):
        changed = replace(good, start=start, end=end).format()
        assert (await ask(asking, changed))[0] == 400
    for body in (b"", good.format()[1:], LOG.request(0, SIZE)):
        assert (await ask(asking, body))[0] == 400


async def test_another_root_or_proof_is_refused(asking: Asking) -> None:
    note = await cosigned(asking)
    good = parse_sign_subtree(LOG.subtree(8, 13, SIZE, note))
    for changed in (
        replace(good, root=bytes(32)),
        replace(good, proof=good.proof[:-1]),
        replace(good, proof=(*good.proof, bytes(32))),
    ):
        assert (await ask(asking, changed.format()))[0] == 422


async def test_a_checkpoint_that_was_not_cosigned_here_is_refused(
    asking: Asking,
) -> None:
    note = await cosigned(asking)
    alone = LOG.checkpoint(SIZE)
    assert (await ask(asking, LOG.subtree(8, 13, SIZE, alone)))[0] == 403
    other = MemoryLog(history="two")
    lines = note.rsplit(b"\n\n", 1)[1].split(b"\n", 1)[1]
    moved = other.checkpoint(SIZE) + lines
    assert (await ask(asking, other.subtree(8, 13, SIZE, moved)))[0] == 403


async def test_a_log_that_is_not_known_any_more_is_not_found(asking: Asking) -> None:
    note = await cosigned(asking)
    store = asking.served.witness.store
    store.settle(lambda writing: writing.remove_key(ORIGIN, LOG.vkey))
    assert (await ask(asking, LOG.subtree(8, 13, SIZE, note)))[0] == 404


async def test_a_witness_without_such_a_key_signs_no_subtrees(tmp_path: Path) -> None:
    async with asked_witness(
        tmp_path / "witness", LOG.vkey, ed25519_only=True
    ) as asking:
        note = await cosigned(asking)
        status, text = await ask(asking, LOG.subtree(8, 13, SIZE, note))
    assert status == 404
    assert "no key that signs subtrees" in text


def test_the_range_is_part_of_the_body() -> None:
    body = SignSubtree(8, 13, bytes(32), (), b"note\n").format()
    assert body.startswith(b"subtree 8 13\n")
