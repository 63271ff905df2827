"""Published vectors for trees, proofs and tiles: loaders, and what they claim."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from support.vectors import Claim, Run, Unused, load_json, vectors_root

PROOFS = "transparency-dev-merkle/testdata"
TESSERA = "tessera-testdata-log/testdata/log"
GOLANG = "golang-mod-sumdb-note/tlog.json"
GOSUMDB = "thesmos-core-checkpoint/gosumdb-tlog-vectors.txt"
SKYLIGHT = "sunlight-testdata/cmd/skylight/testdata"
# A mirror keeps each log in a folder named by the hash of its origin.
MIRROR = f"{SKYLIGHT}/witness/mirror/{sha256(b'rome2026h1.example.org').hexdigest()}"
NAVIGLI = "sunlight-testdata/testdata/navigli2025h2/tile"

_PROOF_TEST = "merkle/test_proof_vectors.py"
_TILE_TEST = "merkle/test_tile_vectors.py"


@dataclass(frozen=True, slots=True)
class ProofCase:
    """One good or bad proof; `numbers` and `hashes` by the names of the file."""

    name: str
    numbers: dict[str, int]
    hashes: dict[str, bytes]
    proof: list[bytes]
    bad: bool


def proof_cases(kind: str) -> list[ProofCase]:
    """Return the cases of one kind of proof (a folder below `PROOFS`)."""
    folder = vectors_root() / PROOFS / kind
    return [
        _proof_case(path.relative_to(folder), load_json(str(path)))
        for path in sorted(folder.glob("**/*.json"))
    ]


def _proof_case(name: Path, content: dict[str, Any]) -> ProofCase:
    hashes = {
        key: base64.b64decode(value)
        for key, value in content.items()
        if isinstance(value, str) and key != "desc"
    }
    numbers = {key: value for key, value in content.items() if type(value) is int}
    proof = [base64.b64decode(hash_) for hash_ in content["proof"] or []]
    return ProofCase(str(name), numbers, hashes, proof, content["wantErr"])


@dataclass(frozen=True, slots=True)
class TileFile:
    """A file of a log on disk: its path below the log's prefix, and its bytes."""

    path: str
    data: bytes


def tile_files(log: str, pattern: str) -> list[TileFile]:
    """Return the files that match `pattern` in the folder `log`."""
    folder = vectors_root() / log
    return [
        TileFile(path.relative_to(folder).as_posix(), path.read_bytes())
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    ]


def roots(log: str) -> list[tuple[int, bytes]]:
    """Return size and root of every checkpoint in `log`, signatures not looked at."""
    texts = [file.data.decode().split("\n") for file in tile_files(log, "checkpoint*")]
    return [(int(lines[1]), base64.b64decode(lines[2])) for lines in texts]


def gosumdb_lines() -> list[list[str]]:
    """Return the recorded lines, split into words."""
    lines = (vectors_root() / GOSUMDB).read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def golang_tile_paths() -> list[tuple[str, bool]]:
    """Return tile paths without their height, and whether they are good ones.

    Their `data` tiles stand where tlog-tiles has `entries`.
    """
    return [
        ("tile/" + path.split("/", 2)[2].replace("data/", "entries/"), bool(parsed))
        for path, parsed in load_json(GOLANG)["tile_paths"]
    ]


def golang_tree_note() -> tuple[bytes, bytes]:
    """Return an entry and the leaf hash that stands as the root in a tree note."""
    note = load_json(GOLANG)["tree_note"]
    return note["leaf"].encode(), base64.b64decode(note["text"].split("\n")[2])


def ct_leaves() -> list[bytes]:
    """Return the MerkleTreeLeafs of a data tile of a certificate log (RFC 6962 3.4)."""
    data = (vectors_root() / NAVIGLI / "data/003.p/10").read_bytes()
    leaves = []
    while data:
        entry, data = _split_tile_leaf(data)
        leaves.append(b"\x00\x00" + entry)
    return leaves


def _split_tile_leaf(data: bytes) -> tuple[bytes, bytes]:
    """Return the first TimestampedEntry of a data tile, and what follows its leaf."""
    is_precert = data[8:10] == b"\x00\x01"
    end = _skip(data, 10 + 32 * is_precert, 3)
    end = entry_end = _skip(data, end, 2)
    if is_precert:
        end = _skip(data, end, 3)
    end = _skip(data, end, 2)
    return data[:entry_end], data[end:]


def _skip(data: bytes, at: int, width: int) -> int:
    start = at + width
    return start + int.from_bytes(data[at:start], "big")


def _counts(loader: Callable[..., Sequence[object]], *names: str) -> Callable[[], int]:
    return lambda: len(loader(*names))


CLAIMS: Sequence[Claim] = (
    *(
        Run(f"{PROOFS}/{kind}/**/*.json", _PROOF_TEST, _counts(proof_cases, kind))
        for kind in (
            "inclusion",
            "consistency",
            "subtreeinclusion",
            "subtreeconsistency",
        )
    ),
    Run(
        f"{TESSERA}/tile/0/**/*",
        _TILE_TEST,
        _counts(tile_files, TESSERA, "tile/0/**/*"),
    ),
    Run(
        f"{TESSERA}/tile/entries/**/*",
        _TILE_TEST,
        _counts(tile_files, TESSERA, "tile/entries/**/*"),
    ),
    Run(f"{TESSERA}/checkpoint*", _TILE_TEST, _counts(roots, TESSERA)),
    Unused(f"{TESSERA}/.state/*", "private to the program that wrote the log"),
    Run(
        f"{MIRROR}/tile/[01]/**/*",
        _TILE_TEST,
        _counts(tile_files, MIRROR, "tile/[01]/**/*"),
    ),
    Run(f"{MIRROR}/checkpoint", _TILE_TEST, _counts(roots, MIRROR)),
    Unused(f"{MIRROR}/tile/entries/**/*", "placeholders, says the folder's README"),
    Unused(f"{SKYLIGHT}/tree/tile/**/*", "placeholders, says the folder's README"),
    Unused(f"{SKYLIGHT}/tree/issuer/*", "certificate issuers: no part of our formats"),
    Run(f"{NAVIGLI}/0/**/*", _TILE_TEST, _counts(tile_files, NAVIGLI, "0/**/*")),
    Run(f"{NAVIGLI}/data/**/*", _TILE_TEST, _counts(ct_leaves), holds=10),
    Run(
        GOLANG,
        _TILE_TEST,
        lambda: len(golang_tile_paths()) + len([golang_tree_note()]),
        holds=9,
        left_out="new_tiles_for_size counts tiles of height 10; ours are of height 8",
    ),
    Run(GOSUMDB, _TILE_TEST, _counts(gosumdb_lines), holds=24),
    Unused("cose-receipts-draft18/examples/*", "COSE receipts are not spoken yet"),
    Unused("**/README.md", "says where a folder comes from"),
)
