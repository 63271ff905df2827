"""Cursors of polled sources: each is what was written, and of a registered source."""

from provlog.merkle.errors import MalformedError
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.rows import CursorRow, Snapshot, decode_text, shown_text
from provlog.server.storage.base import Cursor


def check_cursors(log: int, snapshot: Snapshot, report: Report) -> None:
    """Report the cursors of a log that are damaged or of no source."""
    sources = {source.uri for source in snapshot.sources if source.log == log}
    for row in snapshot.cursors:
        if row.log != log:
            continue
        name = shown_text(row.source)
        if row.source not in sources:
            report("cursors", name, "source", "the source is not registered")
        if not _is_whole(row):
            report("cursors", name, "digest", "not the digest of the row")


def _is_whole(row: CursorRow) -> bool:
    try:
        source, position = decode_text(row.source), decode_text(row.position)
    except MalformedError:
        return False
    return row.digest == Cursor(source, position, row.updated).digest(row.log)
