"""What a row of the catalogue is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from hostile.liar import Telltale

Blame: TypeAlias = Literal["the log, convicted", "the log", "who answered", "nobody"]

Said: TypeAlias = Mapping[str, str]
"""Names of tools with blanks between them, and what they say: words in their order,
with `…` where something is left out."""


@dataclass(frozen=True, slots=True)
class Lie:
    """One lie, and what becomes of it.

    `name` is for the tests, `what` for the reader of the table. `caught` are the tools
    that fail by it (exit code 1, or a `MerkleError`), `said` those that say something
    of it and end otherwise, `blind` those that are told it and say nothing. All others
    do not meet it. `blame` is whom it convicts: what stands in something the log signed
    is the log's; what it did not sign may be of anybody on the way.
    """

    name: str
    what: str
    told: Telltale
    blame: Blame
    caught: Said = field(default_factory=dict)
    said: Said = field(default_factory=dict)
    blind: str = ""
    remark: str = ""
