"""Leaves of a whole log, and the tiles and bundles that a server makes of them."""

from collections.abc import Iterable, Mapping, Sequence

from provlog.client.auditing import Auditor
from provlog.client.auditing_parts import Finding, parts
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.compact import Row, completed_rows
from provlog.merkle.edge import RightEdge
from provlog.merkle.encoding import JsonValue, encode_base64url, format_time
from provlog.merkle.entries import build_entry, event_template
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Bundle,
    Tile,
    encode_bundle,
)

ORIGIN = "log.example/main"
START_MS = 1_795_000_000_000
KEY = "log.example/main+00000000+AQ"
_DIGEST = encode_base64url(bytes(32))


def params_leaf(
    origin: str = ORIGIN, *, n: int = 0, at: int = 0, **more: JsonValue
) -> bytes:
    """Return the leaf that a log begins with; `more` are further members."""
    body: dict[str, JsonValue] = {
        "origin": origin,
        "log_key": KEY,
        "leaf_versions": [1],
        "map_version": 1,
        "lateness_ms": 0,
        "suites": {"1": 1, "2": 1, "7": 1},
        "commit_e": _DIGEST,
        "commit_id": _DIGEST,
        **more,
    }
    recorded = format_time(START_MS + at)
    return build_entry("params", epoch=1, n=n, recorded=recorded, body=body)


def event_leaf(n: int, *, at: int | None = None, epoch: int = 1) -> bytes:
    """Return an event's leaf, recorded `at` milliseconds after the log's beginning."""
    template = event_template(
        entry_id=encode_base64url(n.to_bytes(32, "big")),
        members={},
        source="urn:okta:acme",
        tags=[],
        time=format_time(START_MS),
        type="role.assign",
    )
    recorded = format_time(START_MS + (n if at is None else at))
    return template.finish(epoch, n, recorded)


def other_leaf(kind: str, *, n: int, epoch: int = 1, **body: object) -> bytes:
    """Return a leaf of another kind, recorded when the event `n` will be."""
    recorded = format_time(START_MS + n)
    return build_entry(kind, epoch=epoch, n=n, recorded=recorded, body=body)  # type: ignore[arg-type]


def good_leaves(size: int) -> list[bytes]:
    """Return the leaves of a log without fault."""
    return [params_leaf(), *(event_leaf(n) for n in range(size - 1))][:size]


def checkpoint_of(leaves: Sequence[bytes], origin: str = ORIGIN) -> Checkpoint:
    """Return the checkpoint of a log of these leaves."""
    edge = RightEdge.empty().grow([leaf_hash(each) for each in leaves]).edge
    return Checkpoint(origin, len(leaves), edge.root())


def part_data(leaves: Sequence[bytes], part: Tile | Bundle) -> bytes | None:
    """Return a tile or bundle of a log of these leaves, None if it is not complete."""
    return _cut(
        completed_rows({}, 0, [leaf_hash(each) for each in leaves]), leaves, part
    )


def served_parts(leaves: Sequence[bytes]) -> dict[str, bytes]:
    """Return everything that an audit of these leaves downloads, by path."""
    rows = completed_rows({}, 0, [leaf_hash(each) for each in leaves])
    cut = {part.path(): _cut(rows, leaves, part) for part in parts(len(leaves))}
    return {path: data for path, data in cut.items() if data is not None}


def _cut(
    rows: Sequence[Row], leaves: Sequence[bytes], part: Tile | Bundle
) -> bytes | None:
    first = part.index * TILE_WIDTH
    place = slice(first, first + part.width)
    if isinstance(part, Bundle):
        entries = leaves[place]
        return encode_bundle(entries) if len(entries) == part.width else None
    level = part.level * TILE_HEIGHT
    hashes = rows[level].hashes[place] if level < len(rows) else []
    return b"".join(hashes) if len(hashes) == part.width else None


def audited(
    checkpoint: Checkpoint, served: Mapping[str, bytes | None]
) -> tuple[Auditor, list[Finding]]:
    """Return an auditor that was fed everything, and what it said on the way."""
    auditor = Auditor(checkpoint)
    said: list[Finding] = []
    for part in auditor.remaining():
        said += auditor.feed(part, served[part.path()])
    said += auditor.finish()
    return auditor, said


def flipped(data: bytes | None, at: int) -> bytes:
    """Return the bytes with the lowest bit of one of them changed."""
    assert data is not None
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def places(findings: Iterable[Finding]) -> list[str]:
    """Return what is named, in order."""
    return [each.place for each in findings]
