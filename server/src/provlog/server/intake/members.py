"""An event split into the members and labels of its entry (design section 5).

A member is what can be disclosed, withheld and erased as one. Identities stand apart
from what describes them, so that an entry can be proved to concern an account without
telling its name.
"""

from provlog.merkle.encoding import JsonValue
from provlog.merkle.labels import LabelKind
from provlog.server.intake.event import Event

_REFERENCES = ("ticket", "request_id")
_UNSPLIT = ("resource", "changes", "outcome")


def split_members(
    event: Event, ns: str, ingest: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """Return an entry's members: public name -> value to disclose.

    `ns` is the namespace registered with the event's source, `ingest` what the server
    knows of how the event came; the namespace, the connector and the flags are added
    to it in a copy. Nothing of `event` is changed or copied deeply.
    """
    members: dict[str, JsonValue] = {}
    data = event.data
    _split_party(members, "actor", data.get("actor"), ns)
    _split_party(members, "target", data.get("target"), ns)
    _split_context(members, data.get("context"))
    for name in _UNSPLIT:
        if name in data:
            members[name] = data[name]
    if event.original is not None:
        members["original"] = event.original
    members["event"] = _event_member(event)
    members["ingest"] = _ingest_member(event, ns, ingest)
    return members


def labels_of(event: Event, ns: str) -> list[tuple[LabelKind, str, str]]:
    """Return (kind, namespace, id) of each identity the entry is indexed under.

    Target, actor and resource, those that have an id; a member's own `ns` goes before
    the source's.
    """
    labels = []
    for name, kind in _LABELLED:
        party = event.data.get(name)
        if isinstance(party, dict):
            identifier = party.get("id")
            if isinstance(identifier, str):
                labels.append((kind, str(party.get("ns") or ns), identifier))
    return labels


_LABELLED = (
    ("target", LabelKind.TARGET),
    ("actor", LabelKind.ACTOR),
    ("resource", LabelKind.RESOURCE),
)


def sent_as(member: str) -> str:
    """Return the JSON pointer of what a submitter sent that became a member."""
    return "" if member == "event" else f"/data/{member.removesuffix('_details')}"


def _split_party(
    members: dict[str, JsonValue], name: str, party: JsonValue, ns: str
) -> None:
    if not isinstance(party, dict):
        return
    identity: dict[str, JsonValue] = {"ns": ns}
    details: dict[str, JsonValue] = {}
    for key, value in party.items():
        if key not in ("id", "ns", "type"):
            details[key] = value
        elif value is not None:
            identity[key] = value
    members[name] = identity
    if details:
        members[name + "_details"] = details


def _split_context(members: dict[str, JsonValue], context: JsonValue) -> None:
    if not isinstance(context, dict):
        return
    references: dict[str, JsonValue] = {}
    details: dict[str, JsonValue] = {}
    for key, value in context.items():
        (references if key in _REFERENCES else details)[key] = value
    if references:
        members["context"] = references
    if details:
        members["context_details"] = details


def _event_member(event: Event) -> dict[str, JsonValue]:
    # Names with an underscore cannot be CloudEvents attributes, so none can clash.
    member: dict[str, JsonValue] = {"id": event.id}
    if event.time_sent is not None:
        member["time"] = event.time_sent
    member.update(event.extensions)
    if event.native_type is not None:
        member["native_type"] = event.native_type
    if event.raw_digest is not None and event.original is None:
        # Only what names a record that was too large to keep: beside an original it
        # would let a holder of `event` confirm a guess at what is withheld.
        member["record_sha256"] = event.raw_digest.hex()
    return member


def _ingest_member(
    event: Event, ns: str, ingest: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    member: dict[str, JsonValue] = {**ingest, "ns": ns}
    if event.connector is not None:
        member["connector"], member["connector_version"] = event.connector
    if event.flags:
        member["flags"] = list(event.flags)
    return member
