"""Logs that are exported and imported, and nobody looks at the progress."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from provlog.merkle.encoding import JsonValue
from provlog.server.guard import FileGuard
from provlog.server.initialise import Place
from provlog.server.instance import Instance
from provlog.server.keyring import Keyring
from provlog.server.moving.digests import digest_file
from provlog.server.moving.export import Exported, export_log
from provlog.server.moving.exported import Export, open_export
from provlog.server.moving.folders import Folder
from provlog.server.moving.house import import_into, read_keys
from provlog.server.moving.importing import Imported
from provlog.server.moving.manifest import ENTRIES, read_manifest, write_manifest
from provlog.server.reader import LogReader
from provlog.server.service import Service


def ignore(_: int) -> None:
    """Progress that nobody looks at."""


async def export(instance: Instance, to: Path, name: str = "main") -> Exported:
    """Export a log of an instance."""
    async with Service.of(instance) as service:
        log = await service.log(name)
        assert log is not None
        keys = Keyring(instance.keys).load(name)
        return await export_log(service, log, keys, to, ignore)


def opened(instance: Instance, folder: Path, name: str = "main") -> Export:
    """Return an export, opened with the keys of the instance it is of."""
    return open_export(folder, read_keys(instance.keys / name))


async def move(export: Export, folder: Path, name: str = "main") -> Imported:
    """Import an export into `folder / "data"`, with a guard of its own beside it."""
    return await import_into(
        Place(folder / "data", folder / "guard"), export, name, ignore
    )


def guard_of(folder: Path) -> FileGuard:
    """Return the guard of an instance that `move` made."""
    return FileGuard(folder / "guard")


async def receipts_of(instance: Instance) -> list[object]:
    """Return the log's checkpoint, and every entry with its proof."""
    async with Service.of(instance) as service:
        log = await service.log("main")
        assert log is not None
        reader = LogReader(log, service.storage)
        size = log.released.size
        entries = await reader.entries(range(size))
        proofs = await reader.inclusions(range(size), size)
        return [log.note(log.released), *entries.items(), *proofs.items()]


def rewrite_line(instance: Instance, folder: Path, index: int, line: JsonValue) -> None:
    """Put another line in an entry's place, authenticated as the log itself would."""
    path = folder / ENTRIES
    lines = path.read_bytes().splitlines(keepends=True)
    lines[index] = msgspec.json.encode(line) + b"\n"
    path.write_bytes(b"".join(lines))
    keys = read_keys(instance.keys / "main")
    manifest = read_manifest(folder, keys.id_key)
    files = {**manifest.files, ENTRIES: digest_file(path)}
    sealed = replace(manifest, files=files)
    write_manifest(Folder(folder, private=True), sealed, keys.id_key)


def line_of(folder: Path, index: int) -> dict[str, Any]:
    """Return an entry's line."""
    lines = (folder / ENTRIES).read_bytes().splitlines()
    line: dict[str, Any] = msgspec.json.decode(lines[index])
    return line
