"""Where published test vectors and sample events lie, and which of them are run.

The folders stand beside the repository (`../shared/vectors`, `../shared/samples`) or
where `PROVLOG_VECTORS` and `PROVLOG_SAMPLES` point. A test that needs one and does not
find it skips, by name.

Every set of vectors is claimed in a module `support/vector_claims_<topic>.py` that
holds ``CLAIMS: Sequence[Claim]``, one `Run` or `Unused` for every file of its folders;
`tests/merkle/test_vectors_coverage.py` finds these modules by their name and compares
them with what the folders hold. A test that runs vectors calls `record` for what it
ran, and the terminal summary prints the sum.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

_run: list[tuple[str, int]] = []


def located(variable: str, name: str) -> Path | None:
    """Return the folder `variable` points at, else `../shared/<name>`; None if absent.

    A variable that is set and points nowhere counts as absent, not as unset.
    """
    chosen = os.environ.get(variable)
    folder = Path(chosen) if chosen else REPOSITORY.parent / "shared" / name
    return folder if folder.is_dir() else None


def vectors_root() -> Path:
    """Return the folder of published vectors, or skip the test (or module)."""
    folder = located("PROVLOG_VECTORS", "vectors")
    if folder is None:
        pytest.skip("vectors: folder absent", allow_module_level=True)
    return folder


def samples_root() -> Path:
    """Return the folder of sample events, or skip the test (or module)."""
    folder = located("PROVLOG_SAMPLES", "samples")
    if folder is None:
        pytest.skip("samples: folder absent", allow_module_level=True)
    return folder


def load_json(path: str) -> Any:  # noqa: ANN401 - each file has its own shape
    """Return the parsed JSON file at `path` below the vectors' root."""
    return json.loads((vectors_root() / path).read_bytes())


def record(folder: str, count: int) -> None:
    """Note that the running test has run `count` vectors of `folder`.

    Call it after the assertions. Only what a passed test recorded is summed up.
    """
    _run.append((folder, count))


def take_recorded() -> list[tuple[str, int]]:
    """Return what was recorded since the last call, and forget it."""
    taken = list(_run)
    _run.clear()
    return taken


@dataclass(frozen=True, slots=True)
class Run:
    """Files whose vectors are run.

    `pattern` is a glob below the vectors' root, `test` the test file that runs them
    (relative to `tests/`), `cases` counts the cases that the loader hands to this test.
    `holds` is how many vectors the files hold, counted by hand and not through the
    loader; None stands for one in each file. `left_out` says which parts of the files
    are not run, and why.
    """

    pattern: str
    test: str
    cases: Callable[[], int]
    holds: int | None = None
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Unused:
    """Files that hold nothing for this project to check, and why."""

    pattern: str
    reason: str


Claim: TypeAlias = Run | Unused
