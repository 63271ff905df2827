"""What an audit is fed, in which order, and what it says. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass

from provlog.merkle.edge import edge_shape
from provlog.merkle.encoding import JsonValue, decode_hash
from provlog.merkle.errors import MalformedError
from provlog.merkle.hashing import HASH_SIZE
from provlog.merkle.tiles import (
    MAX_ENTRY_SIZE,
    TILE_HEIGHT,
    TILE_WIDTH,
    Bundle,
    Tile,
)

MAX_LISTED = 1000
MAX_BUNDLE = TILE_WIDTH * (MAX_ENTRY_SIZE + 2)
MAX_TILE = TILE_WIDTH * HASH_SIZE

Part = Tile | Bundle


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the entry `index` or, without one, what `place` names.

    `place` is ``entry 17``, the path of a tile or bundle, or ``checkpoint``.
    """

    place: str
    problem: str
    index: int | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the finding as JSON."""
        known = {} if self.index is None else {"index": self.index}
        return {"place": self.place, **known, "problem": self.problem}


def parts(size: int, first: int = 0) -> Iterator[Part]:
    """Yield what an audit of `size` leaves is fed, from the bundle `first` on.

    The tiles of the right edge come first, then each tile before those below it, and
    each bundle behind its tile. Of what comes before `first` only the tiles above it
    are yielded.
    """
    shape = edge_shape(size)
    for level in reversed(range(len(shape))):
        if shape[level]:
            yield Tile(level, size >> TILE_HEIGHT * (level + 1), shape[level])
    for index in range(first, -(-size // TILE_WIDTH)):
        for level in reversed(range(len(shape))):
            place, inside = divmod(index, 1 << TILE_HEIGHT * level)
            full = size >> TILE_HEIGHT * (level + 1)
            if place < full and (inside == 0 or index == first):
                yield Tile(level, place)
        yield Bundle(index, min(TILE_WIDTH, size - index * TILE_WIDTH))


def read_hashes(value: JsonValue) -> Iterator[bytes]:
    """Yield the hashes of a list in base64, or raise `MalformedError`."""
    if not isinstance(value, list):
        raise MalformedError("state: no list of hashes")
    for each in value:
        yield decode_hash(str(each), "state: hash")


def read_findings(value: JsonValue) -> Iterator[Finding]:
    """Yield findings from the lists of their members, or raise `MalformedError`."""
    if not isinstance(value, list) or len(value) > MAX_LISTED:
        raise MalformedError("state: no list of findings")
    for each in value:
        if not isinstance(each, list) or len(each) != 3:
            raise MalformedError("state: no finding")
        place, problem, index = each
        if not isinstance(place, str) or not isinstance(problem, str):
            raise MalformedError("state: a finding without a place")
        if index is not None and not isinstance(index, int):
            raise MalformedError("state: a finding without a place")
        yield Finding(place, problem, index)
