"""Entra's provisioning log: what it did to an account in another system, or did not.

`provisioningObjectSummary` of Microsoft Graph v1.0, and the same as Azure Monitor
exports it (category `ProvisioningLogs`).

The target is the identity in the target system, the resource the one in the source
system that it stands for. Entra's own identities are in the namespace of the source;
those of any other system in `entra:` and the object id of the service principal through
which it is provisioned (with `:source` behind it if they come from there): a `target`
without `ns` in it would be an account at Entra. `targetSystem.id` is not used, since it
is another one from record to record of one job.

A skipped change is an event like any other, with result and reason: an account that was
never created is what somebody will ask about. The reason is that of `errorInformation`,
else what the last step says that did not succeed.

The provider's type is put together, as `provisioning.<action>.<type of identity>`.
"""

from typing import Final

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import Facts, text_members
from provlog.server.intake.connectors.entra_reading import (
    Object,
    changes_of,
    kind_of,
    members,
    objects,
    party,
    second_of,
    text,
)
from provlog.server.intake.data_members import MAX_CHANGES, is_namespace

TYPES: Final = {
    "provisioning.create.group": "group.create",
    "provisioning.create.user": "account.create",
    "provisioning.delete.group": "group.delete",
    "provisioning.delete.user": "account.delete",
    "provisioning.disable.user": "account.disable",
    "provisioning.update.group": "group.update",
    "provisioning.update.user": "account.update",
}

STATUSES: Final = ("success", "failure", "skipped", "warning")
"""`provisioningResult`, in the order of its numbers."""
_RESULTS: Final = frozenset({"success", "failure", "skipped"})

# What Entra calls itself; the other end of a synchronisation between two tenants is
# "Azure Active Directory (target tenant)".
_HERE: Final = frozenset({"azure active directory", "microsoft entra id"})


def is_provisioning(record: Object, category: str) -> bool:
    """Tell whether a record, its names in lower case, is one of this log."""
    return "provisioningaction" in record or category == "provisioninglogs"


def provisioning_facts(record: Object, envelope: Object) -> Facts:
    """Return what a record says; `envelope` is the export's around it, or empty."""
    native_type = _native_type(record)
    time = record.get("activitydatetime", envelope.get("time"))
    changes = changes_of(record.get("modifiedproperties"), as_json=False)
    cut = len(changes) > MAX_CHANGES
    data: Object = {
        **_identities(record),
        "changes": changes[:MAX_CHANGES],
        "outcome": _outcome(record, envelope),
        "context": _context(record),
    }
    return Facts(
        id=record.get("id"),
        time=time,
        compared_time=second_of(time),
        native_type=native_type,
        type=TYPES.get(native_type),
        data=[{name: member for name, member in data.items() if member}],
        flags=("changes_cut",) if cut else (),
    )


def _native_type(record: Object) -> str:
    action = text(record.get("provisioningaction")) or text(record.get("action"))
    ends = (members(record.get(f"{end}identity")) for end in ("target", "source"))
    kinds = (kind_of(each.get("identitytype")) for each in ends)
    kind = next((each for each in kinds if each), "")
    return f"provisioning.{action.lower() or 'unknown'}.{kind or 'unknown'}"


def _identities(record: Object) -> Object:
    target = members(record.get("targetidentity"))
    source = members(record.get("sourceidentity"))
    inbound = _is_here(record, "targetsystem") and not _is_here(record, "sourcesystem")
    found: Object = {
        "actor": _actor(record),
        "target": _identity(target)
        | text_members(external_id=text(source.get("id")))
        | ({} if inbound else {"ns": _namespace(record)}),
    }
    if source:
        here = _is_here(record, "sourcesystem")
        ns: Object = {} if here else {"ns": f"{_namespace(record)}:source"}
        found["resource"] = _identity(source) | ns
    return found


def _actor(record: Object) -> Object:
    who = members(record.get("initiatedby"))
    kinds = (who.get(name) for name in ("initiatortype", "initiatingtype", "type"))
    kind = next((each.lower() for each in map(text, kinds) if each), "")
    return party(kind, who.get("id"), who.get("displayname"), who.get("name"))


def _identity(identity: Object) -> Object:
    details = members(identity.get("details"))
    return party(
        kind_of(identity.get("identitytype")),
        identity.get("id"),
        details.get("userprincipalname"),
        identity.get("displayname"),
        identity.get("name"),
    )


def _is_here(record: Object, system: str) -> bool:
    return _name(record.get(system)).lower() in _HERE


def _name(value: JsonValue) -> str:
    named = members(value)
    return text(named.get("displayname")) or text(named.get("name"))


def _application(record: Object) -> Object:
    found = objects(record.get("serviceprincipal"))
    return found[0] if found else {}


def _namespace(record: Object) -> str:
    """Return the namespace of the system that is not Entra itself."""
    names = (text(_application(record).get("id")).lower(), text(record.get("jobid")))
    spaces = [f"entra:{name}" for name in names if name]
    # Behind it there has to be room for ":source".
    fitting = (each for each in spaces if is_namespace(f"{each}:source"))
    return next(fitting, "entra:unknown")


def _outcome(record: Object, envelope: Object) -> Object:
    info = members(record.get("provisioningstatusinfo"))
    old = members(record.get("statusinfo"))
    found = (info.get("status"), old.get("status"), envelope.get("resulttype"))
    status = next((each for each in map(_status, found) if each), "")
    if not status:
        return {}
    error = members(info.get("errorinformation")) or old
    step = {} if status == "success" else _last_step(record)
    code = error.get("errorcode") or members(step.get("details")).get("skipreason")
    return {
        "result": status if status in _RESULTS else "unknown",
        **text_members(
            reason=error.get("reason") or step.get("description"),
            code=code,
            provider_result=None if status in _RESULTS else status,
        ),
    }


def _status(value: JsonValue) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return STATUSES[value] if 0 <= value < len(STATUSES) else ""
    return text(value).lower()


def _last_step(record: Object) -> Object:
    """Return the last step that did not succeed, empty if all did."""
    steps = objects(record.get("provisioningsteps"))
    bad = [each for each in steps if _status(each.get("status")) not in ("", "success")]
    return bad[-1] if bad else {}


def _context(record: Object) -> Object:
    return text_members(
        request_id=record.get("changeid"),
        job_id=record.get("jobid"),
        cycle_id=record.get("cycleid"),
        tenant_id=record.get("tenantid"),
        source_system=_name(record.get("sourcesystem")),
        target_system=_name(record.get("targetsystem")),
        application=_name(_application(record)),
    )
