"""A pass over a whole database: every log, and what belongs to all of them."""

import asyncio
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

from provlog.merkle.errors import MalformedError
from provlog.server.errors import ConfigurationError
from provlog.server.guard import GuardRecord, ReleasedHead
from provlog.server.guard.opening import inspect_once
from provlog.server.instance import Instance
from provlog.server.keyring import Keyring, LogKeys
from provlog.server.selfcheck.cursors import check_cursors
from provlog.server.selfcheck.findings import Findings, Report
from provlog.server.selfcheck.log_check import LogCheck, Step
from provlog.server.selfcheck.opening import open_reader
from provlog.server.selfcheck.reader import CheckReader, UnreadableError
from provlog.server.selfcheck.rows import (
    LogRow,
    Snapshot,
    SourceRow,
    decode_text,
    shown_text,
)
from provlog.server.selfcheck.sources import SourceCheck
from provlog.server.selfcheck.tokens import CheckedLog, TokenCheck


class Pass:
    """One check of everything that is stored. Take its `steps` to the end.

    `only` is the name of the one log to check, None for all. `thorough` adds
    the engine's own check, in long statements. `logs` and `notes` say what was read
    and what could not be compared; `findings` is whole after the last step.
    """

    def __init__(
        self, instance: Instance, only: str | None = None, *, thorough: bool = False
    ) -> None:
        self.findings = Findings()
        self.notes: list[str] = []
        self.sizes: dict[str, int] = {}
        self._instance = instance
        self._only = only
        self._thorough = thorough
        self._report = self.findings.of(None)

    def steps(self) -> Generator[Step, None, None]:
        """Check everything, a few entries at a time.

        Raises `StorageError` where the database cannot be read now and
        `ConfigurationError` where there is no log of the name.
        """
        try:
            with open_reader(self._instance) as reader:
                yield from self._steps(reader)
        except UnreadableError as error:
            self._report("database", None, None, str(error))

    def _steps(self, reader: CheckReader) -> Iterator[Step]:
        for name in reader.schema():
            self._report("schema", name, None, "not as this program makes it")
        if self._thorough:
            damage, notes = reader.integrity()
            for line in damage:
                self._report("database", None, None, line)
            self.notes += notes
        # The guard before the heads: what it holds was committed before it was read.
        released = self._guards(reader.snapshot())
        snapshot = reader.snapshot()
        every = {row.log for row in snapshot.logs}
        self._check_foreign(reader, snapshot, every)
        tokens = TokenCheck(snapshot.tokens, self._report)
        checked: list[CheckedLog] = []
        for row in self._chosen(snapshot):
            check = self._log_check(row, snapshot, released, reader, tokens)
            if check is not None:
                yield from check.steps()
                checked.append(check.result())
        tokens.finish(checked, every)

    def _chosen(self, snapshot: Snapshot) -> list[LogRow]:
        if self._only is None:
            return snapshot.logs
        rows = [row for row in snapshot.logs if row.name == self._only.encode()]
        if not rows:
            raise ConfigurationError(f"there is no log {self._only!r}; see `log list`")
        return rows

    def _check_foreign(
        self, reader: CheckReader, snapshot: Snapshot, every: set[int]
    ) -> None:
        """Report rows of logs that there are not, and logs without a head."""
        try:
            for table, number in reader.foreign(every):
                self._report(table, f"of log {number}", "log", "there is no such log")
        except UnreadableError as error:
            self._report("database", None, None, str(error))
        for number in sorted(every.difference(snapshot.heads)):
            self._report("heads", number, "log", "the log has no head")

    def _log_check(
        self,
        row: LogRow,
        snapshot: Snapshot,
        released: dict[int, ReleasedHead],
        reader: CheckReader,
        tokens: TokenCheck,
    ) -> LogCheck | None:
        name = shown_text(row.name)
        report = self.findings.of(name)
        head = snapshot.heads.get(row.log)
        if head is None:
            return None
        self.sizes[name] = head.size
        check_cursors(row.log, snapshot, report)
        sources: list[SourceRow] = [
            source for source in snapshot.sources if source.log == row.log
        ]
        return LogCheck(
            name,
            row,
            head,
            self._keys(row, report),
            released.get(row.log),
            reader,
            SourceCheck(sources, report),
            tokens,
            report,
        )

    def _keys(self, row: LogRow, report: Report) -> LogKeys | None:
        try:
            keyring = Keyring(self._instance.keys)
            return keyring.load(decode_text(row.name), retired=True)
        except (ConfigurationError, MalformedError, ValueError):
            what = "the keyring has no readable keys under the log's name"
            report("logs", row.log, "name", what)
            return None

    def _guards(self, snapshot: Snapshot) -> dict[int, ReleasedHead]:
        """Return what the guard holds of each log, but for those that are retired.

        Of a retired log it holds what others have seen and the database may have lost.
        """
        found = {}
        for row in snapshot.logs:
            name = shown_text(row.name)
            if self._only not in (None, name):
                continue
            try:
                known = self._read_guard(decode_text(row.origin))
            except (ConfigurationError, MalformedError) as error:
                self.findings.of(name)("guard", None, None, str(error))
                continue
            if known is None:
                self.notes.append(f"log {name}: there is no guard to compare with")
            elif known.successor is not None:
                self.notes.append(
                    f"log {name} is retired, released up to size {known.head.size};"
                    f" its successor is the log {known.successor}"
                )
            else:
                found[row.log] = known.head
        return found

    def _read_guard(self, origin: str) -> GuardRecord | None:
        if self._instance.guard_url is None and not self._instance.guard.is_dir():
            return None
        # On a thread of its own: there may be an event loop in this one.
        with ThreadPoolExecutor(1) as thread:
            inspecting = inspect_once(self._instance, origin)
            return thread.submit(asyncio.run, inspecting).result()
