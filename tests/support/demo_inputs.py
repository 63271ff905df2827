"""The files with events that the demo submits."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provlog.client.errors import UsageError
from provlog.client.events import cut_values
from provlog.client.records import cut_records

OKTA_SOURCE = "urn:okta:demo"
DEMO_SOURCE = "urn:provlog:demo"
GENERATED = 300
"""How many events are made up: with them a log has more than one full tile of 256."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file of events: `records` byte for byte, `okta` if a connector reads them."""

    path: Path
    records: Sequence[bytes]
    okta: bool

    @property
    def options(self) -> Sequence[str]:
        """What `provlog submit` has to be told about the file."""
        return ("--format", "okta", "--source", OKTA_SOURCE) if self.okta else ()


def find_inputs(folder: Path) -> tuple[list[Input], int]:
    """Return the files with events below a folder, and how many others there are.

    A file of Okta's has `okta` in its name or its folder's; any other is one if it
    holds CloudEvents.
    """
    found = []
    left_out = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".json", ".ndjson"):
            continue
        each = _read_input(path, okta="okta" in f"{path.parent.name}/{path.name}")
        if each is None:
            left_out += 1
        else:
            found.append(each)
    return found, left_out


def generated_input(folder: Path) -> Input:
    """Write a file of small made-up CloudEvents, one batch of them, and return it."""
    events = [
        {
            "specversion": "1.0",
            "id": f"demo-generated-{number}",
            "source": DEMO_SOURCE,
            "type": "account.create",
            "time": "2026-11-23T09:00:00Z",
            "data": {"target": {"id": f"u-{number}", "type": "user"}},
        }
        for number in range(GENERATED)
    ]
    records = [json.dumps(event).encode() for event in events]
    path = folder / "generated.ndjson"
    path.write_bytes(b"\n".join(records) + b"\n")
    return Input(path, records, okta=False)


def _read_input(path: Path, *, okta: bool) -> Input | None:
    try:
        raw = path.read_bytes()
        records = cut_records(raw).items if okta else cut_values(raw)
        values = [json.loads(each) for each in records]
    except (UsageError, ValueError):
        return None
    native = all(isinstance(each, dict) and "specversion" in each for each in values)
    return Input(path, records, okta) if records and (okta or native) else None
