"""Every lie of the catalogue is told to every tool, and becomes what the row says."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hostile.catalogue import CATALOGUE, GROUPS
from hostile.desk import CAUGHT, FINE, Desk, Outcome, waiting
from hostile.liar import HONEST, Liar, Telltale
from hostile.lie import Lie, is_said
from hostile.table import PAGE, section, shown
from hostile.tools import TOOLS
from hostile.worlds import KNOWN

WHOLE = os.environ.get("PROVLOG_TEST_WHOLE_CATALOGUE") == "1"
"""Whether lies are told to those as well who should not meet them."""

ENOUGH = 100 << 20
"""More than any tool takes of an answer without end; the most is 64 MiB."""


def tell(liar: Liar, told: Telltale, tool: str, folder: Path) -> tuple[Desk, Outcome]:
    """Let one tool meet a lie, and return how that ended."""
    liar.lie, liar.told, liar.sent = told, 0, 0
    stranger = told.fresh or told.log != "main"
    seen = None if stranger else liar.world.notes[KNOWN]
    desk = Desk(liar, folder / tool, seen)
    with waiting(told):
        return desk, TOOLS[tool](desk)


@pytest.mark.parametrize("log", ["main", "rotated"])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_that_is_told_the_truth_is_fine(
    tool: str, log: str, liar: Liar, tmp_path: Path
) -> None:
    truth = replace(HONEST, log=log, taught=log != "main")
    desk, outcome = tell(liar, truth, tool, tmp_path)
    assert (outcome.code, liar.told, desk.evidence) == (FINE, 0, []), outcome.text


@pytest.mark.parametrize("lie", CATALOGUE, ids=lambda lie: lie.name)
def test_a_lie_is_caught_where_the_catalogue_says(
    lie: Lie, liar: Liar, tmp_path: Path
) -> None:
    for tool in TOOLS:
        if lie.expected(tool)[0] == "unmet" and not WHOLE:
            continue
        desk, outcome = tell(liar, lie.told, tool, tmp_path)
        require(lie, tool, outcome, liar.told)
        assert liar.sent <= ENOUGH
        assert liar.stolen == 0
        require_evidence(lie, desk)


def require(lie: Lie, tool: str, outcome: Outcome, told: int) -> None:
    """Fail unless the tool did what the row says."""
    what, text = lie.expected(tool)
    seen = (tool, outcome, told)
    if what == "caught":
        assert outcome.code == CAUGHT, seen
        assert told, seen
    elif what == "said":
        assert outcome.code != CAUGHT, seen
    else:
        assert outcome.code == FINE, seen
        # One that is told nothing false has not met the lie, and is not blind to it.
        assert (told > 0) == (what == "blind"), seen
    assert is_said(text, outcome.text), seen


def require_evidence(lie: Lie, desk: Desk) -> None:
    """Fail unless what was kept convicts the log where the row says so, and only there.

    What somebody on the way can make up must never convict a log.
    """
    judged = [desk.command("verify", each) for each in desk.evidence]
    convicted = [each for each in judged if "CONVICTED" in each.text]
    assert all(each.code == 1 for each in judged)
    if lie.blame == "the log, convicted":
        assert len(convicted) == len(judged)
    else:
        assert convicted == []


def test_the_page_shows_the_catalogue() -> None:
    # To write it anew: make lies
    assert shown(PAGE.read_text()) == section()


def test_every_row_has_a_name_of_its_own_and_names_tools() -> None:
    names = [lie.name for lie in CATALOGUE]
    assert len({*names}) == len(names) == sum(map(len, GROUPS.values()))
    for lie in CATALOGUE:
        named = " ".join([*lie.caught, *lie.said, lie.blind]).split()
        assert set(named) <= TOOLS.keys()
        assert len(set(named)) == len(named), lie.name
