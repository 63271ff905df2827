"""Tiles and entry bundles (C2SP tlog-tiles): paths, which are needed, contents."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from provlog.merkle.errors import MalformedError
from provlog.merkle.hashing import HASH_SIZE, hash_pairs
from provlog.merkle.nodes import Node

TILE_HEIGHT = 8
TILE_WIDTH = 256
MAX_TILE_LEVEL = 63
MAX_ENTRY_SIZE = 65_535


@dataclass(frozen=True, order=True, slots=True)
class Tile:
    """Hashes ``[index * 256, index * 256 + width)`` of the nodes of level 8 * `level`.

    A width below 256 makes it a partial tile. Raises `ValueError` outside level 0 to
    63, width 1 to 256 and an index from 0.
    """

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_TILE_LEVEL:
            raise ValueError(f"no tile has level {self.level}")
        _require_place(self.index, self.width)

    def path(self) -> str:
        """Return the path below the log's prefix, such as ``tile/0/x001/067.p/5``."""
        return f"tile/{self.level}/{_place(self.index, self.width)}"


@dataclass(frozen=True, order=True, slots=True)
class Bundle:
    """Entries ``[index * 256, index * 256 + width)``; otherwise like a `Tile`."""

    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        _require_place(self.index, self.width)

    def path(self) -> str:
        """Return the path below the log's prefix, such as ``tile/entries/000``."""
        return f"tile/entries/{_place(self.index, self.width)}"


def _require_place(index: int, width: int) -> None:
    if index < 0:
        raise ValueError(f"no tile has index {index}")
    if not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"no tile has width {width}")


def _place(index: int, width: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return "/".join(reversed(groups)) + suffix


# A tree of 2^63 leaves has fewer level 0 tiles than this.
_MAX_INDEX = 2**55
_PATH = re.compile(
    r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?"
)


def parse_path(path: str) -> Tile | Bundle:
    """Return the tile or bundle that `path` names.

    Raises `MalformedError` for every spelling but the one `path()` writes.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise MalformedError("path: neither a tile nor an entry bundle")
    kind, place, partial = match.groups()
    index = int(place.replace("/", "").replace("x", ""))
    width = int(partial) if partial else TILE_WIDTH
    try:
        parsed = (
            Bundle(index, width) if kind == "entries" else Tile(int(kind), index, width)
        )
    except ValueError as error:
        raise MalformedError(f"path: {error}") from None
    if index >= _MAX_INDEX or parsed.path() != path:
        raise MalformedError("path: not the canonical spelling of a tile's path")
    return parsed


def partial_width(level: int, size: int) -> int:
    """Return how many hashes the partial tile of `level` holds in a tree of `size`.

    0 stands for no partial tile. For bundles `level` is 0.
    """
    return (size >> (TILE_HEIGHT * level)) % TILE_WIDTH


def _tile_of(node: Node, size: int) -> Tile:
    """Return the tile that holds `node` or the hashes it is made of."""
    if node.level < 0 or node.index < 0 or node.end > size:
        raise ValueError(f"a tree of {size} leaves does not have {node}")
    level, height = divmod(node.level, TILE_HEIGHT)
    index = (node.index << height) // TILE_WIDTH
    full = size >> (TILE_HEIGHT * (level + 1))
    return Tile(
        level, index, TILE_WIDTH if index < full else partial_width(level, size)
    )


def tiles_for(nodes: Iterable[Node], size: int) -> list[Tile]:
    """Return the tiles to fetch for `nodes`, sorted, as a tree of `size` has them.

    Raises `ValueError` for a node that is not complete in such a tree.
    """
    return sorted({_tile_of(node, size) for node in nodes})


def nodes_from_tiles(
    nodes: Iterable[Node], size: int, fetched: Mapping[Tile, bytes]
) -> dict[Node, bytes]:
    """Return the hashes of `nodes`, computed from the tiles of `tiles_for`.

    In place of a partial tile `fetched` may hold the full one, which a log may serve
    once the partial one is gone. Tiles are not authenticated: whatever is proved with
    them shows whether they are the log's. Raises `MalformedError` when a tile is not
    as long as its width says, `ValueError` when one is missing.
    """
    wanted: dict[Tile, list[Node]] = {}
    for node in nodes:
        wanted.setdefault(_tile_of(node, size), []).append(node)
    hashes = {}
    for tile, inside in wanted.items():
        rows = [_tile_hashes(tile, fetched)]
        for _ in range(max(node.level for node in inside) % TILE_HEIGHT):
            rows.append(hash_pairs(rows[-1]))
        for node in inside:
            row = rows[node.level % TILE_HEIGHT]
            hashes[node] = row[node.index % (TILE_WIDTH >> node.level % TILE_HEIGHT)]
    return hashes


def _tile_hashes(tile: Tile, fetched: Mapping[Tile, bytes]) -> list[bytes]:
    for served in (tile, Tile(tile.level, tile.index)):
        data = fetched.get(served)
        if data is not None:
            if len(data) != served.width * HASH_SIZE:
                raise MalformedError(f"{served.path()}: {len(data)} bytes")
            end = tile.width * HASH_SIZE
            return [data[at : at + HASH_SIZE] for at in range(0, end, HASH_SIZE)]
    raise ValueError(f"{tile.path()} was not fetched")


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the entry bundle of 1 to 256 entries: each a u16 length and its bytes.

    Raises `ValueError` for another count or an entry above `MAX_ENTRY_SIZE` bytes.
    """
    _require_place(0, len(entries))
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_SIZE:
            raise ValueError(f"an entry of {len(entry)} bytes")
        parts += (len(entry).to_bytes(2, "big"), entry)
    return b"".join(parts)


def decode_bundle(data: bytes, count: int) -> list[bytes]:
    """Return the entries of a bundle.

    Raises `MalformedError` when `data` is not exactly `count` entries.
    """
    entries: list[bytes] = []
    at = 0
    for _ in range(count):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            raise MalformedError(f"bundle: ends inside entry {len(entries)}")
        entries.append(data[start:at])
    if at != len(data):
        raise MalformedError(f"bundle: {len(data) - at} bytes after entry {count - 1}")
    return entries
