"""The table of lies in docs/threat-model.md, made of the catalogue.

    python tests/hostile/table.py           prints it
    python tests/hostile/table.py --write   writes it into the page

What it says of tools was seen: each row is a test that ran (`test_catalogue`).
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile.catalogue import CATALOGUE, GROUPS
from hostile.lie import ALL, ONLINE, SUBMITTERS, Lie, Said
from hostile.on_witnesses import WITNESSES

PAGE: Final = Path(__file__).parents[2] / "docs" / "threat-model.md"
BEGIN: Final = "<!-- the catalogue of lies: make lies -->\n"
END: Final = "<!-- the end of the catalogue -->\n"
_GROUPS: Final = (
    (f"{ALL}", "all"),
    (f"{ONLINE} compare", "all but `verify`"),
    (f"{ONLINE} verify", "all but `compare`"),
    (ONLINE, "all but `verify` and `compare`"),
)


def section() -> str:
    """Return what stands between the marks."""
    lines = [_summary()]
    for name, lies in GROUPS.items():
        lines += ["", f"### {name}", "", "| a log that | is caught by | blame |"]
        lines += ["|---|---|---|"]
        lines += [_row(lie) for lie in lies]
    lines += ["", "### Witnesses that lie to the log", ""]
    lines += [
        "| a witness that | `provlog-server serve` logs | blame |",
        "|---|---|---|",
    ]
    lines += [f"| {lie.what} | “{lie.said}” | the witness |" for lie in WITNESSES]
    return "\n".join(lines) + "\n\n"


def _summary() -> str:
    caught = sum(bool(lie.caught) for lie in CATALOGUE)
    said = sum(bool(lie.said) and not lie.caught for lie in CATALOGUE)
    return (
        f"{len(CATALOGUE)} lies of a log: {caught} make a command fail, {said} more are"
        f" told of, and {len(CATALOGUE) - caught - said} are seen by none of them. And"
        f" {len(WITNESSES)} of a witness, one of three, of whom two suffice: the log"
        " goes on."
    )


def _row(lie: Lie) -> str:
    cells = [*_said(lie.caught), *(f"told by {each}" for each in _said(lie.said))]
    if lie.blind:
        cells.append(f"not seen by {_tools(lie.blind)}")
    if lie.remark:
        cells.append(lie.remark)
    return f"| {lie.what} | {'; '.join(cells)} | {lie.blame} |"


def _said(said: Said) -> Iterator[str]:
    for tools, text in said.items():
        yield f"{_tools(tools)}: “{text.replace('|', ' ')}”"


def _tools(names: str) -> str:
    wanted = set(names.split())
    for group, shown_as in _GROUPS:
        if wanted == set(group.split()):
            return shown_as
    listed = [_tool(each) for each in names.split()]
    if wanted >= set(SUBMITTERS.split()):
        rest = [each for each in names.split() if each not in SUBMITTERS.split()]
        listed = ["submitters", *map(_tool, rest)]
    return ", ".join(listed)


def _tool(name: str) -> str:
    return "`monitor --full`" if name == "full" else f"`{name}`"


def shown(page: str) -> str:
    """Return what a page has between the marks."""
    return page.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Print the section, or write it into the page."""
    if "--write" not in sys.argv[1:]:
        print(section())
        return
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{section()}{END}{after}")


if __name__ == "__main__":
    main()
