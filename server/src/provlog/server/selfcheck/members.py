"""An entry's private side, held against its leaf: disclosures, blinded id, digest."""

import hmac
from collections.abc import Iterator, Mapping
from itertools import product

from provlog.merkle.disclosures import Disclosure, parse_disclosure
from provlog.merkle.encoding import JsonValue, encode_base64url
from provlog.merkle.entries import Entry
from provlog.merkle.errors import MalformedError
from provlog.merkle.labels import entry_id
from provlog.server.intake.event import Event
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.rows import PrivateRow

COMPARE_SIZE = 32
Members = Mapping[str, JsonValue]
JsonObject = dict[str, JsonValue]


def open_members(
    index: int, entry: Entry, row: PrivateRow, report: Report
) -> JsonObject | None:
    """Return the disclosed values by name, None where not all of them can be had.

    Each string has to open a member, and each member has to be opened: what is erased
    is erased as a whole.
    """
    opened: JsonObject = {}
    texts = row.disclosures.split(b"~") if row.disclosures else []
    for place, text in enumerate(texts):
        try:
            disclosure = _parse(text)
        except MalformedError as error:
            report("private", index, "disclosures", f"string {place}: {error}")
            continue
        if entry.members.get(disclosure.name) != disclosure.digest:
            what = f"string {place} opens no member of the leaf"
            report("private", index, "disclosures", what)
            continue
        if disclosure.name in opened:
            report("private", index, "disclosures", f"string {place} is repeated")
        opened[disclosure.name] = disclosure.value
    withheld = sorted(set(entry.members).difference(opened))
    if withheld:
        what = f"nothing opens the leaf's {', '.join(withheld)}"
        report("private", index, "disclosures", what)
    return None if withheld else opened


def check_id(
    index: int, entry: Entry, opened: Members, key: bytes, report: Report
) -> None:
    """Compare an event's blinded id with that of the id it discloses."""
    identity = _object(opened, "event").get("id")
    source = str(entry.body["source"])
    if not isinstance(identity, str):
        report("private", index, "disclosures", "the event member holds no id")
    elif encode_base64url(entry_id(key, source, identity)) != entry.body["id"]:
        what = "the leaf's id is not that of the disclosed one under the log's key"
        report("entries", index, "leaf", what)


def check_comparison(
    index: int, entry: Entry, opened: Members | None, row: PrivateRow, report: Report
) -> None:
    """Recompute the salted digest by which a repetition of an event is recognised."""
    key, digest = row.compare_key, row.compare_digest
    if entry.kind != "event":
        for column, value in (("compare_key", key), ("compare_digest", digest)):
            if value is not None:
                report("private", index, column, f"stands beside a {entry.kind} entry")
        return
    sized = True
    for column, value in (("compare_key", key), ("compare_digest", digest)):
        if value is None or len(value) != COMPARE_SIZE:
            report("private", index, column, f"not of {COMPARE_SIZE} bytes")
            sized = False
    if opened is None or not sized or key is None or digest is None:
        return
    for event in _readings(entry, opened):
        if hmac.digest(key, event.comparison(), "sha256") == digest:
            return
    what = "compare_digest is not that of the disclosed event under compare_key"
    report("private", index, "compare_digest", what)


def _readings(entry: Entry, opened: Members) -> Iterator[Event]:
    """Yield the events that come to these disclosures, the likeliest first.

    What was sent as null, or as what the server would have filled in anyway, is not
    told apart in the disclosures; in the compared bytes it is.
    """
    said, ingest = _object(opened, "event"), _object(opened, "ingest")
    parties: list[list[JsonObject]] = [
        [{name: party} for party in _parties(opened, name, ingest.get("ns"))]
        for name in ("actor", "target")
        if name in opened
    ]
    rest: JsonObject = {
        name: opened[name]
        for name in ("resource", "changes", "outcome")
        if name in opened
    }
    split = [name for name in ("context", "context_details") if name in opened]
    context: JsonObject = {}
    for name in split:
        context |= _object(opened, name)
    contexts: list[JsonObject] = (
        [{"context": context}] if split else [{}, {"context": {}}]
    )
    native = said.get("native_type")
    for more, *chosen in product(contexts, *parties):
        data = rest | more
        for party in chosen:
            data |= party
        yield Event(
            id="",
            source="",
            type=str(entry.body["type"]),
            time="",
            time_sent=said.get("time"),
            data=data,
            native_type=native if isinstance(native, str) else None,
            connector=("", "") if "connector" in ingest else None,
        )


def _parties(opened: Members, name: str, ns: JsonValue) -> Iterator[JsonObject]:
    """Yield what a party may have been sent as."""
    identity = _object(opened, name)
    known = {**_object(opened, name + "_details"), **identity}
    own = known.pop("ns", None)
    namespaces: list[JsonObject] = [{"ns": own}]
    if own == ns:
        namespaces = [{}, {"ns": own}, {"ns": None}]
    nulls: list[list[JsonObject]] = [
        [{}, {member: None}] for member in ("id", "type") if member not in known
    ]
    for parts in product(namespaces, *nulls):
        party = dict(known)
        for part in parts:
            party |= part
        yield party


def _object(opened: Members, name: str) -> JsonObject:
    value = opened.get(name)
    return value if isinstance(value, dict) else {}


def _parse(text: bytes) -> Disclosure:
    try:
        return parse_disclosure(text.decode("ascii"))
    except UnicodeDecodeError:
        raise MalformedError("not ASCII") from None
