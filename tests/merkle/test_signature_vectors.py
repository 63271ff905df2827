"""Wycheproof's signatures through the project's own keys: each accepted or refused."""

from collections.abc import Callable

import pytest

from provlog.merkle.errors import MerkleError
from provlog.merkle.keys import VerifierKey
from support.note_vectors import (
    WYCHEPROOF,
    SignatureCase,
    ed25519_cases,
    mldsa_cases,
)
from support.vectors import record


def accepts(case: SignatureCase) -> bool:
    try:
        key = VerifierKey("wycheproof", case.key_type, case.public_key)
        key.verify(case.message, case.signature)
    except MerkleError:
        return False
    return True


def is_true(case: SignatureCase) -> bool:
    # A cosignature's context is empty: what was signed under another is false here.
    return case.result == "valid" and not case.context


@pytest.mark.parametrize("load", [ed25519_cases, mldsa_cases])
def test_true_signatures_are_accepted_and_all_others_refused(
    load: Callable[[], list[SignatureCase]],
) -> None:
    cases = load()
    assert {case.result for case in cases} <= {"valid", "invalid"}
    wrong = [case.number for case in cases if accepts(case) != is_true(case)]
    assert wrong == []
    record(WYCHEPROOF, len(cases))
