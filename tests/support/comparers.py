"""Somebody who compares, and what is compared: logs that grow apart, mirrors."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from provlog.client.auditing_parts import parts
from provlog.client.cli import cli
from provlog.merkle.tiles import parse_path
from provlog.merkle.witness_messages import origin_hash
from support.lying_log import ORIGIN, LyingLog, event
from support.tiled_logs import part_data

PREFIX = f"/{origin_hash(ORIGIN)}/checkpoint"


def grown(log: LyingLog, name: str, count: int) -> LyingLog:
    """Return a log of the same key with more entries."""
    fork = log.fork()
    for place in range(count):
        fork.append(event(id=f"{name}{place}"))
    return fork


def mirror(log: LyingLog, base: str = "") -> dict[str, bytes | int]:
    """Return the files of a static mirror of a log."""
    pages: dict[str, bytes | int] = {f"{base}/checkpoint": log.note()}
    for part in parts(len(log.leaves)):
        data = part_data(log.leaves, parse_path(part.path()))
        assert data is not None
        pages[f"{base}/{part.path()}"] = data
    return pages


class Comparer:
    """Somebody who compares, and what that keeps."""

    def __init__(self, folder: Path, log: LyingLog) -> None:
        self.folder, self.log = folder, log
        self.state = folder / "state"

    def compare(self, *arguments: str | Path, key: str | None = None) -> Result:
        """Run the command; with `key` in place of the log's."""
        environment = {
            "XDG_CONFIG_HOME": str(self.folder),
            "PROVLOG_STATE": str(self.state),
            "PROVLOG_PATIENCE": "0",
            "PROVLOG_LOG_KEY": self.log.vkey if key is None else key,
        }
        call = ["compare", *map(str, arguments)]
        return CliRunner().invoke(cli, call, env=environment)

    def told(self, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code and what is printed as JSON."""
        done = self.compare(*arguments, "--json")
        assert done.stdout, done.output
        return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]

    def evidence(self) -> list[Path]:
        """Return the files that were kept."""
        return sorted(self.state.rglob("*.inconsistency.json"))

    def receipts(self, log: LyingLog, name: str, *indexes: int, size: int = 0) -> Path:
        """Write receipts of a log, each in the tree that it made or of one size."""
        folder = self.folder / name
        folder.mkdir()
        for index in indexes:
            receipt = log.receipt(index, size or index + 1)
            (folder / f"{index}.receipt.json").write_text(json.dumps(receipt))
        return folder
