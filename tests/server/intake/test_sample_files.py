"""Every sample of events is taken by its connector, and no record of it is lost.

The folder stands beside the repository (see `support.vectors`). The SCIM figures are
requests for the proxy, or resources, and no events.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.redaction import cut_secrets
from support.instances import Served, served
from support.vectors import located, samples_root

FILES = {
    "auth0/logs.ndjson": "auth0",
    "entra/azure-monitor-audit.ndjson": "entra",
    "entra/provisioning-object-summary.ndjson": "entra",
    "google_workspace/activities-flattened.ndjson": "google",
    "keycloak/admin-events.ndjson": "keycloak",
    "okta/system-log.ndjson": "okta",
    "onelogin/events.ndjson": "onelogin",
    "security_event_tokens/rfc9967-figures.json": "set",
    "scim_entra/entra-patch-variants.json": "scim",
}
NO_EVENTS = ("README.md", "scim_rfc/*", "scim_entra/SCIM_Inbound*")
BATCH = 400


def test_every_file_of_samples_is_claimed() -> None:
    root = samples_root()
    for path in root.rglob("*"):
        name = path.relative_to(root)
        if path.is_file() and not any(name.match(each) for each in NO_EVENTS):
            assert str(name) in FILES, name
    assert located("PROVLOG_SAMPLES", "samples") == root


def records_of(path: Path) -> list[bytes]:
    """Return a file's records, cut without the connector's help."""
    raw = path.read_bytes()
    if path.suffix == ".json":
        return [json.dumps(each).encode() for each in json.loads(raw)]
    return [line.strip() for line in raw.splitlines() if line.strip()]


@pytest.mark.parametrize("name", sorted(FILES))
async def test_no_record_of_a_sample_is_dropped(name: str, tmp_path: Path) -> None:
    records = records_of(samples_root() / name)
    connector = FILES[name]
    source = f"urn:sample:{connector}"
    async with served(tmp_path, sources=(source,)) as log:
        kept: set[bytes] = set()
        for batch in batches(records):
            kept |= await submit(log, connector, source, batch)
    sent = {normal(cut_secrets(each).record) for each in records}
    lost = sent - {normal(each) for each in kept}
    assert not lost, (len(lost), len(sent), sorted(lost)[:2])


def batches(records: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(records), BATCH):
        yield records[start : start + BATCH]


def normal(record: bytes) -> str:
    """Return a record's JSON in one form."""
    return json.dumps(json.loads(record), sort_keys=True)


async def submit(
    log: Served, connector: str, source: str, records: list[bytes]
) -> set[bytes]:
    """Submit records; return the originals of the entries they are answered with."""
    reply = await log.post(
        b"\n".join(records),
        media_type="application/x-ndjson",
        query=f"?format={connector}&source={quote(source, safe='')}",
    )
    assert reply.status == 200, reply.body
    results = json.loads(reply.body)["results"]
    assert len(results) >= len(records)
    kept = set()
    for result in results:
        assert result["status"] in (200, 201), result
        for found in map(parse_disclosure, result["disclosures"]):
            if found.name == "original":
                assert isinstance(found.value, dict)
                kept.add(str(found.value["body"]).encode())
    return kept
