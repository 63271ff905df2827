"""What a row of the catalogue is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from hostile.liar import Telltale

Blame: TypeAlias = Literal[
    "the log, convicted",
    "the log",
    "the log or the witness",
    "who answered",
    "nobody",
]

SUBMITTERS: Final = "submit AsyncClient Outbox"
HEADS: Final = "checkpoint monitor full audit gaps"
"""Those who ask for the checkpoint before anything else."""
AUDITS: Final = "full audit gaps"
ONLINE: Final = f"{SUBMITTERS} checkpoint entry proof monitor full audit gaps"
RECEIPTS: Final = f"{SUBMITTERS} entry verify"
"""Those who see the receipt of an entry."""
ALL: Final = (
    f"{SUBMITTERS} checkpoint entry proof verify monitor full audit gaps compare"
)
UNREAD: Final = f"{SUBMITTERS} checkpoint entry proof verify monitor"
"""Those who do not read all entries, and see little of what stands in them."""

NOT_ONE: Final = "signed checkpoints of size … and … are not of one history"
SPLIT: Final = "SPLIT VIEW: the log signed two histories"
NO_PROOF: Final = (
    "the log does not prove that its tree of … leaves begins with that of …"
)
NOT_PROVED: Final = "NOT PROVED: the log owes a proof and does not give it"
STALE: Final = (
    "stale: serves its tree of … entries, having signed …; "
    "it is an older head of the same log"
)
MISSED: Final = "STALE: the log serves its tree of … entries, having signed …:"
REPLACED: Final = "signed only by key …, which the log's entry … replaced"
NO_PATH: Final = "inclusion of leaf … in …: another root"

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

    def expected(self, tool: str) -> tuple[str, str]:
        """Return what a tool does (`caught`, `said`, `blind`, `unmet`), and says."""
        for what, said in (("caught", self.caught), ("said", self.said)):
            for tools, text in said.items():
                if tool in tools.split():
                    return what, text
        return ("blind" if tool in self.blind.split() else "unmet"), ""


def is_said(words: str, text: str) -> bool:
    """Tell whether words of the catalogue stand in what a tool said."""
    parts = map(re.escape, words.split("…"))
    return re.search(".*?".join(parts), text, re.DOTALL) is not None
