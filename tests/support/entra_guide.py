"""What the guide for Entra ID shows: a delivery, and a tenant that has the same.

`docs/deliveries/entra-event-hub.json` is `DELIVERED` as Azure Monitor exports it;
`python tests/support/entra_guide.py` writes it anew, and a test compares them.
"""

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.entra import audited, exported, identity, provisioned, resource, step
from support.fake_graph import AUDITS, PROVISIONING, FakeGraph, fake_graph
from support.vectors import REPOSITORY

DELIVERY = REPOSITORY / "docs" / "deliveries" / "entra-event-hub.json"
_ALICE = "30000000-0000-4000-8000-000000000001"
_ADMINS = "31000000-0000-4000-8000-000000000001"

DELIVERED = (
    provisioned(
        id="70000000-0000-4000-8000-000000000001",
        activityDateTime="2026-11-21T17:50:00.123Z",
        provisioningStatusInfo={"status": "skipped", "errorInformation": None},
        provisioningSteps=[
            step("EntryImportAdd", "import", "success", "Received User 'alice'"),
            step("EntrySynchronizationSkip", "processing", "skipped", "no familyName"),
        ],
        modifiedProperties=[],
        sourceIdentity=identity(
            "User", _ALICE, "Alice", UserPrincipalName="alice@example.com"
        ),
        targetIdentity=identity("urn:ietf:params:scim:schemas:core:2.0:User", ""),
    ),
    audited(
        resource(
            "User",
            _ALICE,
            "alice@example.com",
            Group_ObjectID=_ADMINS,
            Group_DisplayName="Billing admins",
        ),
        resource("Group", _ADMINS),
        id="Directory_5f000000-0000-4000-8000-000000000001_AAAAA_1",
        activityDateTime="2026-11-21T17:51:00.1234567Z",
    ),
)
_MISSED = audited(
    resource("User", _ALICE, "alice@example.com"),
    id="Directory_5f000000-0000-4000-8000-000000000002_AAAAA_2",
    activityDisplayName="Disable account",
    activityDateTime="2026-11-21T17:52:00.1234567Z",
)


def delivery() -> str:
    """Return the text of the file."""
    return json.dumps({"records": [*map(exported, DELIVERED)]}, indent=1) + "\n"


class _AnyTime(FakeGraph):
    """Hands out everything, however long ago it was: the page's dates stay."""

    def filtered(self, path: str, text: str) -> list[bytes]:
        super().filtered(path, text)
        return self.logs[path]


@asynccontextmanager
async def entra() -> AsyncIterator[Mapping[str, str]]:
    """Be Microsoft while the page is run: its two servers, by their real URLs."""
    async with fake_graph(_AnyTime) as graph:
        made, added = (json.dumps(each).encode() for each in DELIVERED)
        graph.logs[PROVISIONING] += [made]
        graph.logs[AUDITS] += [added, json.dumps(_MISSED).encode()]
        yield {
            "https://login.microsoftonline.com": graph.url,
            "https://graph.microsoft.com": graph.url,
        }
        assert [each.status for each in graph.asked] == [200, 200]
        assert graph.foreign == []


if __name__ == "__main__":
    DELIVERY.write_text(delivery())
