"""The audit of a whole log: everything is recomputed from the leaves. No I/O.

An `Auditor` is fed the parts of a tree in the order of `parts` and says what is wrong
with each. Two things are known of every hash: what a tile says, and what the leaves
below give. The checkpoint vouches for the tiles of the right edge, and every tile for
those below it, so that mostly it can be told which of two is wrong: a leaf that differs
from a tile that is vouched for, or a tile. Where the checkpoint vouches for neither,
both are named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from provlog.client.auditing_parts import (
    MAX_LISTED,
    Finding,
    Part,
    parts,
    read_findings,
    read_hashes,
)
from provlog.client.chain import LeafChain, split_entries
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.edge import FullTile, RightEdge, edge_shape
from provlog.merkle.encoding import (
    JsonValue,
    encode_base64,
    require_members,
)
from provlog.merkle.errors import MalformedError
from provlog.merkle.hashing import HASH_SIZE, hash_pairs, leaf_hash
from provlog.merkle.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Bundle,
    Tile,
    encode_bundle,
)
from provlog.merkle.trust import SignedCheckpoint


@dataclass(slots=True)
class _Held:
    """A tile as it was served: its hashes, and what is known about them.

    `row` is None where it was not served. `true` tells that the hashes lead to the one
    above them, which `due` is if a true tile, or the checkpoint, says so.
    """

    tile: Tile
    row: list[bytes] | None
    true: bool = False
    due: bytes | None = None
    named: bool = False


class Auditor:
    """Holds the leaves and tiles of a log against one checkpoint.

    Its memory does not grow with the log. `findings` lists the first `MAX_LISTED`
    things that are wrong, and `total` counts all of them.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._chain = LeafChain(checkpoint.origin)
        self._grown = RightEdge.empty()
        # Set when leaves are missing that no tile has the hash of: what is recomputed
        # from here on says nothing.
        self._gap = False
        self._edge: dict[int, _Held] = {}
        self._edge_judged = False
        self._held: dict[int, _Held] = {}
        self.findings: list[Finding] = []
        self.total = 0

    @property
    def previous(self) -> "dict[str, JsonValue] | None":
        """The log that this one says to succeed, with its size and root, or None."""
        return self._chain.previous

    @property
    def recorded(self) -> int | None:
        """When the newest entry so far was recorded, in Unix milliseconds."""
        return self._chain.recorded

    @property
    def matches(self) -> bool:
        """Whether the leaves that were fed are those that the checkpoint commits to."""
        return not self._gap and self._grown.root() == self._checkpoint.root

    @property
    def frozen(self) -> "dict[str, JsonValue] | None":
        """The end of the log: its final `size`, and `successor` if it names one."""
        return self._chain.frozen

    @property
    def checkpoint(self) -> Checkpoint:
        """What everything is held against."""
        return self._checkpoint

    @property
    def done(self) -> int:
        """The number of leaves that have been checked."""
        return self._grown.size

    def remaining(self) -> Iterator[Part]:
        """Yield what is to be fed from here on, in order, before `finish`."""
        return parts(self._checkpoint.size, -(-self.done // TILE_WIDTH))

    def feed(self, part: Part, data: bytes | None, trouble: str = "") -> list[Finding]:
        """Return what is wrong with the next part, in parts that came before included.

        `data` is None where the log does not serve the part; `trouble` says why.
        """
        before = self.total
        listed = len(self.findings)
        if isinstance(part, Tile):
            self._feed_tile(part, data, trouble)
        else:
            self._judge_edge()
            self._feed_bundle(part, data, trouble)
        return self.findings[listed:] if self.total > before else []

    def finish(self) -> list[Finding]:
        """Return what is wrong with the whole, after the last part."""
        self._judge_edge()
        listed = len(self.findings)
        same = self._grown.root() == self._checkpoint.root
        if self._gap:
            self._report("checkpoint", "its root cannot be recomputed: leaves missing")
            return self.findings[listed:]
        for level, held in self._edge.items():
            row = None if held.row is None else tuple(held.row)
            if not held.true and row not in (None, self._grown.levels[level]):
                self._name(held, "its hashes are not those of the entries")
        if not same:
            self._report("checkpoint", "the entries lead to another root than its own")
        return self.findings[listed:]

    def require_signer(self, signed: SignedCheckpoint) -> list[Finding]:
        """Return what is wrong with who signed the checkpoint, after `finish`.

        The entries say which key is the log's; it has to be one of those that signed.
        What a verifier was told of the log's keys has no part in this.
        """
        listed = len(self.findings)
        key = self._chain.key
        if key is not None and key not in {each.vkey() for each in signed.signers}:
            self._report("checkpoint", "the key that the entries name did not sign it")
        return self.findings[listed:]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state between two bundles, for `from_json`."""
        return {
            "size": self.done,
            "edge": [[encode_base64(h) for h in row] for row in self._grown.levels],
            "gap": self._gap,
            "chain": self._chain.to_json(),
            "total": self.total,
            "findings": [[f.place, f.problem, f.index] for f in self.findings],
        }

    @classmethod
    def from_json(cls, checkpoint: Checkpoint, value: JsonValue) -> Self:
        """Return an auditor that goes on where the one of `to_json` was.

        Raises `MalformedError`, `ValueError` or `TypeError` for what is no state.
        """
        names = ("size", "edge", "gap", "chain", "total", "findings")
        state = require_members(value, names, (), "state")
        size, edge, total = state["size"], state["edge"], state["total"]
        if not isinstance(size, int) or not isinstance(total, int):
            raise MalformedError("state: no size or no total")
        if size >= checkpoint.size or size % TILE_WIDTH or not isinstance(edge, list):
            raise MalformedError("state: not between two bundles")
        auditor = cls(checkpoint)
        levels = tuple(tuple(read_hashes(row)) for row in edge)
        auditor._grown = RightEdge(size, levels)
        auditor._gap = state["gap"] is not False
        auditor._chain = LeafChain.from_json(checkpoint.origin, state["chain"])
        auditor.findings = list(read_findings(state["findings"]))
        auditor.total = total
        return auditor

    def _feed_tile(self, tile: Tile, data: bytes | None, trouble: str) -> None:
        held = _Held(tile, None)
        if data is None:
            self._name(held, trouble or "is not served")
        elif len(data) != tile.width * HASH_SIZE:
            self._name(held, f"{len(data)} bytes, not {tile.width * HASH_SIZE}")
        else:
            held.row = [data[a : a + HASH_SIZE] for a in range(0, len(data), HASH_SIZE)]
        if tile.width < TILE_WIDTH:
            self._edge[tile.level] = held
            return
        self._judge_edge()
        self._judge_tile(held)
        self._held[tile.level] = held

    def _judge_edge(self) -> None:
        """Find out whether the tiles of the right edge lead to the checkpoint's root.

        Which one is wrong if they do not can be told at the end only.
        """
        if self._edge_judged:
            return
        self._edge_judged = True
        shape = edge_shape(self._checkpoint.size)
        rows = [
            tuple(self._edge[level].row or ()) if width else ()
            for level, width in enumerate(shape)
        ]
        if [len(row) for row in rows] != shape:
            return
        edge = RightEdge(self._checkpoint.size, tuple(rows))
        if edge.root() == self._checkpoint.root:
            for held in self._edge.values():
                held.true = True

    def _judge_tile(self, held: _Held) -> None:
        tile = held.tile
        place, inside = divmod(tile.index, TILE_WIDTH)
        full = self._checkpoint.size >> TILE_HEIGHT * (tile.level + 2)
        parent = (self._held if place < full else self._edge)[tile.level + 1]
        claimed = None if parent.row is None else parent.row[inside]
        held.due = claimed if parent.true else None
        if held.row is None:
            return
        held.true = _tile_root(held.row) == claimed
        if not held.true and parent.true:
            above = parent.tile.path()
            self._name(held, f"its hashes do not lead to the one in {above}")

    def _feed_bundle(self, bundle: Bundle, data: bytes | None, trouble: str) -> None:
        held = self._edge[0] if bundle.width < TILE_WIDTH else self._held[0]
        entries = list(split_entries(data or b"", TILE_WIDTH + 1))
        if data is None:
            self._report(bundle.path(), trouble or "is not served")
        elif len(entries) != bundle.width or encode_bundle(entries) != data:
            self._report(
                bundle.path(),
                f"holds {len(entries)} whole entries, not {bundle.width}"
                if len(entries) != bundle.width
                else "holds more than its entries",
            )
        else:
            self._check_entries(bundle, entries, held)
            return
        self._check_remains(bundle, entries, held)

    def _check_entries(
        self, bundle: Bundle, entries: Sequence[bytes], held: _Held
    ) -> None:
        hashes = [leaf_hash(each) for each in entries]
        completed = self._grow(hashes)
        wrong = self._wrong_entries(bundle, hashes, held)
        for place, data in enumerate(entries):
            index = bundle.index * TILE_WIDTH + place
            if place in wrong:
                self._chain.skip()
                self._report_entry(index, wrong[place])
            else:
                self._check_leaf(index, data)
        self._compare(completed)

    def _wrong_entries(
        self, bundle: Bundle, hashes: Sequence[bytes], held: _Held
    ) -> dict[int, str]:
        """Return which leaves are not the log's, or may not be, and why."""
        different = [
            place
            for place, (ours, theirs) in enumerate(
                zip(hashes, held.row or hashes, strict=True)
            )
            if ours != theirs
        ]
        if held.true:
            why = "is not the leaf that the checkpoint commits to"
            return dict.fromkeys(different, why)
        if bundle.width < TILE_WIDTH:
            vouched = not self._gap and self._grown.root() == self._checkpoint.root
            due = None
        else:
            due = held.due
            vouched = due is not None and _tile_root(list(hashes)) == due
        if vouched:
            return {}
        if due is not None and not different:
            path = bundle.path()
            self._report(path, "its entries do not lead to the hash in the tile above")
        tile = held.tile.path()
        why = f"does not have the hash in {tile}, and nothing vouches for either"
        return dict.fromkeys(different, why)

    def _check_remains(
        self, bundle: Bundle, entries: Sequence[bytes], held: _Held
    ) -> None:
        """Check what there is of a bundle that is not whole, and name what is not."""
        first = bundle.index * TILE_WIDTH
        found = {leaf_hash(each): each for each in entries}
        for place in range(bundle.width):
            data = None if held.row is None else found.get(held.row[place])
            if data is not None:
                self._check_leaf(first + place, data)
            else:
                self._chain.skip()
                self._report_entry(first + place, f"is not in {bundle.path()}")
        if held.row is None:
            self._gap = True
        completed = self._grow(held.row or [bytes(HASH_SIZE)] * bundle.width)
        self._compare(completed)

    def _check_leaf(self, index: int, data: bytes) -> None:
        for problem in self._chain.check(index, data):
            self._report_entry(index, problem)

    def _grow(self, hashes: Sequence[bytes]) -> list[FullTile]:
        growth = self._grown.grow(hashes)
        self._grown = growth.edge
        return growth.tiles

    def _compare(self, completed: Sequence[FullTile]) -> None:
        """Hold the tiles that nothing vouches for against what the leaves give."""
        for full in completed:
            held = self._held[full.tile.level]
            if held.true or held.row is None or self._gap:
                continue
            if b"".join(held.row) != full.data:
                self._name(held, "its hashes are not those of the entries")

    def _name(self, held: _Held, problem: str) -> None:
        if not held.named:
            held.named = True
            self._report(held.tile.path(), problem)

    def _report_entry(self, index: int, problem: str) -> None:
        self._report(f"entry {index}", problem, index)

    def _report(self, place: str, problem: str, index: int | None = None) -> None:
        finding = Finding(place, problem, index)
        # A run that goes on is fed some tiles again.
        if index is None and finding in self.findings:
            return
        self.total += 1
        if len(self.findings) < MAX_LISTED:
            self.findings.append(finding)


def _tile_root(row: list[bytes]) -> bytes:
    while len(row) > 1:
        row = hash_pairs(row)
    return row[0]
