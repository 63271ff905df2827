"""A page of commands as steps that can be played: on which machine, and what comes of it.

Above blocks stand comments, which its readers do not see::

    <!-- on NAME, … -->     the machines on which the blocks that follow are run, up to
                            the next comment or chapter
    <!-- play: WORDS -->    what happens before the block that follows

`sh` is run, and prints the block `text` that follows, if one does; `console` is what a
terminal shows, commands after `$`; `sql` is given to psql; `nginx` is a part of a
configuration. Every other block is an error: nothing on such a page is only shown.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LANGUAGES: Final = ("sh", "console", "sql", "nginx")
_PART = re.compile(
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$"
    r"|^<!-- on (?P<machines>[\w, ]+) -->$"
    r"|^<!-- play: (?P<event>[\w ]+) -->$"
    r"|^(?P<heading>##+) [^\n]*$",
    re.M | re.S,
)


class RunbookError(Exception):
    """A page that cannot be played; names the line."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done on one of the machines, and what it is said to print.

    `kind` is a block's language, or `play` for what happens, or `end` at the end of a
    section. `line` is where it stands in the page.
    """

    kind: str
    code: str
    machines: tuple[str, ...]
    line: int
    prints: str | None = None


def steps(page: Path) -> list[Step]:
    """Return a page's steps in order; `RunbookError` where one cannot be played."""
    return list(_steps(page.read_text()))


def _steps(text: str) -> Iterator[Step]:
    fences = len(re.findall(r"^[ >]*(```|~~~)", text, re.M))
    if fences != 2 * sum(each["language"] is not None for each in _PART.finditer(text)):
        raise RunbookError("there is a block that does not stand by itself")
    machines: tuple[str, ...] = ()
    pending: Step | None = None
    for part in _PART.finditer(text):
        line = text.count("\n", 0, part.start()) + 1
        if part["language"] == "text":
            if pending is None or pending.kind != "sh":
                raise RunbookError(f"line {line}: the output of nothing that is run")
            yield Step("sh", pending.code, machines, pending.line, part["code"])
            pending = None
            continue
        if pending is not None:
            yield pending
            pending = None
        if part["heading"]:
            yield Step("end", "", machines, line)
            machines = machines if part["heading"] != "##" else ()
        elif part["machines"]:
            machines = tuple(part["machines"].split(", "))
        elif part["event"]:
            yield Step("play", part["event"], _known(machines, line), line)
        elif part["language"] in LANGUAGES:
            where = _known(machines, line)
            pending = Step(part["language"], part["code"], where, line)
        else:
            raise RunbookError(f"line {line}: nobody knows how to run this block")
    if pending is not None:
        yield pending


def _known(machines: tuple[str, ...], line: int) -> tuple[str, ...]:
    if not machines:
        raise RunbookError(f"line {line}: no machine to run this on is named")
    return machines
