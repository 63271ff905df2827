"""What an export says of itself, and what shows that nobody changed its private side.

The public part needs no such thing: its checkpoint is signed, and every leaf and tile
follows from it. The private side stands in no tree. Its files are therefore named with
their digests in `export.json`, and `export.mac` authenticates that file under a key
that is derived from the log's id key: who does not hold the log's secrets can neither
write an export nor alter one.
"""

import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from provlog.merkle.encoding import decode_hash, encode_base64, format_time
from provlog.merkle.errors import MalformedError
from provlog.server.errors import ConfigurationError, DamagedError
from provlog.server.moving.digests import FileDigest, Strict
from provlog.server.moving.folders import Folder, read_bounded
from provlog.server.storage.base import Head, LogRecord

VERSION: Final = 1
MANIFEST: Final = "export.json"
MAC: Final = "export.mac"
ENTRIES: Final = "private.ndjson"
SOURCES: Final = "sources.ndjson"
CURSORS: Final = "cursors.ndjson"
TOKENS: Final = "tokens.ndjson"
PRIVATE_FILES: Final = (ENTRIES, SOURCES, CURSORS, TOKENS)
MAX_MANIFEST: Final = 64 << 10
_DERIVATION: Final = b"provlog export/1"


class _Log(Strict, frozen=True):
    name: str
    origin: str
    log_key: str
    public: bool
    created: str


class _Head(Strict, frozen=True):
    size: int
    root: str
    events: int
    epoch: int
    recorded: int


class _Manifest(Strict, frozen=True):
    version: int
    log: _Log
    head: _Head
    files: dict[str, FileDigest]


@dataclass(frozen=True, slots=True)
class Manifest:
    """An export: its log (whose number means nothing), its head, its private files."""

    log: LogRecord
    head: Head
    files: dict[str, FileDigest]


def write_manifest(folder: Folder, manifest: Manifest, id_key: bytes) -> None:
    """Finish an export. Until the last file is there, it counts as none."""
    log, head = manifest.log, manifest.head
    root = encode_base64(head.root)
    value = _Manifest(
        VERSION,
        _Log(log.name, log.origin, log.log_key, log.public, log.created),
        _Head(head.size, root, head.events, head.epoch, head.recorded),
        manifest.files,
    )
    data = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    folder.write(MANIFEST, data)
    folder.flush()
    # If we crash here, an export without `export.mac` is left, which nobody takes.
    folder.write(MAC, _mac(data, id_key) + b"\n")
    folder.flush()


def read_manifest(folder: Path, id_key: bytes) -> Manifest:
    """Return an export's manifest, which somebody who holds the log's keys has written.

    Raises `ConfigurationError` where there is none or it is of another version, and
    `DamagedError` for one that was altered.
    """
    if not (folder / MANIFEST).exists():
        raise ConfigurationError(f"{folder} holds no export: there is no {MANIFEST}")
    if not (folder / MAC).exists():
        raise ConfigurationError(f"{folder}: the export was not finished; make another")
    data = read_bounded(folder / MANIFEST, MAX_MANIFEST)
    mac = read_bounded(folder / MAC, 128)
    if not hmac.compare_digest(mac, _mac(data, id_key) + b"\n"):
        raise DamagedError(
            f"{folder / MANIFEST} was changed, or written with the keys of another log"
        )
    try:
        return _read(msgspec.json.decode(data, type=_Manifest))
    except (msgspec.MsgspecError, MalformedError, ValueError) as error:
        raise ConfigurationError(f"{folder / MANIFEST}: {error}") from None


def _read(value: _Manifest) -> Manifest:
    if value.version != VERSION:
        raise ValueError(
            f"an export of version {value.version}; this program reads {VERSION}"
        )
    if set(value.files) != set(PRIVATE_FILES):
        raise ValueError("not the files of an export")
    log, head = value.log, value.head
    record = LogRecord(0, log.name, log.origin, log.log_key, log.public, log.created)
    if head.size < 1:
        raise ValueError("a log has one entry at least")
    root = decode_hash(head.root)
    read = Head(head.size, root, head.events, head.epoch, head.recorded)
    return Manifest(record, read, value.files)


def describe_head(head: Head) -> str:
    """Return a head as people read it."""
    return f"size {head.size}, last entry of {format_time(head.recorded)}"


def _mac(data: bytes, id_key: bytes) -> bytes:
    # No entry's id is made of these bytes: they would be a source of 28,786 characters.
    key = hmac.digest(id_key, _DERIVATION, "sha256")
    return hmac.digest(key, data, "sha256").hex().encode()
