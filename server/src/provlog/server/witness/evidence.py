"""Evidence against logs as files, which `provlog verify` judges without a network."""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from provlog.merkle.encoding import JsonValue
from provlog.server.files import write_private
from provlog.server.witness.records import Evidence


def write_evidence(found: Iterable[Evidence], folder: Path) -> list[Path]:
    """Write a file for each conviction and return those that are new."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for each in found:
        if not each.convicts:
            continue
        content = json.dumps(_document(each), indent=2)
        name = sha256(content.encode()).hexdigest()[:16]
        path = folder / f"{name}.evidence.json"
        if not path.exists():
            write_private(path, content + "\n")
            written.append(path)
    return written


def _document(evidence: Evidence) -> dict[str, JsonValue]:
    """Return two checkpoints of one size, which need no proof to contradict."""
    return {
        "v": 1,
        "origin": evidence.origin,
        "older": evidence.known.decode(),
        "newer": evidence.note.decode(),
        "consistency": None,
    }
