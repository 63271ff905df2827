"""Nonce and labels behind an entry's tags: the tags recomputed, and the labels."""

from collections.abc import Mapping

from provlog.merkle.encoding import JsonValue, encode_base64url
from provlog.merkle.entries import Entry
from provlog.merkle.labels import LABEL_SIZE, NONCE_SIZE, LabelKind, label, tag
from provlog.server.intake.event import Event
from provlog.server.intake.members import labels_of
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.rows import OpeningRow

_ITEM = 1 + LABEL_SIZE
_ORDER = [LabelKind.TARGET, LabelKind.ACTOR, LabelKind.RESOURCE]


def check_openings(
    index: int,
    entry: Entry,
    row: OpeningRow | None,
    opened: Mapping[str, JsonValue] | None,
    key: bytes | None,
    report: Report,
) -> None:
    """Hold an entry's openings against its tags and what it discloses.

    `key` is the epoch's label key; without one the openings may have been destroyed
    along with it.
    """
    expected = None if opened is None or key is None else _labels(key, opened)
    if row is None:
        if entry.tags and key is not None:
            report("openings", index, None, "the openings of the tags are missing")
        return
    if not entry.tags:
        report("openings", index, None, "the entry has no tags to open")
        return
    if row.epoch != entry.epoch:
        what = f"{row.epoch}, but the entry is of epoch {entry.epoch}"
        report("openings", index, "epoch", what)
    if not _well_formed(row, index, report):
        return
    items = [row.labels[at + 1 : at + _ITEM] for at in range(0, len(row.labels), _ITEM)]
    if expected is not None and row.labels != expected:
        what = "not the labels of what is disclosed under the epoch's key"
        report("openings", index, "labels", what)
    elif sorted(encode_base64url(tag(row.nonce, item)) for item in items) != list(
        entry.tags
    ):
        column = None if expected is None else "nonce"
        what = "nonce and labels do not make the leaf's tags"
        report("openings", index, column, what)


def _well_formed(row: OpeningRow, index: int, report: Report) -> bool:
    if len(row.nonce) != NONCE_SIZE:
        report("openings", index, "nonce", f"not of {NONCE_SIZE} bytes")
        return False
    kinds = list(row.labels[::_ITEM])
    if len(row.labels) % _ITEM or kinds != [kind for kind in _ORDER if kind in kinds]:
        report("openings", index, "labels", "not a run of kinds and labels in order")
        return False
    return True


def _labels(key: bytes, opened: Mapping[str, JsonValue]) -> bytes | None:
    """Return the labels of what is disclosed, None where it names impossible ids."""
    parties = {
        name: opened[name] for name in ("target", "actor", "resource") if name in opened
    }
    ingest = opened.get("ingest")
    ns = str(ingest.get("ns")) if isinstance(ingest, dict) else ""
    try:
        return b"".join(
            bytes((kind,)) + label(key, kind, where, identity)
            for kind, where, identity in labels_of(
                Event(id="", source="", type="", time="", data=parties), ns
            )
        )
    except ValueError:
        return None
