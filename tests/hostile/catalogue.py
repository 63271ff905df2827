"""The catalogue of lies: every row of the table in docs/threat-model.md."""

from hostile.lie import Lie
from hostile.on_answers import ANSWERS
from hostile.on_files import FILES
from hostile.on_histories import HISTORIES
from hostile.on_keys import KEYS
from hostile.on_leaves import LEAVES
from hostile.on_notes import NOTES
from hostile.on_receipts import FALSE_RECEIPTS
from hostile.on_tiles import TILES
from hostile.on_transport import TRANSPORT

GROUPS: dict[str, tuple[Lie, ...]] = {
    "What the log was and is": HISTORIES,
    "Checkpoints and signatures": NOTES,
    "Answers to submitters and readers": ANSWERS,
    "Receipts": FALSE_RECEIPTS,
    "Tiles and bundles": TILES,
    "Leaves that the log signed": LEAVES,
    "Files, look-ups and records of providers": FILES,
    "Keys, and the end of the log": KEYS,
    "Answers that are none": TRANSPORT,
}
CATALOGUE = tuple(lie for group in GROUPS.values() for lie in group)
