"""Security event tokens (RFC 8417), with the events of RFC 9967, CAEP and RISC.

A record is a token in compact form, which is kept as it is, so that its signature can
be verified for as long as the receipt is; or a decoded set of claims. Nothing is
verified here: what a hook or a poll brings was verified before it came.
An event of a token that nobody verified has the flag `signature_unverified`, one of
claims by themselves, or of ``alg: none``, the flag `unsigned`.

The id is ``<jti>@<iss>``: RFC 8417 makes the two unique together.

Of a token whose claims hold a secret the claims come here, with the secret cut out: its
signature cannot be verified any more, which `token_not_kept` says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.merkle.event_tokens import (
    MEDIA_TYPE,
    claims_unverified,
    is_token_shaped,
)
from provlog.merkle.jws import parse_token_unverified
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

NAME: Final = "set"
VERSION: Final = "1"

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
        if is_token_shaped(first) or is_json_object(first):
            return cut_lines(stripped)
        if is_json_object(stripped):
            return iter([[stripped]])
        raise EventError(
            400, "neither tokens, one on each line, nor claims in JSON, nor an array"
        )

    def to_events(self, record: bytes, source: str, now_ms: int) -> list[Event]:
        """Return the events of one token, or one set of claims."""
        read = _read(record)
        facts = replace(read, flags=(*read.flags, *self._flags(record)))
        connector = (self.name, self.version)
        return build_events(facts, record, source, now_ms, connector)

    def _flags(self, record: bytes) -> tuple[str, ...]:
        signed = is_token_shaped(record) and not _is_unsigned(record)
        if self.verified:
            # The claims of a token that held a secret: it was cut before it came here.
            return () if signed else ("token_not_kept",)
        return ("signature_unverified",) if signed else ("unsigned",)


CONNECTOR: Final = SetConnector()
VERIFIED: Final = SetConnector(verified=True)
"""The connector of tokens whose signatures were verified before."""


def _is_unsigned(token: bytes) -> bool:
    """Tell whether a token says itself that it has no signature."""
    try:
        named = parse_token_unverified(token.decode("ascii")).header.get("alg")
    except MalformedError:
        return False
    return isinstance(named, str) and named.lower() == "none"


def _read(record: bytes) -> Facts:
    if len(record) > WINDOW:
        # It would hold up everybody else.
        return Facts(type="other.unparsed")
    try:
        facts = facts_of(loads_json(claims_unverified(record)))
    except MalformedError:
        facts = Facts(type="other.unparsed")
    return replace(facts, media_type=MEDIA_TYPE) if is_token_shaped(record) else facts


def _unquoted(cut: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """Yield the records of an array, a token without the quotation marks around it."""
    for step in cut:
        yield [
            each[1:-1] if each[:1] == b'"' and is_token_shaped(each[1:-1]) else each
            for each in step
        ]
