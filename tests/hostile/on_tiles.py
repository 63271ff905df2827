"""Lies in tiles and entry bundles: what audits are made of."""

from hostile.liar import Answer, Telling, Telltale
from hostile.lie import AUDITS, Lie
from hostile.telling import parts
from provlog.client.chain import split_entries
from provlog.merkle.tiles import TILE_WIDTH, encode_bundle
from support.tiled_logs import flipped

_TILE = "tile/0/000"
_TOP = "tile/1/000"
_BUNDLE = "tile/entries/000"
_EDGE = "tile/entries/001"
_PLACE = 17


async def _without_edge(telling: Telling) -> Answer | None:
    asked = telling.asked
    if asked.what != "tile" or ".p/" not in asked.path:
        return None
    return Answer(404, b"", {"Content-Type": "text/plain"})


def _entries(data: bytes) -> list[bytes]:
    return list(split_entries(data, TILE_WIDTH))


def _without(data: bytes) -> bytes:
    entries = _entries(data)
    del entries[_PLACE]
    return encode_bundle(entries)


def _reordered(data: bytes) -> bytes:
    entries = _entries(data)
    entries[_PLACE], entries[_PLACE + 1] = entries[_PLACE + 1], entries[_PLACE]
    return encode_bundle(entries)


def _edited(entry: bytes) -> bytes:
    return entry.replace(b"role.assign", b"role.revoke")


def _with_edited(data: bytes) -> bytes:
    entries = _entries(data)
    entries[_PLACE] = _edited(entries[_PLACE])
    return encode_bundle(entries)


def _longer(data: bytes) -> bytes:
    """Give an entry a length that reaches into the next one."""
    length = int.from_bytes(data[:2], "big") + 1
    return length.to_bytes(2, "big") + data[2:]


TILES = (
    Lie(
        "flipped-leaf",
        "flips a bit of an entry in a bundle",
        Telltale(parts({_BUNDLE: lambda data: flipped(data, 4000)})),
        "who answered",
        caught={
            AUDITS: "entry 4: is not the leaf that the checkpoint commits to",
        },
    ),
    Lie(
        "edited-entry",
        "edits an entry in a bundle",
        Telltale(parts({_BUNDLE: _with_edited})),
        "who answered",
        caught={
            AUDITS: "entry 17: is not the leaf that the checkpoint commits to",
        },
    ),
    Lie(
        "dropped-entry",
        "drops an entry from a bundle",
        Telltale(parts({_BUNDLE: _without})),
        "who answered",
        caught={
            AUDITS: "tile/entries/000: holds … whole entries, not …",
        },
    ),
    Lie(
        "reordered-entries",
        "reorders the entries of a bundle",
        Telltale(parts({_BUNDLE: _reordered})),
        "who answered",
        caught={
            AUDITS: "entry 17: is not the leaf that the checkpoint commits to",
        },
    ),
    Lie(
        "bundle-length",
        "gives an entry of a bundle a wrong length",
        Telltale(parts({_BUNDLE: _longer})),
        "who answered",
        caught={
            AUDITS: "tile/entries/000: holds … whole entries, not …",
        },
    ),
    Lie(
        "truncated-bundle",
        "truncates the newest bundle in the middle of an entry",
        Telltale(parts({_EDGE: lambda data: data[:-100]})),
        "who answered",
        caught={
            AUDITS: "tile/entries/001…: holds … whole entries, not …",
        },
    ),
    Lie(
        "longer-bundle",
        "puts bytes behind the last entry of a bundle",
        Telltale(parts({_EDGE: lambda data: data + bytes(1)})),
        "who answered",
        caught={
            AUDITS: "tile/entries/001…: holds more than its entries",
        },
    ),
    Lie(
        "empty-bundle",
        "serves a bundle without entries",
        Telltale(parts({_BUNDLE: lambda data: b""})),
        "who answered",
        caught={
            AUDITS: "tile/entries/000: holds … whole entries, not …",
        },
    ),
    Lie(
        "withheld-bundle",
        "withholds a bundle",
        Telltale(parts({_BUNDLE: None})),
        "who answered",
        caught={
            AUDITS: "tile/entries/000: is not served (HTTP status 404)",
        },
    ),
    Lie(
        "flipped-tile",
        "flips a bit of a tile",
        Telltale(parts({_TILE: lambda data: flipped(data, _PLACE * 32)})),
        "who answered",
        caught={
            AUDITS: "tile/0/000: its hashes do not lead to the one in tile/1/000.p/…",
        },
    ),
    Lie(
        "contradicting-tiles",
        "serves tiles of two levels that contradict each other",
        Telltale(parts({_TOP: lambda data: flipped(data, 0)})),
        "who answered",
        caught={
            AUDITS: "tile/1/000.p/…: its hashes are not those of the entries",
        },
    ),
    Lie(
        "cut-tile",
        "serves a tile without its last hash",
        Telltale(parts({_TILE: lambda data: data[:-32]})),
        "who answered",
        caught={
            AUDITS: "tile/0/000: 8160 bytes, not 8192",
        },
    ),
    Lie(
        "huge-tile",
        "serves a tile that is larger than a tile can be",
        Telltale(parts({_TILE: lambda data: data + bytes(32)})),
        "who answered",
        caught={
            AUDITS: "tile/0/000: is not served as it must be",
        },
    ),
    Lie(
        "hidden-edge",
        "is a mirror that hides the right edge: the newest entries and their hashes",
        Telltale(_without_edge),
        "who answered",
        caught={
            AUDITS: "tile/1/000.p/…: is not served (HTTP status 404)",
        },
    ),
)
