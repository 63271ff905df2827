"""Patterns for names, ids, types and tickets: ``*``, ``?`` and ``[0-9]``, as in shells.

They are anchored at both ends and never backtrack into what a ``*`` has passed (the
translation uses atomic groups), so no value makes one slow.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from unicodedata import normalize

MAX_PATTERN: Final = 256
MAX_PATTERNS: Final = 1000

_MAGIC: Final = re.compile(r"[*?\[]")
_ID: Final = "id:"
_NAME: Final = "name:"


def fold(text: str) -> str:
    """Return a name in the form in which names are compared: NFC, no case."""
    return normalize("NFC", normalize("NFC", text).casefold())


@dataclass(frozen=True, slots=True)
class Globs:
    """Some patterns; `folded` ones are compared without regard to case."""

    patterns: tuple[str, ...]
    folded: bool = False
    _exact: frozenset[str] = field(init=False, repr=False)
    _globs: tuple[re.Pattern[str], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        made = [self._form(each) for each in self.patterns]
        exact = frozenset(each for each in made if not _MAGIC.search(each))
        globs = (each for each in made if _MAGIC.search(each))
        object.__setattr__(self, "_exact", exact)
        compiled = tuple(re.compile(fnmatch.translate(each)) for each in globs)
        object.__setattr__(self, "_globs", compiled)

    def match(self, text: str) -> bool:
        """Tell whether one of the patterns is all of `text`."""
        formed = self._form(text)
        if formed in self._exact:
            return True
        return any(each.match(formed) for each in self._globs)

    def _form(self, text: str) -> str:
        return fold(text) if self.folded else normalize("NFC", text)


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of parties or resources: ids, which are exact, and names, without case.

    ``id:…`` is held against ids alone, ``name:…`` against names alone, anything else
    against both.
    """

    patterns: tuple[str, ...]
    ids: Globs = field(init=False)
    names: Globs = field(init=False)

    def __post_init__(self) -> None:
        ids = tuple(_cut(self.patterns, _ID, _NAME))
        names = tuple(_cut(self.patterns, _NAME, _ID))
        object.__setattr__(self, "ids", Globs(ids))
        object.__setattr__(self, "names", Globs(names, folded=True))


def _cut(patterns: Sequence[str], own: str, other: str) -> Iterable[str]:
    return (each.removeprefix(own) for each in patterns if not each.startswith(other))
