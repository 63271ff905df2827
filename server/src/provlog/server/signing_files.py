"""The files that one log signs with: keys of mode 0600, and last checkpoints.

``signing.key`` is the first key there was, ``signing-<id>.key`` each later one, with
the eight hexadecimal digits of its key ID: two machines on which a key was prepared do
not overwrite each other's. ``last-<id>.checkpoint`` is a signed note that anybody may
see. It is the mark that a key signs nothing any more, and proves for ever what the log
announced under that key; so the key itself may be destroyed once it stands there.

Every file appears whole and flushed: a process may die anywhere in here, and the same
call is made again.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from provlog.merkle.cosigners import Cosigner
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.notes import MAX_NOTE_SIZE, parse_note_unverified
from provlog.server.errors import ConfigurationError
from provlog.server.files import (
    flush_path,
    read_private,
    require_regular,
    write_private,
)

FIRST_KEY: Final = "signing.key"
MLDSA_KEY: Final = "mldsa.key"
MAX_KEYS: Final = 1_000
"""How many signing keys a log has in its life, at most: so many may be announced."""

_LATER: Final = re.compile(r"signing-[0-9a-f]{8}\.key", re.ASCII)
_LAST: Final = re.compile(r"last-([0-9a-f]{8})\.checkpoint", re.ASCII)


class SigningFiles:
    """The signing keys in a log's folder of the keyring."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def changed(self) -> int:
        """Return a number that is another one once a file came or went."""
        return self.folder.stat().st_mtime_ns

    def required(self) -> list[Path]:
        """Return the file that has to be there: the first key, unless it is retired."""
        return [] if self._names(_LAST) else [self.folder / FIRST_KEY]

    def keys(self) -> list[SigningKey]:
        """Return the keys that are there, the first one first.

        Raises `ConfigurationError` where there is none or one cannot be read, and
        `MalformedError` or `ValueError` where one is damaged.
        """
        found = [key for _, key in self._keys()]
        if not found:
            raise ConfigurationError(
                f"{self.folder} holds no signing key; put the log's keys there, from"
                " where they are kept"
            )
        return found

    def last(self) -> dict[bytes, bytes]:
        """Return the last checkpoints of retired keys, by key ID; form checked only."""
        return {
            bytes.fromhex(name[5:13]): _read_note(self.folder / name)
            for name in self._names(_LAST)
        }

    def mldsa(self) -> Cosigner | None:
        """Return the ML-DSA-44 key, None where the log has none."""
        path = self.folder / MLDSA_KEY
        if not path.exists():
            return None
        key = Cosigner.parse(read_private(path))
        if key.verifier().key_type is not KeyType.COSIGNATURE_MLDSA44:
            raise MalformedError("not a key of type 6")
        return key

    def key_path(self, key: VerifierKey) -> Path:
        """Return where a later key stands, or would."""
        return self.folder / f"signing-{key.key_id.hex()}.key"

    def last_path(self, key: VerifierKey) -> Path:
        """Return where the last checkpoint of a key stands, or would."""
        return self.folder / f"last-{key.key_id.hex()}.checkpoint"

    def prepare(self, origin: str) -> SigningKey:
        """Make another signing key, durably."""
        if len(self._names(_LATER)) >= MAX_KEYS:
            raise ConfigurationError(f"a log has at most {MAX_KEYS} signing keys")
        key = SigningKey.from_seed(origin, secrets.token_bytes(32))
        self._place(self.key_path(key.verifier()), key.encode() + "\n")
        return key

    def add_mldsa(self, origin: str) -> Cosigner:
        """Return the log's ML-DSA-44 key; make one, durably, where there is none."""
        known = self.mldsa()
        if known is not None:
            return known
        seed = secrets.token_bytes(32)
        key = Cosigner(origin, KeyType.COSIGNATURE_MLDSA44, seed)
        self._place(self.folder / MLDSA_KEY, key.encode() + "\n")
        return key

    def retire(self, key: VerifierKey, note: bytes) -> None:
        """Let a key sign nothing any more, durably; `note` is its last checkpoint.

        If we crash before the file has its name, the key signs on; after it, it is
        retired. One that is retired already keeps the checkpoint it has.
        """
        path = self.last_path(key)
        if not path.exists():
            self._place(path, note.decode())

    def destroy(self, key: VerifierKey) -> None:
        """Remove the file of a key that is retired; nothing happens where it is gone.

        What a disk or a backup holds of it besides is not reached.
        """
        if not self.last_path(key).exists():
            raise ConfigurationError("a key that signs is not destroyed")
        for path, held in self._keys():
            if held.verifier() == key:
                path.unlink()
        flush_path(self.folder)

    def install(
        self,
        keys: Sequence[SigningKey],
        last: Mapping[bytes, bytes],
        mldsa: Cosigner | None,
    ) -> None:
        """Write what a log signs with into a new folder; the caller flushes it.

        Where a key was destroyed, the first of `keys` need not be the log's first one.
        """
        gone = set(last) - {key.key_id for key in keys}
        for place, key in enumerate(keys):
            is_first = place == 0 and not gone
            path = self.folder / FIRST_KEY
            if not is_first:
                path = self.key_path(key.verifier())
            write_private(path, key.encode() + "\n")
        for key_id, note in last.items():
            path = self.folder / f"last-{key_id.hex()}.checkpoint"
            write_private(path, note.decode())
        if mldsa is not None:
            write_private(self.folder / MLDSA_KEY, mldsa.encode() + "\n")

    def _keys(self) -> Iterator[tuple[Path, SigningKey]]:
        for name in (FIRST_KEY, *self._names(_LATER)):
            path = self.folder / name
            if path.exists():
                yield path, SigningKey.parse(read_private(path))

    def _names(self, pattern: re.Pattern[str]) -> list[str]:
        if not self.folder.is_dir():
            return []
        names = (path.name for path in self.folder.iterdir())
        return sorted(name for name in names if pattern.fullmatch(name))

    def _place(self, path: Path, text: str) -> None:
        """Put a file in its place whole and flushed, and its name with it."""
        staged = path.with_name(path.name + ".new")
        staged.unlink(missing_ok=True)
        write_private(staged, text)
        staged.replace(path)
        flush_path(self.folder)


def _read_note(path: Path) -> bytes:
    """Return a note from a file that need not be secret; `ValueError` if it is none."""
    require_regular(path)
    with path.open("rb") as file:
        data = file.read(MAX_NOTE_SIZE + 1)
    parse_note_unverified(data)
    return data
