"""Where two signed trees differ, shown by paths of leaves. No I/O.

A leaf's path commits to the roots of the trees that end just before and just behind it
(`answers.prefix_roots`). If one path is in one signed tree and another one in another
tree, and they show two roots of one size, both trees were signed and have no history in
common.
"""

from typing import Final, NamedTuple

from provlog.client.answers import prefix_roots
from provlog.client.errors import printable
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import JsonValue, decode_hash, require_members
from provlog.merkle.errors import MalformedError, ProofError
from provlog.merkle.inclusion import MAX_PROOF_HASHES, root_from_inclusion

MAX_REMARKS: Final = 20

Remarks = tuple[tuple[str, ...], tuple[str, ...]]


class Difference(NamedTuple):
    """At `at` leaves the older tree has `root`, and the newer one `begins`."""

    at: int
    root: bytes
    begins: bytes


def difference_of_paths(
    older: Checkpoint, newer: Checkpoint, in_older: JsonValue, in_newer: JsonValue
) -> Difference | None:
    """Return the first difference that paths of leaves show, None if they show none.

    `in_older` is None where the older tree's own root is what is compared. Raises
    `MalformedError` for what is no path, and for one that could not show anything.
    """
    if in_newer is None:
        return None
    # Whatever a path claims of the older tree's own size, its root is what was signed.
    roots = _roots(in_older, older) | {older.size: older.root}
    begins = _roots(in_newer, newer)
    for size in sorted((roots.keys() & begins.keys()) - {0}):
        root, shown = roots[size], begins[size]
        if root is not None and shown is not None and root != shown:
            return Difference(size, root, shown)
    if in_older is None and older.size not in begins:
        raise MalformedError("evidence: not of the last leaf of the smaller tree")
    return None


def _roots(value: JsonValue, tree: Checkpoint) -> dict[int, bytes | None]:
    """Return the roots that a path shows, by size; None for each if it shows none."""
    if value is None:
        return {}
    names = ("index", "leaf_hash", "hashes")
    path = require_members(value, names, (), "evidence: inclusion")
    index, hashes = path["index"], path["hashes"]
    leaf = parse_hash(path["leaf_hash"])
    if not isinstance(hashes, list) or len(hashes) > MAX_PROOF_HASHES:
        raise MalformedError(f"evidence: not a list of {MAX_PROOF_HASHES} hashes")
    if type(index) is not int or not 0 <= index < tree.size:
        raise MalformedError("evidence: not the index of a leaf of the tree")
    decoded = [parse_hash(each) for each in hashes]
    root: bytes | None
    try:
        root = root_from_inclusion(index, tree.size, leaf, decoded)
    except ProofError:
        root = None
    if root != tree.root:
        return {index: None, index + 1: None}
    return dict(prefix_roots(index, tree.size, leaf, decoded))


def parse_hash(value: JsonValue) -> bytes:
    """Return a hash in evidence, or raise `MalformedError`."""
    if not isinstance(value, str):
        raise MalformedError("evidence: a hash is not a string")
    return decode_hash(value, "evidence: hash")


def parse_remarks(value: JsonValue) -> Remarks:
    """Return who is said to have shown the two checkpoints: unsigned, but printable."""
    if value is None:
        return (), ()
    both = require_members(value, ("older", "newer"), (), "evidence: shown_by")
    return _names(both["older"]), _names(both["newer"])


def _names(value: JsonValue) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_REMARKS:
        raise MalformedError(f"evidence: shown_by is a list of {MAX_REMARKS} at most")
    return tuple(printable(_text(each)) for each in value)


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise MalformedError("evidence: shown_by holds something that is not a string")
    return value
