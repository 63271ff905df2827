"""The secrets of the logs: files of mode 0600, outside the database.

A dump of the database is therefore not enough to sign a checkpoint, to find out whose
label a tag hides, or to blind an id. For each log there is a folder with

``signing.key``    the Ed25519 key that signs checkpoints, from the first one on
``id.key``         K_id, which blinds event ids for the log's whole life
``epoch-1.key``    K_e, which makes the labels of epoch 1; one file for each epoch
``retired``        where the log is retired: the name of the log that goes on instead.
                   Its keys are kept for reading, and sign nothing any more.

and, where its keys were changed (`signing_files` has more of them):

``signing-<id>.key``      a later signing key, by its key ID
``last-<id>.checkpoint``  the last checkpoint that a signing key signed, no secret: that
                          key is retired, and may be gone
``mldsa.key``             an ML-DSA-44 key that signs beside the Ed25519 ones
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from provlog.merkle.cosigners import Cosigner
from provlog.merkle.encoding import decode_base64, encode_base64
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import SigningKey
from provlog.merkle.labels import KEY_SIZE
from provlog.server.errors import ConfigurationError
from provlog.server.files import flush_path, read_private, write_private
from provlog.server.signing_files import SigningFiles

_RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The secrets of one log. `epoch_keys` are by epoch number.

    `signing` is the first signing key that is there, `further` are those that came
    later, some of which the log may not have announced. `last` are the last checkpoints
    of the keys that are retired, by key ID. `mldsa` is None where the log signs with
    Ed25519 alone.
    """

    signing: SigningKey
    id_key: bytes
    epoch_keys: dict[int, bytes]
    further: tuple[SigningKey, ...] = ()
    last: Mapping[bytes, bytes] = field(default_factory=dict)
    mldsa: Cosigner | None = None

    def signers(self) -> dict[str, SigningKey]:
        """Return every signing key that is there, by its vkey."""
        return {key.verifier().vkey(): key for key in (self.signing, *self.further)}

    def same_as(self, other: "LogKeys") -> bool:
        """Tell whether two are the same secrets."""
        return _secrets(self) == _secrets(other)

    def __repr__(self) -> str:
        return f"LogKeys({self.signing.name!r})"


class Keyring:
    """The folder of all logs' secrets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, name: str, origin: str) -> LogKeys:
        """Make the secrets of a log that does not exist yet, durably.

        Secrets that an interrupted creation of the same log left are taken up again.
        Raises `ConfigurationError` where there are other ones: they are never deleted.
        """
        folder = self._folder / name
        self._folder.mkdir(mode=0o700, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            return self._take_up(name, origin)
        keys = LogKeys(
            SigningKey.from_seed(origin, secrets.token_bytes(32)),
            secrets.token_bytes(KEY_SIZE),
            {1: secrets.token_bytes(KEY_SIZE)},
        )
        self._write(folder, keys)
        return keys

    def install(self, name: str, keys: LogKeys) -> None:
        """Take in the secrets of a log that comes from elsewhere, durably.

        The same ones may be there already. Raises `ConfigurationError` where there are
        other ones: they are never overwritten.
        """
        folder = self._folder / name
        self._folder.mkdir(mode=0o700, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if self._take_up(name, keys.signing.name).same_as(keys):
                return
            raise ConfigurationError(_other(folder)) from None
        self._write(folder, keys)

    def _write(self, folder: Path, keys: LogKeys) -> None:
        write_private(folder / "id.key", encode_base64(keys.id_key) + "\n")
        for epoch, key in keys.epoch_keys.items():
            write_private(folder / f"epoch-{epoch}.key", encode_base64(key) + "\n")
        SigningFiles(folder).install(
            (keys.signing, *keys.further), keys.last, keys.mldsa
        )
        self._flush(folder)

    def _take_up(self, name: str, origin: str) -> LogKeys:
        folder = self._folder / name
        try:
            keys = self.load(name)
        except ConfigurationError:
            keys = None
        if keys is None or keys.signing.name != origin:
            raise ConfigurationError(_other(folder))
        # Whoever was interrupted, or is still at it, may not have come to this.
        for path in (*folder.glob("*.key"), *folder.glob("*.checkpoint")):
            flush_path(path)
        self._flush(folder)
        return keys

    def _flush(self, folder: Path) -> None:
        flush_path(folder)
        flush_path(self._folder)

    def retire(self, name: str, successor: str) -> None:
        """Let a log's keys sign nothing any more, durably.

        Done again it changes nothing; `ConfigurationError` for another successor.
        """
        known = self.retired(name)
        if known is None:
            # Put in its place whole: if we crash before, it is done again.
            path = self._folder / name / _RETIRED
            staged = path.with_suffix(".new")
            staged.unlink(missing_ok=True)
            write_private(staged, successor + "\n")
            staged.replace(path)
            self._flush(path.parent)
        elif known != successor:
            raise ConfigurationError(f"the successor of log {name} is {known}")

    def retired(self, name: str) -> str | None:
        """Return the successor of a log whose keys are retired, None for others.

        `ConfigurationError` where the mark cannot be read: it counts all the same.
        """
        path = self._folder / name / _RETIRED
        if not path.exists():
            return None
        try:
            if successor := read_private(path, 70):
                return successor
            raise ValueError("empty")
        except ValueError:
            raise ConfigurationError(f"{path} cannot be read") from None

    def require_free(self, name: str, origin: str) -> None:
        """Refuse a name under which there are keys of another log than `origin`."""
        if (self._folder / name).exists():
            self._take_up(name, origin)

    def files(self, name: str) -> SigningFiles:
        """Return the files that a log signs with."""
        return SigningFiles(self._folder / name)

    def load(self, name: str, *, retired: bool = False) -> LogKeys:
        """Return the secrets of a log, or raise `ConfigurationError`.

        Those of a retired log are returned to whoever asks for them: to read, not to
        sign.
        """
        folder = self._folder / name
        if not retired and (successor := self.retired(name)) is not None:
            raise ConfigurationError(
                f"log {name} is retired; its successor is the log {successor}"
            )
        files = SigningFiles(folder)
        for path in (*files.required(), folder / "id.key"):
            if not path.exists():
                raise ConfigurationError(
                    f"{path}: No such file; put the log's keys there, from where they"
                    " are kept"
                )
        try:
            signing, *further = files.keys()
            epochs = {
                int(path.stem.removeprefix("epoch-")): _read_key(path)
                for path in sorted(folder.glob("epoch-*.key"))
            }
            return LogKeys(
                signing,
                _read_key(folder / "id.key"),
                epochs,
                tuple(further),
                files.last(),
                files.mldsa(),
            )
        except (MalformedError, ValueError):
            raise ConfigurationError(f"a key in {folder} is damaged") from None


def _secrets(keys: LogKeys) -> tuple[object, ...]:
    mldsa = None if keys.mldsa is None else keys.mldsa.encode()
    signers = {key.encode() for key in keys.signers().values()}
    return signers, keys.id_key, keys.epoch_keys, dict(keys.last), mldsa


def _other(folder: Path) -> str:
    return f"there are other keys in {folder}; move them away if no log needs them"


def _read_key(path: Path) -> bytes:
    key = decode_base64(read_private(path))
    if len(key) != KEY_SIZE:
        raise ValueError("a key of another length")
    return key
