"""C2SP tlog-list: which logs a witness is asked to know, and how often each may ask.

After the line ``logs/v0`` each log has its lines in a fixed order: ``vkey``, perhaps
``origin``, ``qpd`` (queries per day) and ``contact``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import parse_decimal
from provlog.merkle.errors import MalformedError
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import MAX_NAME_SIZE, VerifierKey
from provlog.merkle.policy import LOG_KEY_TYPES

MAX_LIST_SIZE = 64 << 20
MAX_LISTED = 100_000
MAX_RATE = 2**31 - 1
MAX_CONTACT = 1000

_HEADER = "logs/v0"


@dataclass(frozen=True, slots=True)
class ListedLog:
    """One log of a list.

    `rate` is how many `add-checkpoint` requests it may make in a day, `contact` says to
    people how its operator is reached.
    """

    key: VerifierKey
    origin: str
    rate: int
    contact: str


def parse_log_list(data: bytes) -> tuple[ListedLog, ...]:
    """Return the logs of a list, or raise `MalformedError` naming the line.

    Origins are unique; keys are of the types that logs sign with (0x01 and 0x06).
    """
    if len(data) > MAX_LIST_SIZE:
        raise MalformedError(f"log list: longer than {MAX_LIST_SIZE} bytes")
    try:
        text = data.decode()
    except UnicodeError:
        raise MalformedError("log list: not UTF-8") from None
    lines = _Lines(text)
    if lines.take() != _HEADER:
        raise MalformedError(f"log list: does not begin with {_HEADER}")
    logs: dict[str, ListedLog] = {}
    while not lines.ended:
        try:
            log = _read_log(lines)
            if logs.setdefault(log.origin, log) is not log:
                raise MalformedError("a second log of the same origin")
            if len(logs) > MAX_LISTED:
                raise MalformedError(f"more than {MAX_LISTED} logs")
        except MalformedError as error:
            raise MalformedError(f"log list, line {lines.number}: {error}") from None
    return tuple(logs.values())


def format_log_list(logs: Iterable[ListedLog]) -> bytes:
    """Return a list of these logs; the origin is left out where the key names it."""
    lines = [_HEADER]
    for log in logs:
        lines += ["", f"vkey {log.key.vkey()}"]
        if log.origin != log.key.name:
            lines.append(f"origin {log.origin}")
        lines += [f"qpd {log.rate}", f"contact {log.contact}"]
    return ("\n".join(lines) + "\n").encode()


def require_log(key: VerifierKey, origin: str) -> None:
    """Raise `MalformedError` unless a witness can know a log by this key and origin."""
    if key.key_type not in LOG_KEY_TYPES:
        raise MalformedError(f"a log has no key of type {key.key_type:#04x}")
    try:
        Checkpoint(origin, 0, EMPTY_ROOT)
        size = len(origin.encode())
    except ValueError:  # UnicodeError among them
        raise MalformedError("an origin is a line of text") from None
    if size > MAX_NAME_SIZE:
        # A cosignature of type 0x06 could not name it.
        raise MalformedError(f"an origin has {MAX_NAME_SIZE} bytes at most")


class _Lines:
    """The lines that say something, without outer blanks; `number` is of the last."""

    def __init__(self, text: str) -> None:
        self._lines = self._meaning(text)
        self.number = 0
        self._next: tuple[int, str] | None = None
        self._advance()

    @staticmethod
    def _meaning(text: str) -> Iterator[tuple[int, str]]:
        for number, line in enumerate(text.split("\n"), 1):
            stripped = line.strip(" \t")
            if stripped and not stripped.startswith("#"):
                yield number, stripped

    def _advance(self) -> None:
        self._next = next(self._lines, None)

    @property
    def ended(self) -> bool:
        return self._next is None

    def take(self) -> str:
        """Return the next line, "" behind the last one."""
        if self._next is None:
            return ""
        self.number, line = self._next
        self._advance()
        return line

    def has(self, keyword: str) -> bool:
        return self._next is not None and self._next[1].split(" ", 1)[0] == keyword

    def value(self, keyword: str) -> str:
        """Return what the next line has behind its keyword, which has to be this."""
        found, _, value = self.take().partition(" ")
        if found != keyword or not value:
            raise MalformedError(f"not the line '{keyword} …' that has to come here")
        return value


def _read_log(lines: _Lines) -> ListedLog:
    key = VerifierKey.parse(lines.value("vkey"))
    origin = lines.value("origin") if lines.has("origin") else key.name
    require_log(key, origin)
    rate = parse_decimal(lines.value("qpd"), "qpd", MAX_RATE)
    if rate < 1:
        raise MalformedError("qpd: below 1")
    contact = lines.value("contact")
    if len(contact) > MAX_CONTACT or not contact.isprintable():
        raise MalformedError(f"contact: not a text of {MAX_CONTACT} characters at most")
    return ListedLog(key, origin, rate, contact)
