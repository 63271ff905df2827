"""A page of commands as steps to play: on which machine, and what comes of it.

Above blocks stand comments, which its readers do not see::

    <!-- on NAME, … -->     the machines on which the blocks that follow are run, up to
                            the next such comment or chapter
    <!-- play: WORDS -->    what happens before the block that follows

`sh` is run, and prints the block `text` that follows, if one does; `console` is what a
terminal shows, commands after `$`; `sql` is given to psql; `nginx` is a part of a
configuration. Every other block is an error: nothing on such a page is only shown.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

LANGUAGES: Final = ("sh", "console", "sql", "nginx")
PLAY: Final = "play"
END: Final = "end"
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
    """Something that is done on machines, and what it is said to print.

    `kind` is a block's language, or PLAY for what happens, or END where a section ends.
    `line` is where it stands in the page.
    """

    kind: str
    code: str
    machines: tuple[str, ...]
    line: int
    prints: str | None = None


def steps(page: Path) -> list[Step]:
    """Return a page's steps in order; `RunbookError` where one cannot be played."""
    text = page.read_text()
    blocks = sum(part["language"] is not None for part in _PART.finditer(text))
    if len(re.findall(r"^[ >]*(```|~~~)", text, re.M)) != 2 * blocks:
        raise RunbookError("there is a block that does not stand by itself")
    return _with_outputs(list(_steps(text)))


def _steps(text: str) -> Iterator[Step]:
    machines: tuple[str, ...] = ()
    for part in _PART.finditer(text):
        line = text.count("\n", 0, part.start()) + 1
        if part["machines"]:
            machines = tuple(part["machines"].split(", "))
        elif part["heading"]:
            yield Step(END, "", (), line)
            if part["heading"] == "##":
                machines = ()
        elif not machines:
            raise RunbookError(f"line {line}: on which machine?")
        elif part["event"]:
            yield Step(PLAY, part["event"], machines, line)
        else:
            yield Step(part["language"], part["code"], machines, line)


def _with_outputs(found: Sequence[Step]) -> list[Step]:
    """Return the steps, each block `text` as what the one before it prints."""
    whole: list[Step] = []
    for step in found:
        if step.kind == "text" and whole and whole[-1].kind == "sh":
            whole[-1] = replace(whole[-1], prints=step.code)
        elif step.kind in (*LANGUAGES, PLAY, END):
            whole.append(step)
        else:
            raise RunbookError(f"line {step.line}: how is this block to be run?")
    return whole
