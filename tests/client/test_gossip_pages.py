"""What docs/gossip.md and docs/rules.md say is what the code does."""

import re
import tomllib

import pytest

from provlog.client.cli.comparing import _EXIT
from provlog.client.cli.comparing_telling import _SAID
from provlog.client.comparing import MAX_SPLITS
from provlog.client.comparing_files import _PATTERNS, MAX_FILE, MAX_FILES
from provlog.client.comparing_places import MANY
from provlog.client.comparing_proofs import MAX_ASKED
from provlog.client.comparing_run import MAX_PLACES
from provlog.client.rules.parsing import (
    _CONDITIONS,
    _PLAIN,
    MAX_RULES,
    MAX_RULES_FILE,
    parse_rules,
)
from provlog.client.rules.patterns import MAX_PATTERN, MAX_PATTERNS
from provlog.client.rules.remembering import MAX_COUNTERS, MAX_REMEMBERED
from support.vectors import REPOSITORY

GOSSIP = (REPOSITORY / "docs" / "gossip.md").read_text()
RULES = (REPOSITORY / "docs" / "rules.md").read_text()


def first_cells(page: str) -> list[str]:
    """Return the first cell of every row of a page's tables."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    return [line.strip("|").split("|")[0] for line in lines]


def test_every_verdict_is_documented_with_its_exit_code() -> None:
    said = dict(re.findall(r"^\| `([a-z ]+)` \| ([0-9]) \|", GOSSIP, re.M))
    assert {name: int(code) for name, code in said.items()} == _EXIT
    assert _SAID.keys() == _EXIT.keys()


def test_the_example_of_rules_is_read() -> None:
    [example] = re.findall(r"```toml\n(.*?)```", RULES, re.S)
    rules = parse_rules(example)
    used = {name for rule in tomllib.loads(example)["rule"] for name in rule}
    assert {"outside", "reenabled", "burst", "late", "ticket_unlike"} <= used
    assert len(rules) == 8


def test_every_member_of_a_rule_is_documented() -> None:
    cells = [cell for cell in first_cells(RULES) if "`" in cell]
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(_PLAIN | _CONDITIONS.keys())


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (GOSSIP, f"{MAX_FILES:,} files"),
        (GOSSIP, f"{MAX_FILE >> 20} MiB"),
        (GOSSIP, f"{MAX_PLACES} URLs"),
        (GOSSIP, f"{MAX_ASKED:,}"),
        (GOSSIP, f"more than {MANY},"),
        (GOSSIP, "the first ten"),
        (RULES, f"{MAX_RULES} rules and {MAX_RULES_FILE >> 10} KiB"),
        (RULES, f"{MAX_PATTERNS:,} patterns of {MAX_PATTERN} characters"),
        (RULES, f"{MAX_REMEMBERED:,}"),
        (RULES, f"{MAX_COUNTERS:,} keys"),
    ],
)
def test_bounds_are_those_of_the_code(page: str, words: str) -> None:
    assert words in page
    assert MAX_SPLITS == 10


def test_every_name_of_a_file_that_is_read_is_documented() -> None:
    for pattern in _PATTERNS:
        assert f"`{pattern.rpartition('/')[2]}`" in GOSSIP, pattern
