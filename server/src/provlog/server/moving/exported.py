"""An export as somebody finds it: verified as far as its first two files go."""

from dataclasses import dataclass
from pathlib import Path

from provlog.merkle.errors import MerkleError
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server.errors import ConfigurationError, DamagedError
from provlog.server.keyring import LogKeys
from provlog.server.moving.folders import read_bounded
from provlog.server.moving.manifest import Manifest, read_manifest
from provlog.server.moving.tree_files import CHECKPOINT


@dataclass(frozen=True, slots=True)
class Export:
    """An export whose manifest and checkpoint have been verified; its entries not."""

    folder: Path
    manifest: Manifest
    keys: LogKeys


def open_export(folder: Path, keys: LogKeys) -> Export:
    """Return an export of the log that the keys are of.

    Raises `ConfigurationError` where there is none, or one of another log;
    `DamagedError` where it was changed.
    """
    manifest = read_manifest(folder, keys.id_key)
    held = tuple(key.verifier() for key in keys.signers().values())
    trust = Trust(held, keys.signing.name)
    try:
        note = read_bounded(folder / CHECKPOINT, MAX_NOTE_SIZE)
        signed = verify_checkpoint(note, trust).checkpoint
    except MerkleError as error:
        raise DamagedError(f"{CHECKPOINT}: {error}") from None
    head, log = manifest.head, manifest.log
    if (signed.origin, signed.size, signed.root) != (log.origin, head.size, head.root):
        raise DamagedError(f"{CHECKPOINT} is not of the head that was exported")
    if head.epoch not in keys.epoch_keys:
        raise ConfigurationError(f"the keys lack that of epoch {head.epoch}")
    return Export(folder, manifest, keys)
