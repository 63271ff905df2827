"""Published good and bad proofs (transparency-dev/merkle)."""

from collections.abc import Callable

import pytest

from provlog.merkle.consistency import verify_consistency
from provlog.merkle.errors import ProofError
from provlog.merkle.inclusion import verify_inclusion
from provlog.merkle.subtrees import (
    verify_subtree_consistency,
    verify_subtree_inclusion,
)
from support.vector_claims_tree import ProofCase, proof_cases
from support.vectors import record

FOLDER = "transparency-dev-merkle"


def check(case: ProofCase, verify: Callable[..., None], *arguments: object) -> None:
    if case.bad:
        with pytest.raises(ProofError):
            verify(*arguments)
    else:
        verify(*arguments)
    record(FOLDER, 1)


@pytest.mark.parametrize("case", proof_cases("inclusion"), ids=lambda case: case.name)
def test_inclusion_proofs_are_judged_as_published(case: ProofCase) -> None:
    check(
        case,
        verify_inclusion,
        case.numbers["leafIdx"],
        case.numbers["treeSize"],
        case.hashes["leafHash"],
        case.proof,
        case.hashes["root"],
    )


@pytest.mark.parametrize("case", proof_cases("consistency"), ids=lambda case: case.name)
def test_consistency_proofs_are_judged_as_published(case: ProofCase) -> None:
    check(
        case,
        verify_consistency,
        case.numbers["size1"],
        case.hashes["root1"],
        case.numbers["size2"],
        case.hashes["root2"],
        case.proof,
    )


@pytest.mark.parametrize(
    "case", proof_cases("subtreeinclusion"), ids=lambda case: case.name
)
def test_subtree_inclusion_proofs_are_judged_as_published(case: ProofCase) -> None:
    check(
        case,
        verify_subtree_inclusion,
        case.numbers["leafIdx"],
        case.numbers["start"],
        case.numbers["end"],
        case.hashes["leafHash"],
        case.proof,
        case.hashes["root"],
    )


@pytest.mark.parametrize(
    "case", proof_cases("subtreeconsistency"), ids=lambda case: case.name
)
def test_subtree_consistency_proofs_are_judged_as_published(case: ProofCase) -> None:
    check(
        case,
        verify_subtree_consistency,
        case.numbers["start"],
        case.numbers["end"],
        case.hashes["root1"],
        case.numbers["size"],
        case.hashes["root2"],
        case.proof,
    )
