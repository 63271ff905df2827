"""Which published vectors of keys, notes, checkpoints and signatures are run."""

from collections.abc import Sequence

from support import note_vectors as vectors
from support.vectors import Claim, Run

_NOTES = "merkle/test_note_vectors.py"
_SIGNATURES = "merkle/test_signature_vectors.py"
_SUNLIGHT = f"{vectors.SUNLIGHT}/{vectors.SUNLIGHT_FOLDER}"


def _sunlight(ending: str) -> int:
    return sum(case.kind.endswith(ending) for case in vectors.sunlight_cases())


def _thesmos(ending: str) -> int:
    return sum(case.kind.endswith(ending) for case in vectors.thesmos_cases())


def _torchwood(kind: str) -> int:
    return sum(case.kind == kind for case in vectors.torchwood_cases())


CLAIMS: Sequence[Claim] = (
    Run(
        f"{vectors.WYCHEPROOF}/testvectors_v1/ed25519_test.json",
        _SIGNATURES,
        lambda: len(vectors.ed25519_cases()),
        holds=151,
    ),
    Run(
        f"{vectors.WYCHEPROOF}/testvectors_v1/mldsa_44_verify_test.json",
        _SIGNATURES,
        lambda: len(vectors.mldsa_cases()),
        holds=180,
    ),
    # Two vkeys, a private key, a note to sign; three notes to open, one without a
    # known key, one false, eight malformed; two bad vkeys and the rule for more.
    Run(
        f"{vectors.GOLANG}/note.json",
        _NOTES,
        lambda: len(vectors.golang_cases()),
        holds=4 + 3 + 1 + 1 + 8 + 2 + 1,
    ),
    # Three notes and a pair of base64 strings; the tile layout is not for notes.
    Run(
        f"{vectors.EXAMPLES}/examples.json",
        _NOTES,
        lambda: len(vectors.example_cases()),
        holds=4,
    ),
    Run(
        f"{vectors.THESMOS}/*policy.txt",
        _NOTES,
        lambda: _thesmos("policy"),
    ),
    Run(f"{vectors.THESMOS}/cosigned.txt", _NOTES, lambda: _thesmos("cosigned")),
    Run(f"{vectors.THESMOS}/extension.txt", _NOTES, lambda: _thesmos("extension")),
    Run(
        f"{vectors.TESSERA}/testdata/log/checkpoint*",
        _NOTES,
        lambda: len(vectors.tessera_cases()),
    ),
    Run(f"{_SUNLIGHT}/**/checkpoint", _NOTES, lambda: _sunlight("checkpoint")),
    Run(f"{_SUNLIGHT}/**/*.v0.json", _NOTES, lambda: _sunlight(".v0.json")),
    Run(f"{_SUNLIGHT}/tree/log.v3.json", _NOTES, lambda: _sunlight("log.v3.json")),
    # Eight cosigners' vkeys, ten texts, two vkeys and a note of RFC 6962 logs. The
    # `get-sth` answer beside them belongs to an HTTP interface that is not spoken here.
    Run(
        f"{vectors.FORMATS}/formats.json",
        _NOTES,
        lambda: len(vectors.formats_cases()),
        holds=8 + 10 + 2 + 1,
    ),
    # Of these conversations with a witness, the notes; what a witness has to answer is
    # asked of ours in server/witness/test_witness_vectors.py.
    Run(
        f"{vectors.TORCHWOOD}/add-checkpoint-sequence.json",
        _NOTES,
        lambda: _torchwood("step"),
        holds=9,
    ),
    Run(
        f"{vectors.TORCHWOOD}/sumdb-add-checkpoint.json",
        _NOTES,
        lambda: _torchwood("sumdb"),
    ),
)
