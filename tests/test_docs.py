"""What the documents say is what the code does: names, tables, links, examples."""

import json
import re
from pathlib import Path

import click
import pytest
from msgspec.structs import fields

from provlog.client.cli import cli
from provlog.client.records import FORMATS
from provlog.merkle.entries import KINDS
from provlog.server.cli import commands
from provlog.server.cli.init import DEV_SOURCE
from provlog.server.http.problems import PROBLEMS
from provlog.server.intake.connectors import (
    CONNECTORS,
    auth0,
    decode_records,
    entra,
    google,
    jumpcloud,
    keycloak,
    okta,
    onelogin,
    scim,
    secevent_types,
)
from provlog.server.intake.connectors.okta import _RESULTS
from provlog.server.intake.event import Event, parse_event
from provlog.server.moving.backup import MANIFEST as BACKUP_MANIFEST
from provlog.server.moving.backup import Backup
from provlog.server.moving.manifest import MAC, MANIFEST, PRIVATE_FILES
from provlog.server.moving.manifest import _Manifest as ExportManifest
from provlog.server.moving.private_side import (
    CursorLine,
    EntryLine,
    LabelLine,
    OpeningsLine,
    SourceLine,
    TokenLine,
)
from provlog.server.moving.tree_files import CHECKPOINT
from provlog.server.scim_proxy.figures import Figures
from provlog.server.witness.figures import WitnessFigures
from support.doc_examples import PAGE, examples, shown
from support.events import NOW_MS, read_all
from support.services import make_instance, running
from support.vectors import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(
    path
    for path in (
        *REPOSITORY.glob("*.md"),
        *DOCS.glob("*.md"),
        *DOCS.glob("*/*.md"),
        *REPOSITORY.glob("*/*.md"),
    )
    if ".venv" not in path.parts
)
_LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
# The types of each provider, by the name of its page in docs/connect.
TABLES = {
    "auth0": auth0.TYPES,
    "jumpcloud": jumpcloud.TYPES,
    "entra": entra.TYPES,
    "google": google.TYPES,
    "keycloak": keycloak.TYPES,
    "okta": okta.TYPES,
    "onelogin": onelogin.TYPES,
    "scim-proxy": scim.TYPES,
    "security-event-tokens": secevent_types.TYPES,
}
# Pages that are not named as their connector.
PAGE_OF: dict[str, str] = {"scim": "scim-proxy", "set": "security-event-tokens"}
SINGLE = [
    name
    for name, each in commands.commands.items()
    if not isinstance(each, click.Group)
]


def rows(page: str) -> list[tuple[str, str]]:
    """Return the first two cells of every row of a page's tables, without backticks."""
    lines = (DOCS / page).read_text().splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    return [(row[0].strip(" `"), row[1].strip(" `")) for row in cells]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target
        if anchor:
            pointed = page.parent / target if target else page
            assert anchor in anchors(pointed), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return what headings of a page can be pointed at by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    words = (re.sub(r"[^a-z0-9 _-]", "", each.lower()) for each in headings)
    return {each.replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_page_holds_two_versions_of_a_line(page: Path) -> None:
    marks = re.compile(r"^(?:<{7} |={7}$|>{7} )", re.MULTILINE)
    assert not marks.search(page.read_text())


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in sorted(DOCS.glob("adr/*.md"))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    for path in DOCS.glob("adr/*.md"):
        assert path.read_text().startswith(f"# {path.name[:4]}: "), path


def documented_options(section: str) -> set[str]:
    """Return the options in a section of the reference's."""
    text = (DOCS / "reference.md").read_text()
    [found] = re.findall(rf"^##+ {section}\n(.*?)(?=^##)", text, re.M | re.S)
    named = re.findall(r"^\| (`--.*?) \|", found, re.M)
    return {option for cell in named for option in re.findall(r"`(--[a-z-]+)`", cell)}


def test_the_examples_of_formats_are_what_the_code_makes() -> None:
    # To write them anew: python tests/support/doc_examples.py
    assert shown(PAGE.read_text()) == examples()


def test_every_kind_of_entry_is_documented() -> None:
    named = {name for name, _ in rows("formats.md")}
    assert set(KINDS) - {"event"} <= named


async def test_every_metric_is_documented(tmp_path: Path) -> None:
    names = set()
    async with running(await make_instance(tmp_path)) as (service, _):
        Figures(service.metrics.registry)
        WitnessFigures(service.metrics.registry)
        families = list(service.metrics.registry.collect())
    for family in families:
        suffix = "_total" if family.type == "counter" else ""
        names.add(family.name + suffix)
    documented = {
        name for name, _ in rows("reference.md") if name.startswith("provlog_")
    }
    assert documented == names


def test_every_problem_is_documented_with_its_status() -> None:
    documented = dict(rows("reference.md"))
    for slug, (status, _) in PROBLEMS.items():
        assert documented.get(slug) == str(status), slug


@pytest.mark.parametrize("name", SINGLE)
def test_every_option_of_the_server_is_documented(name: str) -> None:
    options = {
        option
        for parameter in commands.commands[name].params
        for option in parameter.opts
        if option.startswith("--")
    }
    own = documented_options(name)
    assert own <= options
    assert options - own <= documented_options("Options")


def test_the_lines_of_an_export_are_documented() -> None:
    text = (DOCS / "export-format.md").read_text()
    for kind in (
        *(EntryLine, OpeningsLine, LabelLine, SourceLine, CursorLine, TokenLine),
        *(ExportManifest, Backup),
    ):
        for name in (each.name for each in fields(kind)):
            assert f"`{name}`" in text, (kind, name)
    for name in (*PRIVATE_FILES, MANIFEST, MAC, CHECKPOINT, BACKUP_MANIFEST):
        assert f"`{name}`" in text, name


def test_every_command_explains_itself_with_an_example() -> None:
    for group, name in ((commands, "provlog-server"), (cli, "provlog")):
        for command in group.commands.values():
            assert command.help
            if name == "provlog" and not isinstance(command, click.Group):
                assert f"{name} {command.name}" in command.help


@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_table_of_a_provider_s_types_is_the_connector_s(name: str) -> None:
    text = (DOCS / "connect" / f"{name}.md").read_text()
    [section] = re.findall(
        r"^## What becomes of each type\n(.*?)(?=^## |\Z)", text, re.M | re.S
    )
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip(" `") for cell in line.split("|")[1:3]] for line in lines]
    assert cells == [[native, ours] for native, ours in sorted(TABLES[name].items())]


def test_every_connector_has_a_page_and_a_line() -> None:
    named = dict(rows("connectors.md"))
    for name in CONNECTORS:
        assert f"(connect/{PAGE_OF.get(name, name)}.md)" in named[name]


def test_the_help_of_submit_lists_every_connector() -> None:
    assert list(FORMATS) == sorted(CONNECTORS)


def test_the_results_of_okta_are_the_connector_s() -> None:
    documented = dict(rows("connect/okta.md"))
    for native, ours in _RESULTS.items():
        assert documented[native] == ours


def test_every_module_has_a_place_on_the_map() -> None:
    text = (DOCS / "architecture.md").read_text()
    for part in ("merkle", "client", "server"):
        for path in (REPOSITORY / part / "src" / "provlog" / part).iterdir():
            if path.suffix == ".py" and not path.name.startswith("__"):
                assert f"`{path.stem}`" in text, path
            elif path.is_dir() and path.name != "__pycache__":
                assert f"`{path.name}/`" in text, path


def test_the_example_events_are_valid() -> None:
    for path in DOCS.glob("examples/*"):
        if "okta" in path.name:
            continue
        raw = path.read_text()
        texts = [raw] if path.suffix == ".json" else raw.splitlines()
        for text in texts:
            event = parse_event(json.loads(text), now_ms=NOW_MS)
            assert event.source == DEV_SOURCE
            assert event.flags == ()


def test_the_example_records_of_okta_show_what_the_connector_does() -> None:
    body = (DOCS / "examples" / "okta-system-log.ndjson").read_bytes()
    submission = decode_records(CONNECTORS["okta"], body, "urn:okta:demo", NOW_MS)
    read = read_all(submission)
    events = [event for event in read if isinstance(event, Event)]
    types = [event.type for event in events]
    assert len(events) == len(read) == len(body.splitlines()) + 1
    assert types[2:4] == ["group.member.add"] * 2
    assert any(event.id.startswith("sha256:") for event in events)
    assert any(event.type.startswith("other.") for event in events)
