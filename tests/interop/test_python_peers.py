"""Packages from PyPI: tlog-scales reads our log, scitt-cose agrees on proofs."""

import random
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.consistency import build_consistency, verify_consistency
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.errors import MerkleError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import build_inclusion, verify_inclusion
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.notes import add_signatures, open_note, sign_note
from provlog.merkle.proof_file import verify_proof
from support.interop_logs import ask, ask_json, fill
from support.mutations import mutated_hashes, mutated_number
from support.naive_tree import NaiveTree, leaf_hashes
from support.servers import Server

TREE = NaiveTree(leaf_hashes(200))
NODES = TREE.perfect_nodes()
ENTRIES = [(b"entry %d" % index).hex() for index in range(200)]
TEXT = Checkpoint("log.example/peers", 200, TREE.root()).text()


def _module(name: str) -> Any:  # noqa: ANN401
    """Return a module of theirs, or skip where the package is not installed."""
    package = name.partition(".")[0]
    return pytest.importorskip(name, reason=f"package: {package} is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    _module("tlog_scales.reader")
    base = tmp_path_factory.mktemp("scales")
    with Server.init(base, "--dev", "--source", "*", "--public") as running:
        fill(running, 1, 600)
        yield running


@pytest.fixture
def reader(server: Server) -> Iterator[Any]:
    """Yield tlog-scales's reader of the log, over HTTP."""
    backend = _module("tlog_scales.backend").HttpBackend(f"{server.url}/logs/main")
    try:
        yield _module("tlog_scales.reader").TilesReader(backend)
    finally:
        backend.session.close()


# tlog-scales


def test_tlog_scales_reads_our_log(server: Server, reader: Any) -> None:  # noqa: ANN401
    point = reader.get_checkpoint()
    key = _module("tlog_scales.signing").Vkey.from_string(server.log_key)
    point.verify(key)  # raises unless the log signed it
    assert reader.calculate_root_hash() == point.root_hash
    for index in range(0, point.size, 50):
        leaf = reader.get_entry(index)
        proof = reader.get_inclusion_proof(index, point.size)
        proof.check(leaf_hash(leaf), point.root_hash)
        ours = ask_json(server, f"proofs/inclusion?index={index}&size={point.size}")
        assert _hashes(ours) == proof.node_hashes


def test_tlog_scales_proves_our_growth_as_we_do(
    server: Server,
    reader: Any,  # noqa: ANN401
) -> None:
    size = reader.get_checkpoint().size
    for old in (1, 2, 255, 256, 300, size - 1, size):
        proof = reader.get_consistency_proof(old, size)
        proof.check(reader.mth(0, old), reader.mth(0, size))
        path = f"proofs/consistency?from={old}&to={size}"
        assert _hashes(ask_json(server, path)) == proof.node_hashes


def _hashes(answer: dict[str, Any]) -> list[bytes]:
    return [b64decode(each) for each in answer["hashes"]]


@pytest.mark.parametrize("index", [0, 1, 300, -1])
def test_we_believe_the_proof_files_of_tlog_scales(
    server: Server,
    index: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "log"
    _copy(server, folder)
    main = _module("tlog_scales.cli").main
    monkeypatch.setattr("sys.argv", ["scales", "gen-proof", str(folder), str(index)])
    main()
    proof = capsys.readouterr().out.encode()
    point = ask(server, "checkpoint")
    place = index % int(point.split(b"\n")[1])
    leaf = _module("tlog_scales.reader").TilesReader(
        _module("tlog_scales.backend").LocalBackend(folder)
    )
    leaf.get_checkpoint()
    found = verify_proof(proof, leaf_hash(leaf.get_entry(place)), server.trust)
    assert found.index == place


def _copy(server: Server, folder: Path) -> None:
    """Write the parts of a log of 601 to 767 entries to a folder."""
    size = int(ask(server, "checkpoint").split(b"\n")[1])
    rest = f"002.p/{size % 256}"
    full = [f"{kind}/{n:03d}" for kind in ("0", "entries") for n in range(2)]
    parts = [*full, f"0/{rest}", f"entries/{rest}", "1/000.p/2"]
    for path in ("checkpoint", *(f"tile/{part}" for part in parts)):
        where = folder / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(ask(server, path))


def test_signatures_of_tlog_scales_are_ours_to_believe() -> None:
    signing, tlog = _module("tlog_scales.signing"), _module("tlog_scales.tlog")
    signers = [
        signing.PlainEd25519Signer("log.example/peers", b"1" * 32),
        signing.MLDSA44CosignatureSigner("witness.example", b"2" * 32),
    ]
    point = tlog.Checkpoint.make_signed("log.example/peers", 200, TREE.root(), signers)
    keys = [VerifierKey.parse(each.vkey.serialize()) for each in signers]
    opened = open_note(point.serialize().encode(), keys)
    assert opened.text == TEXT
    assert [each.key for each in opened.signatures] == keys


def test_tlog_scales_believes_our_signatures() -> None:
    signing, tlog = _module("tlog_scales.signing"), _module("tlog_scales.tlog")
    log = SigningKey.from_seed("log.example/peers", b"1" * 32)
    cosigners = [
        Cosigner("witness.example/1", KeyType.COSIGNATURE_ED25519, b"2" * 32),
        Cosigner("witness.example/2", KeyType.COSIGNATURE_MLDSA44, b"3" * 32),
    ]
    lines = [each.cosign(TEXT, 1_800_000_000) for each in cosigners]
    note = add_signatures(sign_note(TEXT, [log]), lines)
    keys = [log.verifier(), *(each.verifier() for each in cosigners)]
    known = signing.VkeySet(*(signing.Vkey.from_string(key.vkey()) for key in keys))
    point = tlog.Checkpoint.from_text(note.decode())
    assert len(known.verify(point.signatures, point)) == len(keys)
    other = tlog.Checkpoint.from_text(note.decode().replace("\n200\n", "\n201\n"))
    assert known.verify(other.signatures, other) == set()


# scitt-cose


def _holds(check: Any, *arguments: object) -> bool:  # noqa: ANN401
    try:
        check(*arguments)
    except MerkleError:
        return False
    return True


def test_scitt_cose_builds_our_proofs() -> None:
    theirs = _module("scitt_cose.merkle")
    source = random.Random(15)
    for _ in range(60):
        size = source.randrange(1, 200)
        index, old = source.randrange(size), source.randrange(1, size + 1)
        entries = ENTRIES[:size]
        assert theirs.merkle_root(entries) == TREE.root(size).hex()
        ours = build_inclusion(index, size, NODES)
        assert theirs.inclusion_proof(entries, index) == [h.hex() for h in ours]
        ours = build_consistency(old, size, NODES)
        assert theirs.consistency_proof(entries, old, size) == [h.hex() for h in ours]


def test_scitt_cose_gives_our_verdict_on_inclusion_proofs() -> None:
    theirs = _module("scitt_cose.merkle")
    source, held = random.Random(16), 0
    for _ in range(2_000):
        size = source.randrange(1, 200)
        index = source.randrange(size)
        kind, hashes = mutated_hashes(source, build_inclusion(index, size, NODES))
        leaf, root = source.choice((index, index, 0)), TREE.root(size)
        index, size = mutated_number(source, index), mutated_number(source, size)
        ours = _holds(verify_inclusion, index, size, TREE.leaves[leaf], hashes, root)
        shown = [each.hex() for each in hashes]
        said = theirs.verify_inclusion(ENTRIES[leaf], index, size, shown, root.hex())
        assert said == ours, (kind, index, size)
        held += ours
    assert held > 50


def test_scitt_cose_gives_our_verdict_on_consistency_proofs() -> None:
    theirs = _module("scitt_cose.merkle")
    source, held, from_nothing = random.Random(17), 0, 0
    for _ in range(2_000):
        size = source.randrange(1, 200)
        old = source.randrange(1, size + 1)
        kind, hashes = mutated_hashes(source, build_consistency(old, size, NODES))
        roots = TREE.root(source.choice((old, old, size))), TREE.root(size)
        old, size = mutated_number(source, old), mutated_number(source, size)
        ours = _holds(verify_consistency, old, roots[0], size, roots[1], hashes)
        shown = [each.hex() for each in hashes]
        said = theirs.verify_consistency(
            roots[0].hex(), roots[1].hex(), old, size, shown
        )
        if said and not ours and old == 0:
            from_nothing += 1  # which it takes on trust, and we leave to the caller
            continue
        assert said == ours, (kind, old, size)
        held += ours
    assert held > 50
    assert from_nothing
