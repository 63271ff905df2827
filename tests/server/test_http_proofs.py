"""Proofs and entries over HTTP, verified as a client verifies them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from provlog.merkle.consistency import verify_consistency
from provlog.merkle.encoding import decode_base64
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import verify_inclusion
from provlog.merkle.proof_file import verify_proof
from provlog.merkle.ranges import verify_range
from provlog.merkle.receipts import VerifiedReceipt, verify_receipt
from provlog.merkle.trust import verify_checkpoint
from provlog.server.storage.base import SourceRecord
from support.events import event_json
from support.instances import SOURCE, Served, served

SIZE = 300
FILLER = f"source={SOURCE}&id=filler-9"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        await running.fill(SIZE)
        yield running


def _hashes(body: dict[str, Any]) -> list[bytes]:
    return [decode_base64(each) for each in body["hashes"]]


async def test_an_inclusion_proof_comes_with_its_checkpoint(log: Served) -> None:
    for query in ("index=9", "index=9&size=300", "index=9&as=json"):
        body = (await log.get(f"proofs/inclusion?{query}")).json()
        signed = verify_checkpoint(body["checkpoint"].encode(), log.made.trust)
        assert (body["index"], body["size"]) == (9, signed.checkpoint.size)
        verify_inclusion(
            9,
            body["size"],
            decode_base64(body["leaf_hash"]),
            _hashes(body),
            signed.checkpoint.root,
        )
        [leaf] = await log.service.storage.leaves(log.log.id, 9, 10)
        assert decode_base64(body["leaf_hash"]) == leaf_hash(leaf)


async def test_a_proof_of_another_size_has_no_checkpoint(log: Served) -> None:
    body = (await log.get("proofs/inclusion?index=9&size=200")).json()
    assert "checkpoint" not in body
    root = await log.log.tree.root(200)
    verify_inclusion(9, 200, decode_base64(body["leaf_hash"]), _hashes(body), root)


async def test_the_proof_file_is_asked_for_by_accept_or_query(log: Served) -> None:
    [leaf] = await log.service.storage.leaves(log.log.id, 9, 10)
    for query, accept in (
        ("index=9", "text/x-tlog-proof"),
        ("index=9&size=300", "text/html, text/x-tlog-proof;q=0.9"),
        ("index=9&as=file", "application/json"),
    ):
        reply = await log.get(f"proofs/inclusion?{query}", accept=accept)
        assert reply.headers["Content-Type"].startswith("text/x-tlog-proof")
        proof = verify_proof(reply.body, leaf_hash(leaf), log.made.trust)
        assert (proof.index, proof.signed_checkpoint.checkpoint.size) == (9, SIZE)
    reply = await log.get(
        "proofs/inclusion?index=9&as=json", accept="text/x-tlog-proof"
    )
    assert reply.json()["index"] == 9


async def test_no_proof_file_of_a_size_without_checkpoint(log: Served) -> None:
    reply = await log.get("proofs/inclusion?index=9&size=200&as=file")
    assert (reply.status, reply.slug) == (406, "not-acceptable")


async def test_consistency_from_every_earlier_size(log: Served) -> None:
    newest = await log.log.tree.root(SIZE)
    for old in (1, 2, 3, 128, 255, 256, 299, 300):
        path = f"proofs/consistency?from={old}&to={SIZE}"
        body = (await log.get(path, role="submitter")).json()
        assert (body["from"], body["to"]) == (old, SIZE)
        root = await log.log.tree.root(old)
        verify_consistency(old, root, SIZE, newest, _hashes(body))


async def test_a_range_proof_shows_that_nothing_is_left_out(log: Served) -> None:
    for query, size in (("start=7&end=260", SIZE), ("start=0&end=5&size=256", 256)):
        body = (await log.get(f"proofs/range?{query}")).json()
        leaves = await log.service.storage.leaves(
            log.log.id, body["start"], body["end"]
        )
        root = await log.log.tree.root(size)
        assert body["size"] == size
        verify_range(
            body["start"],
            size,
            [leaf_hash(leaf) for leaf in leaves],
            _hashes(body),
            root,
        )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("inclusion?index=300", 404),
        ("inclusion?index=9&size=301", 404),
        ("inclusion?index=9&size=9", 404),
        ("inclusion?index=9&size=0", 404),
        ("inclusion?index=x", 400),
        ("inclusion?index=09", 400),
        ("inclusion?index=9&id=x", 400),
        ("inclusion?index=9&as=pdf", 400),
        ("consistency?from=1&to=301", 404),
        ("consistency?from=0&to=1", 400),
        ("consistency?from=2&to=1", 400),
        ("consistency?from=1", 400),
        ("range?start=0&end=1&size=301", 404),
        ("range?start=0&end=301", 400),
        ("range?start=1&end=1", 400),
        ("range?end=1", 400),
        ("subtree?start=1", 404),
    ],
)
async def test_a_proof_that_cannot_be_is_refused(
    log: Served, path: str, status: int
) -> None:
    reply = await log.get(f"proofs/{path}")
    assert reply.status == status
    assert reply.slug == ("malformed" if status == 400 else "not-found")


async def _entry(log: Served, path: str, role: str) -> VerifiedReceipt:
    reply = await log.get(path, role=role)
    assert reply.status == 200
    return verify_receipt(reply.body, log.made.trust)


async def test_an_entry_opens_as_far_as_the_token_goes(log: Served) -> None:
    for role, disclosed, opened in (
        ("monitor", False, False),
        ("auditor", True, True),
    ):
        receipt = await _entry(log, "entries/9", role)
        assert receipt.index == 9
        assert bool(receipt.disclosures) == disclosed
        assert bool(receipt.withheld) == (not disclosed)
        assert (receipt.openings is not None) == opened


async def test_an_event_is_found_by_source_and_id(log: Served) -> None:
    for role, opened in (("submitter", False), ("auditor", True)):
        receipt = await _entry(log, f"entries?{FILLER}", role)
        assert (receipt.index, receipt.withheld) == (9, [])
        assert (receipt.openings is not None) == opened
        body = (await log.get(f"proofs/inclusion?{FILLER}", role=role)).json()
        assert body["index"] == 9


async def test_a_percent_encoded_source_is_found(tmp_path: Path) -> None:
    source = "https://idp.example/a?b=c&d=e+f#%41"
    async with served(tmp_path, sources=("*",)) as log:
        await log.post(event_json(source=source))
        encoded = "https%3A%2F%2Fidp.example%2Fa%3Fb%3Dc%26d%3De%2Bf%23%2541"
        receipt = await _entry(log, f"entries?source={encoded}&id=9f2c", "submitter")
        assert receipt.entry.body["source"] == source


async def test_every_kind_of_entry_has_a_receipt(log: Served) -> None:
    source = SourceRecord("urn:new", "urn:new", None)
    await log.service.register_source(log.log, source, "test")
    params = await _entry(log, "entries/0", "auditor")
    admin = await _entry(log, "entries/300", "auditor")
    assert (params.entry.kind, admin.entry.kind) == ("params", "admin")
    assert admin.disclosures["by"].value == {"id": "test"}


async def test_an_erased_entry_keeps_its_proof(log: Served) -> None:
    log.execute("DELETE FROM private WHERE idx = ?", 9)
    for path in ("entries/9", f"entries?{FILLER}"):
        receipt = await _entry(log, path, "auditor")
        assert (receipt.index, dict(receipt.disclosures)) == (9, {})
        assert receipt.withheld


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        ("entries/300", "monitor", 404),
        ("entries/09", "monitor", 404),
        ("entries/-1", "monitor", 404),
        ("entries/9?x=1", "monitor", 400),
        (f"entries?source={SOURCE}&id=nobody", "auditor", 404),
        (f"proofs/inclusion?source={SOURCE}&id=nobody", "auditor", 404),
        (f"entries?source={SOURCE}", "auditor", 400),
        ("entries?id=filler-9", "auditor", 400),
        (f"entries?source={SOURCE}&id=%22", "auditor", 400),
    ],
)
async def test_an_entry_that_cannot_be_is_refused(
    log: Served, path: str, role: str, status: int
) -> None:
    reply = await log.get(path, role=role)
    assert reply.status == status
    assert reply.slug == ("malformed" if status == 400 else "not-found")


async def test_a_damaged_entry_is_not_handed_out(log: Served) -> None:
    log.execute("DROP TRIGGER entries_keep")
    log.execute("UPDATE entries SET leaf = zeroblob(9) WHERE idx = ?", 9)
    reply = await log.get("entries/9", role="auditor")
    assert (reply.status, reply.slug) == (500, "internal")


async def test_a_token_that_writes_does_not_read_what_others_wrote(log: Served) -> None:
    event = event_json(id="of another token")
    reply = await log.post(event, role="submitter+auditor")
    assert reply.status == 201
    query = f"entries?source={SOURCE}&id=of+another+token"
    receipt = await _entry(log, query, "submitter")
    assert receipt.entry.kind == "event"
    assert receipt.disclosures == {}
    assert receipt.openings is None
    assert (await _entry(log, query, "submitter+auditor")).withheld == []
