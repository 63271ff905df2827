"""Security event tokens (RFC 8417), with the events of RFC 9967, CAEP and RISC.

A record is a token in compact form, which is kept as it is, so that its signature can
be verified for as long as the receipt is; or a decoded set of claims. Nothing is
verified here: what a hook or a poll brings was verified before it came.
An event of a token that nobody verified has the flag `signature_unverified`, one of
claims by themselves, or of ``alg: none``, the flag `unsigned`.

The id is ``<jti>@<iss>``: RFC 8417 makes the two unique together.

A token whose claims hold a secret is not kept: what is, is the claims with the secret
cut out, and the flag `token_not_kept`. Its signature cannot be verified any more.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.merkle.event_tokens import MEDIA_TYPE, is_token_shaped
from provlog.merkle.jws import Token, parse_token_unverified
from provlog.server.intake.connectors.building import Facts, build_events
from provlog.server.intake.connectors.secevent_facts import facts_of
from provlog.server.intake.event import Event
from provlog.server.intake.problems import EventError
from provlog.server.intake.records import (
    WINDOW,
    check_batch_size,
    cut_array,
    cut_lines,
    is_json_object,
)
from provlog.server.intake.secrets import cut_secrets

NAME: Final = "set"
VERSION: Final = "1"

_QUOTED = re.compile(rb'"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"')
_BLANKS: Final = b" \t\r\n"


class SetHook:
    """The hook of a source of tokens, whose deliveries `http.set_push` answers."""

    def verification(self, _: Mapping[str, str]) -> JsonValue:
        """Return None: RFC 8935 has no verification of an address."""
        return None

    def cut(self, body: bytes) -> Iterator[list[bytes]]:
        """Yield the one record of a push."""
        return iter([[body.strip(_BLANKS)]])


_HOOK: Final = SetHook()


@dataclass(frozen=True)
class SetConnector:
    """The connector for security event tokens; see the module.

    `verified` says that the signature of every token was verified before.
    """

    verified: bool = False
    name: str = NAME
    version: str = VERSION
    hook: SetHook = _HOOK

    def parse(self, body: bytes) -> Iterator[list[bytes]]:
        """Yield the tokens and claims of a body.

        Lines of which the first is a token or an object, a JSON array of tokens as
        strings and of claims, or one set of claims. `EventError` 400 for others.
        """
        check_batch_size(body)
        stripped = body.strip(_BLANKS)
        if stripped.startswith(b"["):
            return _unquoted(cut_array(body))
        first = stripped.partition(b"\n")[0].rstrip()
        if is_token(first) or is_json_object(first):
            return cut_lines(stripped)
        if is_json_object(stripped):
            return iter([[stripped]])
        raise EventError(
            400, "neither tokens, one on each line, nor claims in JSON, nor an array"
        )

    def to_events(self, record: bytes, source: str, now_ms: int) -> list[Event]:
        """Return the events of one token, or one set of claims."""
        read = _read(record)
        flags = [*read.facts.flags, *read.flags]
        if read.is_token and not self.verified and "unsigned" not in flags:
            flags.append("signature_unverified")
        facts = replace(read.facts, flags=tuple(flags))
        connector = (self.name, self.version)
        events = build_events(facts, read.kept, source, now_ms, connector)
        return [_redacted(event, read.pointers) for event in events]


CONNECTOR: Final = SetConnector()
VERIFIED: Final = SetConnector(verified=True)
"""The connector of tokens whose signatures were verified before."""


def is_token(record: bytes) -> bool:
    """Tell whether a record looks like a token in compact form."""
    return record.isascii() and is_token_shaped(record.decode("ascii"))


@dataclass(frozen=True, slots=True)
class _Read:
    """A record as it is kept, what it says, and which secrets were cut out of it."""

    facts: Facts
    kept: bytes
    is_token: bool = False
    flags: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()


def _read(record: bytes) -> _Read:
    if len(record) > WINDOW:
        # It would hold up everybody else.
        return _Read(Facts(type="other.unparsed"), record)
    if not is_token(record):
        return _Read(_claimed(record), record, flags=("unsigned",))
    try:
        token = parse_token_unverified(record.decode("ascii"))
    except MalformedError:
        facts = Facts(type="other.unparsed", media_type=MEDIA_TYPE)
        return _Read(facts, record, is_token=True)
    return _read_token(record, token)


def _read_token(record: bytes, token: Token) -> _Read:
    named = token.header.get("alg")
    unsigned = isinstance(named, str) and named.lower() == "none"
    flags = ("unsigned",) if unsigned else ()
    cut = cut_secrets(token.payload)
    facts = _claimed(cut.record)
    if cut.pointers:
        flags = (*flags, "token_not_kept")
        return _Read(facts, cut.record, True, flags, cut.pointers)
    return _Read(replace(facts, media_type=MEDIA_TYPE), record, True, flags)


def _claimed(claims: bytes) -> Facts:
    try:
        return facts_of(loads_json(claims))
    except MalformedError:
        return Facts(type="other.unparsed")


def _redacted(event: Event, pointers: tuple[str, ...]) -> Event:
    if not pointers or not isinstance(event.original, dict):
        return event
    original = {**event.original, "redacted": list[JsonValue](pointers)}
    return msgspec.structs.replace(event, original=original)


def _unquoted(cut: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """Yield the records of an array, a token without the quotation marks around it."""
    for step in cut:
        yield [
            each[1:-1] if _QUOTED.fullmatch(each) is not None else each for each in step
        ]
