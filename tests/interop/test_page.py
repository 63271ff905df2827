"""docs/interoperability.md has every difference that is tested, and the versions."""

import re
from pathlib import Path

from support.interop import HOME

PAGE = (HOME.parents[1] / "docs" / "interoperability.md").read_text()
NOTES = HOME.parent / "support" / "interop_notes.py"
GO_MOD = (HOME / "go" / "go.mod").read_text()
DIRECT = (
    "golang.org/x/mod",
    "github.com/transparency-dev/formats",
    "github.com/transparency-dev/merkle",
    "github.com/transparency-dev/tessera",
    "github.com/transparency-dev/witness",
)


def test_the_page_names_the_versions_that_are_built() -> None:
    for module in DIRECT:
        found = re.search(rf"{re.escape(module)} (v\S+)", GO_MOD)
        assert found, module
        assert re.search(rf"\| {re.escape(module)}.* \| {found[1]} \|", PAGE), module


def test_the_page_has_the_differences_that_the_tests_have() -> None:
    documented = set(re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, re.MULTILINE))
    paths = [*Path(__file__).parent.glob("*.py"), NOTES]
    tests = "".join(path.read_text() for path in paths)
    named = set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)+)"', tests))
    assert documented <= named, documented - named
    differences = re.findall(r'Difference\(\s*"([a-z0-9-]+)"', tests)
    assert differences
    assert set(differences) <= documented
