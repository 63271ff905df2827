"""Microsoft Entra ID: its provisioning log and its audit log, in either spelling.

A record is one of Microsoft Graph (`provisioningObjectSummary`, `directoryAudit`), or
the same as Azure Monitor exports it: in `properties` of an object with `time`,
`category` and `operationName`. A body is a JSON array, NDJSON, a single object, the
`records` that Azure Monitor writes to event hubs, or the `value` of a page of Graph's.

Both spellings of one record are one entry: the same id, provider's type, actor, target
and outcome, and the same second (see `entra_reading`). What the two logs become stands
in `entra_provisioning` and `entra_audit`.

Any other record, sign-ins among them, is logged as `other.` and its category. Nothing
is read in it but a date, and its id is its digest: Entra sends one sign-in again and
again, each time with something else in it.

Flags: `time_missing`, `time_unreadable`, `record_too_large`, `details_too_large`,
`targets_cut`, `changes_cut`.

Sources: Microsoft's Graph v1.0 reference (`provisioningObjectSummary`,
`directoryAudit`), its reference of audit activities, and "Understand how provisioning
integrates with Azure Monitor logs".
"""

from typing import Final

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.building import Facts, text_members
from provlog.server.intake.connectors.entra_audit import audit_facts, is_audit
from provlog.server.intake.connectors.entra_provisioning import (
    TYPES as PROVISIONING_TYPES,
)
from provlog.server.intake.connectors.entra_provisioning import (
    is_provisioning,
    provisioning_facts,
)
from provlog.server.intake.connectors.entra_reading import Object, members, text
from provlog.server.intake.connectors.entra_types import AUDIT_OTHERS, AUDIT_TYPES
from provlog.server.intake.connectors.mapped import JsonHook, MappedConnector

TYPES: Final = {**PROVISIONING_TYPES, **AUDIT_OTHERS, **AUDIT_TYPES}

ENVELOPES: Final = (("records",), ("value",))
_DATES: Final = ("activitydatetime", "createddatetime")


def facts_of(record: JsonValue) -> Facts:
    """Return what one record says, in provlog's words."""
    outer = members(record)
    inner = members(outer.get("properties"))
    envelope = outer if inner else {}
    told = inner or outer
    category = text(envelope.get("category")).lower()
    if is_provisioning(told, category):
        return provisioning_facts(told, envelope)
    if is_audit(told, category):
        return audit_facts(told, envelope)
    return _other(told, envelope)


def _other(record: Object, envelope: Object) -> Facts:
    dates = [record.get(name) for name in _DATES] + [envelope.get("time")]
    kind = text(envelope.get("category")) or text(record.get("category"))
    context = text_members(record_id=record.get("id"))
    return Facts(
        time=next((each for each in dates if each), None),
        native_type=kind or text(envelope.get("operationname")) or None,
        data=[{"context": context} if context else {}],
    )


CONNECTOR: Final = MappedConnector(
    "entra", "1", facts_of, JsonHook(ENVELOPES), ENVELOPES
)
