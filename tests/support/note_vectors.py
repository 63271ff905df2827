"""Loaders of the published vectors for keys, notes, checkpoints and signatures.

Each returns all its cases as a list; the tests run them, the claims count them.
"""

from pathlib import Path
from typing import Any, NamedTuple

from provlog.merkle.keys import KeyType
from support.vectors import load_json, vectors_root

GOLANG = "golang-mod-sumdb-note"
THESMOS = "thesmos-core-checkpoint"
TESSERA = "tessera-testdata-log"
SUNLIGHT = "sunlight-testdata"
FORMATS = "transparency-dev-formats"
TORCHWOOD = "torchwood-litewitness"
EXAMPLES = "c2sp-spec-examples"
WYCHEPROOF = "wycheproof"

TESSERA_VKEY = (
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
)
SUNLIGHT_FOLDER = "cmd/skylight/testdata"


class Case(NamedTuple):
    """One vector: what is to be done with it, and its data."""

    kind: str
    data: Any


class SignatureCase(NamedTuple):
    """One Wycheproof case: a signature over a message, and whether it is true."""

    number: int
    key_type: KeyType
    public_key: bytes
    message: bytes
    signature: bytes
    context: bytes
    result: str


def ed25519_cases() -> list[SignatureCase]:
    return _wycheproof("ed25519_test", KeyType.ED25519)


def mldsa_cases() -> list[SignatureCase]:
    return _wycheproof("mldsa_44_verify_test", KeyType.COSIGNATURE_MLDSA44)


def _wycheproof(name: str, key_type: KeyType) -> list[SignatureCase]:
    content = load_json(f"{WYCHEPROOF}/testvectors_v1/{name}.json")
    return [
        SignatureCase(
            test["tcId"],
            key_type,
            bytes.fromhex(_public_key(group["publicKey"])),
            bytes.fromhex(test["msg"]),
            bytes.fromhex(test["sig"]),
            bytes.fromhex(test.get("ctx", "")),
            test["result"],
        )
        for group in content["testGroups"]
        for test in group["tests"]
    ]


def _public_key(field: Any) -> str:  # noqa: ANN401 - an object or a string
    return str(field["pk"] if isinstance(field, dict) else field)


def golang_cases() -> list[Case]:
    """Return the cases of note.json; `bad_vkeys_rule` stands for many strings."""
    content = load_json(f"{GOLANG}/note.json")
    cases = [Case("vkey", key) for key in content["vkeys"].values()]
    cases += [Case("skey", content["skey"]), Case("sign", content["sign"])]
    for kind in ("open_ok", "open_no_verifiable", "open_invalid_signature"):
        cases += [Case(kind, each) for each in content[kind]]
    for kind in ("open_malformed_hex", "bad_vkeys"):
        cases += [Case(kind, each) for each in content[kind]]
    return [*cases, Case("bad_vkeys_rule", content["vkeys"]["peter"])]


def thesmos_cases() -> list[Case]:
    folder = vectors_root() / THESMOS
    names = ("policy", "cosigned", "extension", "age-keyserver-policy")
    return [Case(name, (folder / f"{name}.txt").read_bytes()) for name in names]


def tessera_cases() -> list[Path]:
    return sorted((vectors_root() / TESSERA / "testdata/log").glob("checkpoint*"))


def sunlight_cases() -> list[Case]:
    """Return checkpoints, decoys, and the JSON files that publish cosigners' keys."""
    folder = vectors_root() / SUNLIGHT / SUNLIGHT_FOLDER
    names = sorted(path.relative_to(folder) for path in folder.rglob("checkpoint"))
    names += sorted(path.relative_to(folder) for path in folder.rglob("*.v0.json"))
    names += [Path("tree/log.v3.json")]
    return [Case(name.as_posix(), (folder / name).read_bytes()) for name in names]


def formats_cases() -> list[Case]:
    """Return the cases of formats.json but its `get-sth` answer, which is no note."""
    content = load_json(f"{FORMATS}/formats.json")
    old = content["rfc6962"]
    cases = [Case("cosigner", key) for key in content["cosigv1_pubkeys_in_test_order"]]
    cases += [Case("checkpoint", each) for each in content["checkpoint_unmarshal"]]
    cases += [
        Case("rfc6962_vkey", old[name]) for name in ("rome_vkey", "argon2024_vkey")
    ]
    return [*cases, Case("rfc6962_note", old["rome_checkpoint"])]


def torchwood_cases() -> list[Case]:
    """Return the `add-checkpoint` bodies of both files."""
    steps = load_json(f"{TORCHWOOD}/add-checkpoint-sequence.json")
    sumdb = load_json(f"{TORCHWOOD}/sumdb-add-checkpoint.json")
    public = steps["log_ed25519_pub_hex"]
    cases = [Case("step", {**each, "public_key": public}) for each in steps["sequence"]]
    return [*cases, Case("sumdb", sumdb)]


def example_cases() -> list[Case]:
    """Return the specifications' own examples of notes and of base64."""
    content = load_json(f"{EXAMPLES}/examples.json")
    names = ("signed_note", "quasimodo", "sigsum_issue99", "canonical_b64_issue348")
    return [Case(name, content[name]) for name in names]
