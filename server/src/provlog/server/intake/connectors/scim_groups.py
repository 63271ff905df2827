"""Groups in SCIM: who was added and who was removed, one event each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import fitting_id, text_members
from provlog.server.intake.connectors.scim_exchange import Exchange, members_of
from provlog.server.intake.connectors.scim_states import put_changes, without_secrets
from provlog.server.intake.connectors.scim_steps import (
    Attributes,
    MemberStep,
    attribute,
    member_step,
    read_steps,
)

ADDED = "group.member.add"
REMOVED = "group.member.remove"


@dataclass(slots=True)
class _Difference:
    """Members by id that were added and removed, and changes of all else."""

    before: dict[str, Attributes] | None
    added: dict[str, Attributes] = field(default_factory=dict)
    removed: dict[str, Attributes] = field(default_factory=dict)
    changes: list[JsonValue] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)

    def replace(self, members: Sequence[Attributes]) -> None:
        """Note a new list of all members."""
        wanted = _by_id(members)
        if self.before is None:
            self.flags.append("removals_unknown")
            self._add(wanted)
            return
        known = self.before
        # Whatever earlier operations of the request did, this is what it ends with.
        self.added = {key: each for key, each in wanted.items() if key not in known}
        self.removed = {key: each for key, each in known.items() if key not in wanted}

    def take(self, step: MemberStep) -> None:
        """Note what one operation does to members."""
        if step.members is None:
            if step.op == "remove" and step.every:
                self.added.clear()
            if step.op == "remove" and step.every and self.before is not None:
                self._remove(self.before)
            else:
                self.flags.append("members_unknown")
        elif step.op == "replace":
            self.replace(step.members)
        elif step.op == "add":
            self._add(_by_id(step.members))
        elif step.op == "remove":
            self._remove(self._named(step.members))
        else:
            self.flags.append("members_unknown")

    def _add(self, members: dict[str, Attributes]) -> None:
        """Note additions; of several operations on a member the last one holds."""
        for key in members:
            self.removed.pop(key, None)
        self.added |= members

    def _remove(self, members: dict[str, Attributes]) -> None:
        if self.added:
            for key in members:
                self.added.pop(key, None)
        self.removed |= members

    def _named(self, members: Sequence[Attributes]) -> dict[str, Attributes]:
        """Return members, named as the state before names them."""
        known = self.before or {}
        return {key: each | known.get(key, {}) for key, each in _by_id(members).items()}


def group_events(
    exchange: Exchange, kind: str, group: Attributes, flags: list[str]
) -> Iterator[tuple[str, Attributes]]:
    """Yield the types and members of the events of a request about a group.

    The group itself has an event where it is created or deleted, where something else
    than members changes, and where nothing is known of its members; `flags` get what
    is not known.
    """
    found = _difference(exchange)
    flags += found.flags
    members = [
        *((ADDED, each) for each in found.added.values()),
        *((REMOVED, each) for each in found.removed.values()),
    ]
    if kind != "group.update" or found.changes or not members:
        changes = without_secrets(found.changes)
        yield kind, {"target": group, **({"changes": changes} if changes else {})}
    for type_, member in members:
        yield type_, {"target": _party(member), "resource": group}


def _difference(exchange: Exchange) -> _Difference:
    before = exchange.before
    known = None if before is None else _by_id(members_of(before))
    found = _Difference(known)
    request = exchange.request if isinstance(exchange.request, dict) else {}
    if exchange.method == "PATCH":
        _read_patch(request, before, found)
    elif exchange.method == "POST":
        found.added = _by_id(members_of(request))
        found.changes = _without_members(put_changes(request, {}))
    elif exchange.method == "PUT":
        if attribute(request, "members") is not None:
            found.replace(members_of(request))
        found.changes = _without_members(put_changes(request, before))
    return found


def _read_patch(
    request: Attributes, before: Attributes | None, found: _Difference
) -> None:
    steps = [(step, member_step(step)) for step in read_steps(request)]
    whole = [place for place, (_, each) in enumerate(steps) if each and each.is_whole]
    # What is known to be overruled later in the request need not be compared.
    first = whole[-1] if whole and before is not None else 0
    for place, (step, of_members) in enumerate(steps):
        if of_members is None:
            found.changes.append(step.change(before))
        elif place >= first:
            found.take(of_members)
            if of_members.members is None:
                found.changes.append(step.change(None))


def _without_members(changes: list[JsonValue]) -> list[JsonValue]:
    return [
        each
        for each in changes
        if not isinstance(each, dict) or str(each.get("path")).lower() != "members"
    ]


def _by_id(members: Sequence[Attributes]) -> dict[str, Attributes]:
    return {value: each for each in members if isinstance(value := each["value"], str)}


def _party(member: Attributes) -> Attributes:
    kind = member.get("type")
    return (
        fitting_id(member.get("value"))
        | {"type": "group" if str(kind).lower() == "group" else "user"}
        | text_members(name=member.get("display"))
    )
