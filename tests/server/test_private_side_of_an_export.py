"""A private side that is not its leaves' is refused, whoever authenticated it."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from provlog.server.errors import ConfigurationError, DamagedError
from provlog.server.instance import Instance, load_instance
from support.checked_instance import check, make_checked_instance
from support.exports import export, line_of, move, opened, rewrite_line

Line = dict[str, Any]
EVENT = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    yield await make_checked_instance(tmp_path_factory.mktemp("house"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exported(
    house: Instance, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Path]:
    folder = tmp_path_factory.mktemp("exported") / "main"
    await export(house, folder)
    yield folder


def without_one(line: Line, _: Line) -> None:
    line["disclosures"].pop()


def twice(line: Line, _: Line) -> None:
    line["disclosures"].append(line["disclosures"][0])


def of_another(line: Line, other: Line) -> None:
    line["disclosures"] = other["disclosures"]


def not_ascii(line: Line, _: Line) -> None:
    line["disclosures"][0] = "Zoë"


def joined(line: Line, _: Line) -> None:
    first, second, *rest = line["disclosures"]
    line["disclosures"] = [f"{first}~{second}", *rest]


def short_key(line: Line, _: Line) -> None:
    line["compare_key"] = "AAAA"


def no_digest(line: Line, _: Line) -> None:
    del line["compare_digest"]


def other_nonce(line: Line, other: Line) -> None:
    line["openings"]["nonce"] = other["openings"]["nonce"]


def short_nonce(line: Line, _: Line) -> None:
    line["openings"]["nonce"] = "AAAA"


def no_labels(line: Line, _: Line) -> None:
    line["openings"]["labels"] = []


def short_label(line: Line, _: Line) -> None:
    line["openings"]["labels"][0]["label"] = "AAAA"


def unknown_kind(line: Line, _: Line) -> None:
    line["openings"]["labels"][0]["kind"] = 3


def other_index(line: Line, _: Line) -> None:
    line["index"] += 1


def unknown_member(line: Line, _: Line) -> None:
    line["more"] = 1


def a_number(line: Line, _: Line) -> None:
    line["disclosures"] = 7


@pytest.mark.parametrize(
    "alter",
    [
        without_one,
        twice,
        of_another,
        not_ascii,
        joined,
        short_key,
        no_digest,
        other_nonce,
        short_nonce,
        no_labels,
        short_label,
        unknown_kind,
        other_index,
        unknown_member,
        a_number,
    ],
)
async def test_it_has_to_fit_the_leaf(
    house: Instance,
    exported: Path,
    tmp_path: Path,
    alter: Callable[[Line, Line], None],
) -> None:
    folder = tmp_path / "to"
    shutil.copytree(exported, folder)
    line = line_of(folder, EVENT)
    alter(line, line_of(folder, EVENT + 1))
    rewrite_line(house, folder, EVENT, line)
    with pytest.raises((DamagedError, ConfigurationError)) as found:
        await move(opened(house, folder), tmp_path)
    assert "private.ndjson" in str(found.value)
    assert "Zoë" not in str(found.value)
    assert not (tmp_path / "data").exists()


async def test_entries_without_members_disclose_nothing(
    house: Instance, exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "to"
    shutil.copytree(exported, folder)
    rewrite_line(house, folder, 0, {"index": 0, "disclosures": []})
    with pytest.raises(DamagedError, match="kind params discloses nothing"):
        await move(opened(house, folder), tmp_path)


async def test_what_was_erased_stays_erased(
    house: Instance, exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "to"
    shutil.copytree(exported, folder)
    rewrite_line(house, folder, EVENT, {"index": EVENT})
    await move(opened(house, folder), tmp_path)
    found = {item.table for item in check(load_instance(tmp_path / "data", None))}
    # No entry of this log says that it was erased, and fsck goes on to say so.
    assert found == {"private", "openings"}
