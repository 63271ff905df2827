"""Checkpoints of one log from many places, held against each other. No I/O.

A `Board` collects heads: signed checkpoints, each with the leaves that were proved in
it. A leaf's path commits to roots of smaller trees (`answers.prefix_roots`), so a heap
of receipts says a lot about how its heads are related before anybody is asked. Two
roots of one size convict the log; a signed head that is found inside a larger one is
linked to it. Heads that nothing links are `tops`: somebody has to prove how they are
related (`comparing_proofs`).
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from provlog.client.answers import prefix_roots
from provlog.client.cosigned import GossipedCheckpoint
from provlog.client.differences import MAX_REMARKS
from provlog.client.errors import printable
from provlog.client.memory import Evidence, LeafPath
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.notes import SignatureLine, add_signatures, parse_note_unverified
from provlog.merkle.trust import Cosignature

MAX_SPLITS: Final = 10
"""Contradictions that are kept: each is one file, and one is enough."""

HeadKey = tuple[int, bytes]


class Sighting(NamedTuple):
    """A head as one place showed it.

    `paths` are leaves that were proved in its tree.
    """

    gossiped: GossipedCheckpoint
    paths: tuple[LeafPath, ...] = ()


@dataclass(eq=False)
class Head:
    """One size and root that the log signed, and by whom it was shown."""

    size: int
    root: bytes
    shown: GossipedCheckpoint
    places: list[str] = field(default_factory=list)
    above: "Head | None" = None
    """A larger head whose tree is proved to begin with this one."""
    cosignatures: dict[VerifierKey, Cosignature] = field(default_factory=dict)
    """By whom it was cosigned, and when last, in any of the notes."""
    _further: list[GossipedCheckpoint] = field(default_factory=list, repr=False)

    def add(self, place: str, gossiped: GossipedCheckpoint) -> None:
        """Note that somebody showed it, cosigned by these."""
        if place not in self.places:
            self.places.append(place)
        for each in gossiped.cosignatures:
            known = self.cosignatures.get(each.key)
            if known is None and gossiped is not self.shown:
                self._further.append(gossiped)
            if known is None or known.timestamp < each.timestamp:
                self.cosignatures[each.key] = each

    def top(self) -> "Head":
        """Return the largest head that is known to begin with this one."""
        head = self
        while head.above is not None:
            head = head.above
        return head

    def note(self) -> bytes:
        """Return the signed note, with the cosignatures of all that were shown.

        A witness that cosigned both sides of a split may have done so on notes that
        reached different people.
        """
        note = self.shown.signed.note
        text = self.shown.signed.checkpoint.text()
        for other in self._further:
            if other.signed.checkpoint.text() == text:
                note = _merge(note, other)
        return note


def _merge(note: bytes, other: GossipedCheckpoint) -> bytes:
    there = {line[:2] for line in parse_note_unverified(note).signatures}
    wanted = {(each.key.name, each.key.key_id) for each in other.cosignatures} - there
    theirs = parse_note_unverified(other.signed.note).signatures
    lines: list[SignatureLine] = [line for line in theirs if line[:2] in wanted]
    try:
        return add_signatures(note, lines)
    except MalformedError:
        # No room for more lines: what the log signed is what counts.
        return note


@dataclass(frozen=True)
class Split:
    """Two heads that cannot both be true, and what shows it to anybody."""

    older: Head
    newer: Head
    proof: tuple[bytes, ...] | None = None
    leaf: LeafPath | None = None
    older_leaf: LeafPath | None = None

    def heads(self) -> "tuple[Head, Head]":
        """Return both."""
        return self.older, self.newer

    def witnesses(self) -> set[VerifierKey]:
        """Return the keys of the witnesses that cosigned both."""
        return self.older.cosignatures.keys() & self.newer.cosignatures.keys()

    def evidence(self, origin: str) -> Evidence:
        """Return what is to be kept: `provlog verify` judges it without any network."""
        places = tuple(
            tuple(map(printable, each.places[:MAX_REMARKS]))
            for each in (self.older, self.newer)
        )
        return Evidence(
            origin,
            self.older.note(),
            self.newer.note(),
            self.proof,
            self.leaf,
            self.older_leaf,
            (places[0], places[1]),
        )


@dataclass
class _Known:
    """What is known of one size and root: the head, and the largest tree it is in."""

    head: Head | None = None
    inside: Head | None = None
    path: LeafPath | None = None


class Board:
    """All heads of one log that anybody showed, and how they are related."""

    def __init__(self) -> None:
        self.heads: dict[HeadKey, Head] = {}
        self.splits: list[Split] = []
        self.contradicted: set[Head] = set()
        self._newest: Head | None = None
        self._known: dict[int, dict[bytes, _Known]] = {}

    def add(self, place: str, sighting: Sighting) -> Head:
        """Note what a place showed; return the head. `settle` draws the conclusions."""
        checkpoint = sighting.gossiped.signed.checkpoint
        size, root = checkpoint.size, checkpoint.root
        head = self.heads.get((size, root))
        if head is None:
            head = Head(size, root, sighting.gossiped)
            self.heads[size, root] = head
            if self._newest is None or size > self._newest.size:
                self._newest = head
            self._at(size, root).head = head
        head.add(place, sighting.gossiped)
        for path in sighting.paths:
            self._add_path(head, path)
        return head

    def settle(self) -> None:
        """Link the heads that are found inside others, and find contradictions."""
        for size in sorted(self._known):
            roots = self._known[size]
            for known in roots.values():
                if known.head is not None and known.inside is not None:
                    self.link(known.head, known.inside)
            if len(roots) > 1 and size:
                first, *others = roots.values()
                for other in others:
                    self.add_split(_contradiction(first, other))
        nothing = [head for (size, _), head in self.heads.items() if not size]
        for head in nothing:
            # Every tree begins with the one without leaves.
            self.link(head, self.newest)

    @property
    def newest(self) -> Head:
        """The largest head; of several, the one that was added first."""
        if self._newest is None:
            raise ValueError("no head was added")
        return self._newest

    def link(self, older: Head, newer: Head) -> None:
        """Note that the tree of a larger head is proved to begin with a smaller one."""
        if older.size < newer.size and (
            older.above is None or older.above.size < newer.size
        ):
            older.above = newer

    def add_split(self, split: Split) -> None:
        """Note a contradiction; of many, the first are kept, one of each two heads."""
        self.contradicted |= {split.older, split.newer}
        known = any(each.heads() == split.heads() for each in self.splits)
        if not known and len(self.splits) < MAX_SPLITS:
            self.splits.append(split)

    def tops(self) -> list[Head]:
        """Return the heads that are inside no other one, the largest first."""
        tops = [head for head in self.heads.values() if head.above is None]
        return sorted(tops, key=lambda head: -head.size)

    def _at(self, size: int, root: bytes) -> _Known:
        return self._known.setdefault(size, {}).setdefault(root, _Known())

    def _add_path(self, head: Head, path: LeafPath) -> None:
        roots = prefix_roots(path.index, head.size, path.leaf_hash, path.hashes)
        for size, root in roots.items():
            known = self._at(size, root)
            if size < head.size and (
                known.inside is None or known.inside.size < head.size
            ):
                known.inside, known.path = head, path


def _contradiction(first: _Known, other: _Known) -> Split:
    """Return the split that two roots of one size are."""
    sides = sorted((_side(first), _side(other)), key=lambda side: side[0].size)
    (older, in_older), (newer, in_newer) = sides
    return Split(older, newer, leaf=in_newer, older_leaf=in_older)


def _side(known: _Known) -> tuple[Head, LeafPath | None]:
    if known.head is not None:
        return known.head, None
    # A root is known from a head, or from a path in one.
    assert known.inside is not None  # noqa: S101  one of both is always there
    return known.inside, known.path
