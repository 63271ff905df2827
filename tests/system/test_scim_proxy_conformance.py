"""SCIM programs of others find the same through the proxy, and the log has it all.

The client (`scim2-tester`), the prober (`scim-sanity`) and the server (`scim2-server`)
know nothing of the proxy, and the server's own access log says what it was asked.
"""

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server

from support.checked_instance import check
from support.scim_processes import (
    PROGRAMS,
    Logged,
    ProxyProcess,
    ScimServer,
    logged,
    scim_server,
)

pytestmark = pytest.mark.needs(
    f"program:{PROGRAMS / 'scim2-server'}", f"program:{PROGRAMS / 'scim-sanity'}"
)
RESULTS = {True: "success", False: "failure"}


def checked(url: str) -> list[tuple[str, str | None, str | None]]:
    """Return what the tester finds: each check and its status."""
    with Client(base_url=f"{url}/v2", timeout=30) as client:
        scim = SyncSCIMClient(client)
        # Groups are the other program's part: it takes long enough.
        found = check_server(scim, resource_types=["User"])
    return [(each.status.name, each.title, each.resource_type) for each in found]


def probed(url: str) -> list[dict[str, Any]]:
    """Return what the prober finds: each test, its status, and why."""
    done = subprocess.run(
        [
            *(PROGRAMS / "scim-sanity", "probe", f"{url}/v2", "--json-output"),
            *("--i-accept-side-effects", "--token", "s3cret-token"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return results


def records_of(events: list[Logged], phase: str) -> list[dict[str, Any]]:
    """Return the records of one phase, in order."""
    return [
        each.record for each in events if each.record and each.record["phase"] == phase
    ]


def require_all(events: list[Logged], upstream: ScimServer) -> None:
    """Require that the log says what the server was asked, attempt by attempt."""
    attempts, outcomes = (records_of(events, phase) for phase in ("attempt", "outcome"))
    said = Counter((each["method"], each["path"], each["status"]) for each in outcomes)
    assert said == upstream.changes()
    assert [each["id"] for each in attempts] == [each["id"] for each in outcomes]
    for event in events:
        assert event.type.startswith("attempt.") == (event.result == "pending")
        if event.record and event.record["phase"] == "outcome":
            status = event.record["status"]
            if "Operations" not in (event.record.get("response") or {}):
                assert event.result == RESULTS[status < 300]


@pytest.mark.parametrize("ask", [checked, probed])
async def test_programs_of_others_find_the_same_and_the_log_has_what_they_did(
    ask: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    with scim_server(tmp_path) as direct:
        expected = ask(direct.url)
    with scim_server(tmp_path) as upstream:
        proxy = ProxyProcess.init(tmp_path, upstream.url)
        with proxy:
            found = ask(proxy.url)
            code, said = proxy.stop()
        assert found == expected
        assert (code, said) == (0, "")
        events = await logged(proxy.instance)
        require_all(events, upstream)
    assert check(proxy.instance) == []
    assert "s3cret" not in json.dumps([each.record for each in events])
