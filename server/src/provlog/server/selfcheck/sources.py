"""Registered sources, held against the admin entries that registered them."""

from collections.abc import Mapping, Sequence

from provlog.merkle.encoding import JsonValue
from provlog.merkle.entries import Entry
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.rows import SourceRow, shown_text

CREATED = "source.create"


class SourceCheck:
    """The sources of one log: every row against an entry, every entry against a row.

    `init` registers its sources with entry 0, which says nothing of them: such a row
    has its own name as namespace and no connector. So does `recover` those of a
    successor; what they had in the log before, whose entries say it, they may have.
    """

    def __init__(self, rows: Sequence[SourceRow], report: Report) -> None:
        self._rows = {row.uri: row for row in rows}
        self._report = report
        self._confirmed: set[bytes] = set()
        self._erased: set[int] = set()
        self._unknown: set[bytes] = set()
        self._succeeds = False

    def params(self, entry: Entry) -> None:
        """Take entry 0: a log with another one before it has that one's sources."""
        self._succeeds = "previous" in entry.body

    def registered_by_init(self, uri: str) -> bool:
        """Tell whether a source stands there since entry 0."""
        row = self._rows.get(uri.encode())
        return row is not None and row.idx == 0

    def event(
        self, index: int, entry: Entry, opened: Mapping[str, JsonValue] | None
    ) -> None:
        """Take an event: its source has to be registered before, under its `ns`."""
        uri = str(entry.body["source"]).encode()
        row = self._rows.get(uri)
        if row is None or row.idx >= index:
            if uri not in self._unknown:
                self._unknown.add(uri)
                what = f"not registered before entry {index}, an event of it"
                self._report("sources", shown_text(uri), None, what)
            return
        ingest = None if opened is None else opened.get("ingest")
        if isinstance(ingest, dict) and ingest.get("ns") != shown_text(row.ns):
            what = "the member ingest names another namespace than its source has"
            self._report("private", index, "disclosures", what)

    def admin(
        self, index: int, entry: Entry, opened: Mapping[str, JsonValue] | None
    ) -> None:
        """Take an admin entry; one that registers a source has to have its row."""
        if entry.body["action"] != CREATED:
            return
        source = None if opened is None else opened.get("source")
        if not isinstance(source, dict):
            self._erased.add(index)
            return
        uri = str(source.get("uri")).encode()
        row = self._rows.get(uri)
        if row is None:
            what = f"entry {index} registers the source, and it has no row"
            self._report("sources", shown_text(uri), None, what)
            return
        self._confirmed.add(uri)
        connector = source.get("connector")
        expected = None if connector is None else str(connector).encode()
        for column, stored, said in (
            ("idx", row.idx, index),
            ("ns", row.ns, str(source.get("ns")).encode()),
            ("connector", row.connector, expected),
        ):
            if stored != said:
                what = f"not what entry {index} says"
                self._report("sources", shown_text(uri), column, what)

    def finish(self) -> None:
        """Report the rows that no entry accounts for."""
        for uri, row in self._rows.items():
            if uri in self._confirmed or row.idx in self._erased:
                continue
            name = shown_text(uri)
            if row.idx != 0:
                what = f"entry {row.idx} does not register the source"
                self._report("sources", name, None, what)
                continue
            if self._succeeds:
                continue
            if row.ns != uri:
                what = "not the source's own name, though init registered it"
                self._report("sources", name, "ns", what)
            if row.connector is not None:
                what = "there is one, though init registered the source"
                self._report("sources", name, "connector", what)
