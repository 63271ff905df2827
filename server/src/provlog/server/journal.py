"""The server's log as its operator reads it: text or JSON, with request ids.

No line holds anything that was sent: exceptions are written by kind and frames,
because their texts may repeat it.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from provlog.merkle.encoding import JsonValue, format_time
from provlog.server.errors import describe

logger = logging.getLogger(__name__)

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The id of the request that is handled in this context; empty outside of one."""

_STANDARD: Final = frozenset(
    (*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName")
)


_worker: int | None = None


class TextFormatter(logging.Formatter):
    """Lines for people: time, level, logger, worker, request, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line, with the frames of an exception below it."""
        request = REQUEST_ID.get()
        named = record.name if _worker is None else f"{record.name} #{_worker}"
        named = f"{named} [{request}]" if request else named
        line = f"{_time(record)} {record.levelname} {named}: {record.getMessage()}"
        exception = _exception(record)
        return line if exception is None else f"{line}\n{exception}"


class JsonFormatter(logging.Formatter):
    """Lines for programs: one JSON object each, further fields of the record with it.

    `time` is RFC 3339 in UTC. Only scalars are taken from the record's further fields.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line of JSON."""
        line: dict[str, JsonValue] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if _worker is not None:
            line["worker"] = _worker
        if request := REQUEST_ID.get():
            line["request_id"] = request
        exception = _exception(record)
        if exception is not None:
            line["exception"] = exception
        for name, value in fields(record):
            line.setdefault(name, value)
        return msgspec.json.encode(line).decode()


FORMATS: Final = {"text": TextFormatter, "json": JsonFormatter}


def set_up(form: str, level: int = logging.INFO) -> None:
    """Write the process's log to standard error in one of the `FORMATS`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[form]())
    logging.basicConfig(handlers=[handler], level=level)
    # What cannot be formatted would be printed with its arguments.
    logging.raiseExceptions = False


def name_worker(number: int) -> None:
    """Have each line say which of several workers this process is."""
    global _worker  # what a process is, it is as a whole
    _worker = number


def log_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody caught in an event loop.

    The loop's own text for it shows tasks and callbacks with what they hold.
    """
    error = context.get("exception")
    logger.error(
        "unhandled in the event loop: %s", describe(error) if error else "no exception"
    )


def fields(record: logging.LogRecord) -> Iterator[tuple[str, JsonValue]]:
    """Yield the scalars that were given to a record as `extra`."""
    for name, value in record.__dict__.items():
        if name not in _STANDARD and isinstance(value, str | int | float | None):
            yield name, value


def _time(record: logging.LogRecord) -> str:
    return format_time(int(record.created * 1000))


def _exception(record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[1] is None:
        return None
    return describe(record.exc_info[1]).rstrip()
