"""Events put by way of the standard library's logging.

::

    handler = OutboxHandler(outbox, source="urn:hr:acme")
    logging.getLogger("hr.accounts").addHandler(handler)

    log = logging.getLogger("hr.accounts")
    log.info("locked %s", number, extra={"provlog": {
        "type": "account.lock", "data": {"target": {"id": number, "type": "user"}}}})

Only what stands under `provlog` becomes an event: a log's message is for people, and
may say more than is to be kept.
"""

import logging
import sys
from collections.abc import Mapping

from provlog.client.errors import UsageError
from provlog.client.outbox.box import Outbox
from provlog.merkle.encoding import JsonValue, format_time

ATTRIBUTE = "provlog"


class OutboxHandler(logging.Handler):
    """A handler that puts the event a log record carries; others it passes over.

    The event is a mapping under `provlog` in the record's `extra`. Without a `source`
    it gets the handler's, without a `time` that of the record. When `emit` returns, the
    event is on disk.

    An event that cannot be put never breaks the caller: a line on standard error says
    so, without the event, unless `logging.raiseExceptions` is off. With `raises` the
    error is raised where the record was logged.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        source: str | None = None,
        level: int = logging.NOTSET,
        raises: bool = False,
    ) -> None:
        super().__init__(level)
        self._outbox = outbox
        self._source = source
        self._raises = raises

    def emit(self, record: logging.LogRecord) -> None:
        """Put the event of a record, if it carries one."""
        event = getattr(record, ATTRIBUTE, None)
        if event is None:
            return
        try:
            self._outbox.put(self._whole(event, record))
        except Exception:
            if self._raises:
                raise
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's
        """Say on standard error that a record's event was not put, and why."""
        if not logging.raiseExceptions or sys.stderr is None:
            return
        kind = sys.exc_info()[0]
        name = "unknown" if kind is None else kind.__name__
        place = f"{record.name}, {record.filename}:{record.lineno}"
        try:
            sys.stderr.write(f"provlog: an event was NOT put ({name}; {place})\n")
        except OSError:
            return

    def _whole(
        self, event: object, record: logging.LogRecord
    ) -> Mapping[str, JsonValue]:
        if not isinstance(event, Mapping):
            raise UsageError("what stands under provlog is not a mapping")
        whole: dict[str, JsonValue] = {"time": format_time(int(record.created * 1000))}
        if self._source is not None:
            whole["source"] = self._source
        return {**whole, **event}
