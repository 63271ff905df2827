"""What was folded of a log's leaves, on disk: worth nothing but the time to read them.

A file for each log, of mode 0600, replaced as a whole and not flushed: one that is
damaged, old, or of another tree than the log's counts as none. Its first line is the
digest of the rest, a JSON object. The processes of a machine share the folder; what
another one has kept further is left alone.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from provlog.merkle.encoding import (
    JsonValue,
    decode_hash,
    encode_base64,
    loads_json,
    require_members,
)
from provlog.merkle.errors import MalformedError
from provlog.merkle.source_fold import Scope, SourceFold

MAX_FILE: Final = 64 << 20
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What was folded of the first leaves of a log, whose root was `root` then."""

    root: bytes
    fold: SourceFold


class Keeper:
    """Reads and writes the files of one folder, which is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Return the file of the log of that name."""
        return self._folder / f"{name}.json"

    def load(self, name: str, origin: str, scope: Scope) -> Kept | None:
        """Return what was kept of a log, None where that is nothing that is whole."""
        try:
            with self.path(name).open("rb") as file:
                data = file.read(MAX_FILE + 1)
            return _parse(data, origin, scope)
        except (OSError, MalformedError):
            return None

    def save(self, name: str, origin: str, kept: Kept) -> bool:
        """Keep it, unless something is kept that goes further; tell whether it was.

        Raises `OSError` where that cannot be done.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with self._locked():
            known = self.load(name, origin, kept.fold.scope)
            if known is not None and known.fold.size >= kept.fold.size:
                # One that is of a lost tree is found out when it is to be used.
                return known.fold.size == kept.fold.size
            self._replace(self.path(name), _format(origin, kept))
            return True

    def discard(self, name: str) -> None:
        """Forget what is kept of a log: it is of another tree."""
        self.path(name).unlink(missing_ok=True)

    def _replace(self, path: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            # Closing gives the lock back.
            os.close(lock)


def _format(origin: str, kept: Kept) -> bytes:
    state: dict[str, JsonValue] = {
        "v": _VERSION,
        "origin": origin,
        "root": encode_base64(kept.root),
        "fold": kept.fold.to_json(),
    }
    text = json.dumps(state, separators=(",", ":")).encode()
    return sha256(text).hexdigest().encode() + b"\n" + text


def _parse(data: bytes, origin: str, scope: Scope) -> Kept:
    digest, _, text = data.partition(b"\n")
    if digest != sha256(text).hexdigest().encode():
        raise MalformedError("kept: not as it was written")
    names = ("v", "origin", "root", "fold")
    state = require_members(loads_json(text, "kept"), names, (), "kept")
    if (state["v"], state["origin"]) != (_VERSION, origin):
        raise MalformedError("kept: of another version or log")
    root = decode_hash(str(state["root"]), "kept: root")
    return Kept(root, SourceFold.from_json(scope, state["fold"]))
