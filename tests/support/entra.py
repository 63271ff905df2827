"""Entra's records for tests, written by hand, as Graph has them and as exported.

`exported` does to a record of Graph's what Azure Monitor does: other names, numbers for
words, dates with seven digits, and the object around it.
"""

import copy
import json
from typing import Any

from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from support.events import NOW_MS

ENTRA = CONNECTORS["entra"]
SOURCE = "urn:entra:acme"
TENANT = "10000000-0000-4000-8000-000000000001"
APPLICATION = "2000000a-0000-4000-8000-000000000002"
ANN = "30000000-0000-4000-8000-00000000000a"
STEPS = (
    "import scoping matching processing referenceResolution export".split()  # noqa: SIM905
)
STATUSES = ["success", "failure", "skipped", "warning"]
_NAMES = {"displayName": "Name", "id": "Id", "initiatorType": "Type"}
_NAMED = (
    *("servicePrincipal", "sourceSystem", "targetSystem", "initiatedBy"),
    *("sourceIdentity", "targetIdentity"),
)


def provisioned(**members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a record of an account made in an application; arguments replace parts."""
    return {
        "id": "70000000-0000-4000-8000-000000000007",
        "activityDateTime": "2026-11-21T17:53:55Z",
        "tenantId": TENANT,
        "jobId": "scim.1.2",
        "cycleId": "cycle-1",
        "changeId": "change-1",
        "provisioningAction": "create",
        "durationInMilliseconds": 828,
        "provisioningStatusInfo": {"status": "success", "errorInformation": None},
        "provisioningSteps": [step("EntryImportAdd", "import")],
        "modifiedProperties": [
            {"displayName": "active", "oldValue": None, "newValue": "True"}
        ],
        "servicePrincipal": {"id": APPLICATION, "displayName": "Wiki"},
        "sourceSystem": {
            "id": "80000000-0000-4000-8000-000000000008",
            "displayName": "Azure Active Directory",
            "details": {},
        },
        "targetSystem": {
            "id": "90000000-0000-4000-8000-000000000009",
            "displayName": "Wiki",
            "details": {"ServicePrincipalId": APPLICATION},
        },
        "initiatedBy": {
            "id": "",
            "displayName": "Azure AD Provisioning Service",
            "initiatorType": "system",
        },
        "sourceIdentity": identity("User", ANN, "Ann", UserPrincipalName="ann@x.org"),
        "targetIdentity": identity("urn:ietf:params:scim:schemas:core:2.0:User", "w-9"),
        **members,
    }


def step(name: str, kind: str, status: str = "success", text: str = "") -> Any:  # noqa: ANN401
    """Return a step of provisioning."""
    return {
        "name": name,
        "provisioningStepType": kind,
        "status": status,
        "description": text,
        "details": {},
    }


def identity(kind: str, identifier: str, name: str = "", **details: str) -> Any:  # noqa: ANN401
    """Return a source or target identity."""
    return {
        "identityType": kind,
        "id": identifier,
        "displayName": name,
        "details": details,
    }


def audited(*targets: dict[str, Any], **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a record of the audit log about some targets."""
    return {
        "id": "Directory_5_ABCDE_7",
        "category": "GroupManagement",
        "correlationId": "50000000-0000-4000-8000-000000000005",
        "result": "success",
        "resultReason": "",
        "activityDisplayName": "Add member to group",
        "activityDateTime": "2026-11-21T17:53:55.1234567Z",
        "loggedByService": "Core Directory",
        "operationType": "Assign",
        "initiatedBy": {"user": user("Bob", "60000000-0000-4000-8000-00000000000b")},
        "targetResources": list(targets),
        "additionalDetails": [{"key": "User-Agent", "value": "curl"}],
        **members,
    }


def user(name: str, identifier: str) -> dict[str, Any]:
    """Return who acted, as the audit log has it."""
    return {
        "id": identifier,
        "displayName": None,
        "userPrincipalName": f"{name.lower()}@x.org",
        "ipAddress": "192.0.2.7",
        "roles": [],
    }


def resource(
    kind: str,
    identifier: str | None,
    name: str | None = None,
    **properties: str,
) -> dict[str, Any]:
    """Return a target resource; `Group_ObjectID="x"` is a property, JSON in a text."""
    return {
        "id": identifier,
        "displayName": None if kind == "User" else name,
        "userPrincipalName": name if kind == "User" else None,
        "type": kind,
        "modifiedProperties": [
            {
                "displayName": key.replace("_", "."),
                "oldValue": None,
                "newValue": json.dumps(value),
            }
            for key, value in properties.items()
        ],
    }


USER = resource("User", ANN, "ann@x.org")
GRAPH_RECORDS = (provisioned(), audited(USER))
"""One of each log."""


def exported(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of Graph's as Azure Monitor exports it."""
    inner = copy.deepcopy(record)
    audit = "activityDisplayName" in record
    inner["activityDateTime"] = _seven_digits(record["activityDateTime"])
    if not audit:
        _rename(inner)
    return {
        "time": inner["activityDateTime"],
        "resourceId": f"/tenants/{TENANT}/providers/Microsoft.aadiam",
        "operationName": (
            record["activityDisplayName"] if audit else "Provisioning activity"
        ),
        "operationVersion": "1.0",
        "category": "AuditLogs" if audit else "ProvisioningLogs",
        "tenantId": TENANT,
        "durationMs": 828,
        "correlationId": record.get("correlationId", record.get("changeId")),
        "Level": 4,
        "properties": inner,
    }


def _seven_digits(time: str) -> str:
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<7}Z"


def _rename(record: dict[str, Any]) -> None:
    for member in _NAMED:
        found = record[member]
        record[member] = {_NAMES.get(name, name): found[name] for name in found}
    info = record["provisioningStatusInfo"]
    status = STATUSES.index(info["status"])
    record["provisioningStatusInfo"] = {
        "Status": info["status"],
        "errorInformation": info["errorInformation"],
    }
    record["statusInfo"] = {"Status": status}
    record["action"] = record["provisioningAction"].capitalize()
    for each in record["provisioningSteps"]:
        each["provisioningStepType"] = STEPS.index(each["provisioningStepType"])
        each["status"] = STATUSES.index(each["status"])


def entra_events(record: Any) -> list[Event]:  # noqa: ANN401
    """Return the events of a record, which may be any JSON."""
    return ENTRA.to_events(json.dumps(record).encode(), SOURCE, NOW_MS)


def entra_event(record: Any) -> Event:  # noqa: ANN401
    """Return the only event of a record."""
    (event,) = entra_events(record)
    return event
