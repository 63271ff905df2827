"""Every published vector is run by a test, or there is a reason why not."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import support
from support.vectors import REPOSITORY, Claim, Run, Unused, vectors_root


def claims() -> list[Claim]:
    modules = [module.name for module in iter_modules(support.__path__, "support.")]
    return [
        claim
        for name in modules
        if name.startswith("support.vector_claims_")
        for claim in import_module(name).CLAIMS
    ]


def files_of(claim: Claim) -> set[Path]:
    return {path for path in vectors_root().glob(claim.pattern) if path.is_file()}


def runs() -> list[Run]:
    return [claim for claim in claims() if isinstance(claim, Run)]


def test_every_file_is_run_or_has_a_reason_not_to_be() -> None:
    root = vectors_root()
    claimed: set[Path] = set().union(*(files_of(claim) for claim in claims()))
    beside = {root / "README.md"}
    every = {path for path in root.glob("**/*") if path.is_file()}
    unclaimed = sorted(str(path.relative_to(root)) for path in every - claimed - beside)
    assert unclaimed == []


def test_no_file_is_both_run_and_unused() -> None:
    run = set().union(*(files_of(claim) for claim in runs()))
    for claim in claims():
        if isinstance(claim, Unused):
            assert claim.reason
            assert not run & files_of(claim), claim.pattern


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.pattern)
def test_a_claim_speaks_of_files_that_exist(claim: Claim) -> None:
    assert files_of(claim)


@pytest.mark.parametrize("claim", runs(), ids=lambda claim: claim.pattern)
def test_no_vector_is_left_out(claim: Run) -> None:
    holds = len(files_of(claim)) if claim.holds is None else claim.holds
    assert claim.cases() == holds
    test = (REPOSITORY / "tests" / claim.test).read_text()
    assert "record(" in test, f"{claim.test} does not record what it runs"


def test_the_number_of_vectors_is_printed() -> None:
    vectors_root()
    total = sum(claim.cases() for claim in runs())
    print(f"{total} published vectors are run")
    assert total > 0
