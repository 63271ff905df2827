"""Compact ranges: a contiguous range of leaves as the few hashes that stand for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from provlog.merkle.hashing import are_hashes, fold_right, hash_pairs, node_hash
from provlog.merkle.nodes import Hashes, Node, decompose


class Row(NamedTuple):
    """Hashes of neighbouring nodes of one level; the first has index `first`."""

    first: int
    hashes: list[bytes]


def completed_rows(known: Hashes, end: int, leaf_hashes: Sequence[bytes]) -> list[Row]:
    """Return, level by level, the nodes completed by leaves that follow leaf `end` - 1.

    `known` holds the nodes of a compact range that ends at `end`; nothing that reaches
    to the left of it is completed. Row 0 is the leaves; there are no empty rows.
    """
    rows: list[Row] = []
    row = Row(end, list(leaf_hashes))
    while row.hashes:
        rows.append(row)
        row = _parents(known, len(rows) - 1, row)
    return rows


def _parents(known: Hashes, level: int, row: Row) -> Row:
    first, hashes = row
    if first % 2:
        left = known.get(Node(level, first - 1))
        if left is None:
            # The range starts inside the parent, which therefore never completes.
            first, hashes = first + 1, hashes[1:]
        else:
            first, hashes = first - 1, [left, *hashes]
    return Row(first // 2, hash_pairs(hashes))


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The leaves ``[start, end)`` as the hashes of ``decompose(start, end)``.

    Immutable: `append`, `extend` and `merge` return new ranges. Raises `ValueError` for
    a range or a number of hashes that cannot be.
    """

    start: int
    end: int
    hashes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if len(self.hashes) != len(decompose(self.start, self.end)):
            raise ValueError(f"{len(self.hashes)} hashes do not make this range")
        if not are_hashes(self.hashes):
            raise ValueError("a hash is not 32 bytes long")

    @classmethod
    def empty(cls, start: int = 0) -> Self:
        """Return the range without leaves that stands before leaf `start`."""
        return cls(start, start, ())

    def nodes(self) -> dict[Node, bytes]:
        """Return the hashes of the range by their coordinates, from left to right."""
        return dict(zip(decompose(self.start, self.end), self.hashes, strict=True))

    def append(self, leaf_hash: bytes) -> Self:
        """Return the range with one more leaf on its right."""
        return self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Sequence[bytes]) -> Self:
        """Return the range with more leaves on its right."""
        known = self.nodes()
        rows = completed_rows(known, self.end, leaf_hashes)
        end = self.end + len(leaf_hashes)
        hashes = []
        for node in decompose(self.start, end):
            held = known.get(node)
            if held is None:
                first, row = rows[node.level]
                held = row[node.index - first]
            hashes.append(held)
        return type(self)(self.start, end, tuple(hashes))

    def merge(self, right: "CompactRange") -> Self:
        """Return the range that covers this one and `right`, which starts at its end.

        Raises `ValueError` when the two do not touch.
        """
        if right.start != self.end:
            raise ValueError(f"[…, {self.end}) and [{right.start}, …) do not touch")
        stack = list(self.nodes().items())
        for entry in right.nodes().items():
            stack.append(entry)
            _join_siblings(stack)
        return type(self)(self.start, right.end, tuple(hash_ for _, hash_ in stack))

    def root(self) -> bytes:
        """Return the root of the tree of `end` leaves; only of a range from leaf 0."""
        if self.start:
            raise ValueError(f"a range from leaf {self.start} has no root")
        return fold_right(self.hashes)


def _join_siblings(stack: list[tuple[Node, bytes]]) -> None:
    while len(stack) > 1:
        (left, left_hash), (right, right_hash) = stack[-2:]
        if left.level != right.level or left.index % 2 or left.index + 1 != right.index:
            return
        stack[-2:] = [
            (Node(left.level + 1, left.index // 2), node_hash(left_hash, right_hash))
        ]
