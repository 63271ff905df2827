"""Coordinates of perfect subtrees: what provers ask for and callers fetch."""

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import NamedTuple, TypeAlias


class Node(NamedTuple):
    """A perfect subtree: the leaves ``[index << level, (index + 1) << level)``.

    Level 0 is a leaf. Nodes order by level, then from left to right. A node equals the
    plain tuple of its two numbers.
    """

    level: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here

    @property
    def start(self) -> int:
        """Index of the first leaf below the node."""
        return self.index << self.level

    @property
    def end(self) -> int:
        """Index after the last leaf below the node."""
        return (self.index + 1) << self.level


Hashes: TypeAlias = Mapping[Node, bytes]
"""The hashes of perfect subtrees, 32 bytes each, by their coordinates."""


def decompose(start: int, end: int) -> list[Node]:
    """Return the fewest perfect subtrees that cover ``[start, end)``, left to right.

    From leaf 0 the levels descend, and the nodes are those of RFC 6962's recursion.
    Raises `ValueError` unless 0 <= start <= end.
    """
    if not 0 <= start <= end:
        raise ValueError(f"not a range of leaves: [{start}, {end})")
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            # A perfect subtree starts at a multiple of its size.
            level = min(level, (start & -start).bit_length() - 1)
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def row_nodes(level: int, first: int, count: int) -> Iterable[Node]:
    """Yield `count` neighbouring nodes of `level`; the first has index `first`."""
    # tuple.__new__ halves the time of Node(…), and growing a tree makes many.
    places = zip(repeat(level), range(first, first + count), strict=False)
    return map(tuple.__new__, repeat(Node), places)
