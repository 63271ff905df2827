"""Entries as rules are given them, without a log: a leaf and its open members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from provlog.client.entry_rules import Rules
from provlog.client.rules.parsing import parse_rules
from provlog.merkle.disclosures import Disclosure, make_disclosure, parse_disclosure
from provlog.merkle.encoding import JsonValue, encode_base64url, format_time
from provlog.merkle.entries import Entry, build_entry, event_template, parse_entry

ALICE: JsonValue = {"ns": "urn:ns:acme", "id": "00u9", "type": "user"}
BOB: JsonValue = {"ns": "urn:ns:acme", "id": "00u1", "type": "user"}


@dataclass(frozen=True)
class JudgedEntry:
    """One entry, some of whose members are withheld."""

    index: int
    entry: Entry
    disclosures: Mapping[str, Disclosure] = field(default_factory=dict)
    withheld: Sequence[str] = ()


def moment(text: str) -> int:
    """Return the Unix milliseconds of a time in ISO form with its zone."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def entry(
    members: Mapping[str, JsonValue] | None = None,
    *,
    type_: str = "role.assign",
    source: str = "urn:okta:acme",
    recorded: str = "2026-11-25T10:00:00Z",
    time: str | None = None,
    withheld: Sequence[str] = (),
    index: int = 7,
) -> JudgedEntry:
    """Return an event's entry with these members; Wednesday unless told otherwise."""
    texts = {
        name: make_disclosure(bytes(16), name, value)
        for name, value in (members or {}).items()
    }
    opened = {name: parse_disclosure(text) for name, text in texts.items()}
    template = event_template(
        entry_id=encode_base64url(bytes(32)),
        members={name: each.digest for name, each in opened.items()},
        source=source,
        tags=[],
        time=format_time(moment(time or recorded)),
        type=type_,
    )
    leaf = template.finish(1, 0, format_time(moment(recorded)))
    shown = {name: each for name, each in opened.items() if name not in withheld}
    return JudgedEntry(index, parse_entry(leaf), shown, tuple(withheld))


def frozen(index: int = 7) -> JudgedEntry:
    """Return an entry that the log itself wrote, of the kind `freeze`."""
    leaf = build_entry(
        "freeze", epoch=1, n=0, recorded="2026-11-25T10:00:00.000Z", body={}
    )
    return JudgedEntry(index, parse_entry(leaf))


def rules(body: str, types: str = '["role.assign"]') -> Rules:
    """Return one rule with these further lines."""
    return Rules(parse_rules(f'[[rule]]\nname = "r"\ntypes = {types}\n{body}\n'))
