"""C2SP tlog-policy: which logs, which witnesses, and how many of them it takes.

A policy is a file of lines that define logs, witnesses, groups of witnesses and, once,
the quorum. Every name is defined before it is used, so one pass reads it, and one pass
over the groups in their order decides whether a quorum is reached.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from provlog.merkle.encoding import parse_decimal
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import KeyType, VerifierKey

MAX_POLICY_SIZE = 1 << 20
MAX_DEFINITIONS = 1000
"""How many lines of a policy may define something."""

LOG_KEY_TYPES = frozenset({KeyType.ED25519, KeyType.COSIGNATURE_MLDSA44})
WITNESS_KEY_TYPES = frozenset(
    {KeyType.COSIGNATURE_ED25519, KeyType.COSIGNATURE_MLDSA44}
)

_NO_QUORUM = "none"
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_WHITESPACE = re.compile(rb"[ \t]+")


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log whose checkpoints are believed; the key's name is the log's origin."""

    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness under the name that the policy gives it."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """A group: it has witnessed what at least `threshold` of its members have."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy; `groups` stand in an order in which members come first.

    `quorum` is the name of a witness or group, or None where none is asked for. Names
    and URLs are opaque octets: those that are not UTF-8 hold surrogate escapes.
    """

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: tuple[PolicyGroup, ...]
    quorum: str | None

    def satisfied_by(self, witnesses: Collection[str]) -> bool:
        """Tell whether cosignatures of these witnesses, by name, reach the quorum.

        Names that the policy does not define as witnesses count for nothing.
        """
        reached = {each.name for each in self.witnesses}.intersection(witnesses)
        for group in self.groups:
            if len(reached.intersection(group.members)) >= group.threshold:
                reached.add(group.name)
        return self.quorum is None or self.quorum in reached


def parse_policy(text: bytes | str) -> Policy:
    """Return the policy in `text`, or raise `MalformedError` naming the line."""
    data = text if isinstance(text, bytes) else _encode(text)
    if len(data) > MAX_POLICY_SIZE:
        raise MalformedError(f"policy: longer than {MAX_POLICY_SIZE} bytes")
    if _FORBIDDEN.search(data):
        raise MalformedError("policy: a control character other than tab and newline")
    lines = data.split(b"\n")
    if lines.pop():
        raise MalformedError("policy: the last line has no end")
    reader = _Reader()
    for number, line in enumerate(lines, 1):
        try:
            reader.read(line)
        except MalformedError as error:
            raise MalformedError(f"policy, line {number}: {error}") from None
    return reader.finish()


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeError:
        raise MalformedError("policy: not text") from None


@dataclass(slots=True)
class _Reader:
    """What the lines read so far define."""

    logs: list[PolicyLog] = field(default_factory=list)
    witnesses: list[PolicyWitness] = field(default_factory=list)
    groups: list[PolicyGroup] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    public_keys: set[tuple[str, bytes]] = field(default_factory=set)
    keys: dict[tuple[str, bytes], VerifierKey] = field(default_factory=dict)
    quorum: str | None = None
    definitions: int = 0

    def read(self, line: bytes) -> None:
        fields = [part for part in _WHITESPACE.split(line) if part]
        if not fields or fields[0].startswith(b"#"):
            return
        self.definitions += 1
        if self.definitions > MAX_DEFINITIONS:
            raise MalformedError(f"more than {MAX_DEFINITIONS} definitions")
        keyword, *values = (part.decode("utf-8", "surrogateescape") for part in fields)
        readers: dict[str, Callable[[list[str]], None]] = {
            "log": self.read_log,
            "witness": self.read_witness,
            "group": self.read_group,
            "quorum": self.read_quorum,
        }
        if keyword not in readers:
            raise MalformedError("not a log, witness, group, quorum or comment")
        readers[keyword](values)

    def read_log(self, values: list[str]) -> None:
        if not 1 <= len(values) <= 2:
            raise MalformedError("not of the form: log <vkey> [<url>]")
        key = self.read_key(values[0], "log", LOG_KEY_TYPES)
        self.logs.append(PolicyLog(key, *values[1:]))

    def read_witness(self, values: list[str]) -> None:
        if not 2 <= len(values) <= 3:
            raise MalformedError("not of the form: witness <name> <vkey> [<url>]")
        key = self.read_key(values[1], "witness", WITNESS_KEY_TYPES)
        self.define(values[0])
        self.witnesses.append(PolicyWitness(values[0], key, *values[2:]))

    def read_group(self, values: list[str]) -> None:
        if len(values) < 3:
            raise MalformedError("not of the form: group <name> all|any|<k> <name>...")
        name, rule, *members = values
        for member in members:
            self.require_defined(member)
            if member in self.members:
                raise MalformedError("a name is a member twice")
            self.members.add(member)
        threshold = _parse_threshold(rule, len(members))
        self.define(name)
        self.groups.append(PolicyGroup(name, threshold, tuple(members)))

    def read_quorum(self, values: list[str]) -> None:
        if self.quorum is not None:
            raise MalformedError("a second quorum")
        if len(values) != 1:
            raise MalformedError("not of the form: quorum <name>|none")
        if values[0] != _NO_QUORUM:
            self.require_defined(values[0])
        self.quorum = values[0]

    def finish(self) -> Policy:
        if self.quorum is None:
            raise MalformedError("policy: no quorum")
        return Policy(
            tuple(self.logs),
            tuple(self.witnesses),
            tuple(self.groups),
            None if self.quorum == _NO_QUORUM else self.quorum,
        )

    def define(self, name: str) -> None:
        if name == _NO_QUORUM:
            raise MalformedError(f"{_NO_QUORUM!r} is reserved")
        if name in self.names:
            raise MalformedError("a name is defined twice")
        self.names.add(name)

    def require_defined(self, name: str) -> None:
        if name not in self.names:
            raise MalformedError("a name is used that no line before defines")

    def read_key(
        self, vkey: str, role: str, allowed: Collection[KeyType]
    ) -> VerifierKey:
        key = VerifierKey.parse(vkey)
        if key.key_type not in allowed:
            raise MalformedError(f"a {role} has no key of type {key.key_type:#04x}")
        # The same key under another name would let one party count twice.
        if (role, key.public_key) in self.public_keys:
            raise MalformedError("the same public key as on a line before")
        self.public_keys.add((role, key.public_key))
        # Signature lines could not tell two such keys apart.
        if self.keys.setdefault((key.name, key.key_id), key) != key:
            raise MalformedError("the same key name and ID as on a line before")
        return key


def _parse_threshold(rule: str, members: int) -> int:
    if rule == "any":
        return 1
    if rule == "all":
        return members
    threshold = parse_decimal(rule, "threshold", members)
    if threshold < 1:
        raise MalformedError("threshold: below 1")
    return threshold
