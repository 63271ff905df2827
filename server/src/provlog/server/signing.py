"""Who signs a log's checkpoints: the keys it announced, from the files that are here.

A tree of size s is signed by every key that was announced at an index below s, the
newest first, and by none that is retired here. A process that does not have a key that
it needs signs nothing: a checkpoint without the newest key's signature is believed by
nobody who knows the announcement. It looks for the file again each time it is asked,
and goes on as soon as it is there.
"""

import logging
from collections.abc import Callable, Collection
from functools import lru_cache

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import SigningKey, VerifierKey
from provlog.merkle.notes import add_signatures, sign_note
from provlog.server.announced import Announced
from provlog.server.errors import HaltedError, MissingKeyError, ServiceError
from provlog.server.guard import ReleasedHead
from provlog.server.keyring import LogKeys
from provlog.server.signing_files import SigningFiles

logger = logging.getLogger(__name__)


class KeyFiles:
    """Where a log's keys come from; `load` raises `ConfigurationError`."""

    def __init__(self, files: SigningFiles, load: Callable[[], LogKeys]) -> None:
        self.files = files
        self.load = load


class Signer:
    """Signs the checkpoints of one log with what is in its folder of the keyring."""

    def __init__(self, origin: str, keys: LogKeys, source: KeyFiles) -> None:
        self.keys = keys
        self._held = keys.signers()
        self._origin = origin
        self._source = source
        self._seen: int | None = None
        self._missed: VerifierKey | None = None
        self._again = True
        self._note: tuple[ReleasedHead, str] | None = None

    @property
    def files(self) -> SigningFiles:
        """The files in the keyring."""
        return self._source.files

    def note(self, head: ReleasedHead, announced: Announced) -> str:
        """Return the checkpoint of a released head, signed; the same text each time.

        ML-DSA-44 signatures are not deterministic, so what was made is kept until there
        is a larger head. `MissingKeyError` where a key is missing.
        """
        if self._note is None or self._note[0] != head:
            self._note = (head, self._sign(head, announced))
        return self._note[1]

    def require(self, announced: Announced, size: int) -> list[SigningKey]:
        """Return the keys that sign a tree of that size, the newest first.

        Raises `MissingKeyError`, which says which file to put where, unless all of them
        are here.
        """
        missing = self._missing(announced, size)
        if missing is not None:
            self.reload()
            missing = self._missing(announced, size)
        if missing is not None:
            advice = self._advice(missing)
            if missing != self._missed:
                logger.critical("nothing is signed or written: %s", advice)
            self._missed = missing
            raise MissingKeyError(advice)
        self._missed = None
        held, last = self._held, self.keys.last
        return [
            held[vkey]
            for vkey in announced.keys_of(size)
            if vkey in held and held[vkey].key_id not in last
        ]

    def reload(self) -> None:
        """Read the keys anew; where they cannot be read, go on with those at hand."""
        try:
            keys = self._source.load()
        except (ServiceError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            logger.error("the keys of %s cannot be read: %s", self._origin, why)
            return
        if not keys.same_as(self.keys):
            self.keys, self._held = keys, keys.signers()
            self._note = None

    def look(self) -> None:
        """Read the keys anew where a file came or went; called once a second.

        A folder's time may stand still for a few milliseconds, so it is read once more
        the next time.
        """
        try:
            seen = self._source.files.changed()
        except OSError as error:
            logger.error("the keys of %s: %s", self._origin, error.strerror)
            return
        if seen != self._seen or self._again:
            self._again = seen != self._seen
            self._seen = seen
            self.reload()

    def _sign(self, head: ReleasedHead, announced: Announced) -> str:
        if announced.known_to < head.size:
            raise HaltedError("who signs that head is not known yet")
        keys = self.require(announced, head.size)
        text = Checkpoint(self._origin, head.size, head.root).text()
        note = sign_note(text, keys)
        if self.keys.mldsa is not None:
            # A log's own signature makes no claim about time (tlog-cosignature).
            note = add_signatures(note, [self.keys.mldsa.cosign(text, 0)])
        return note.decode()

    def _missing(self, announced: Announced, size: int) -> VerifierKey | None:
        return missing_key(self._held, self.keys.last, announced, size)

    def _advice(self, key: VerifierKey) -> str:
        files, folder = self._source.files, self._source.files.folder
        if key.key_id in self.keys.last:
            return f"the key {key.key_id.hex()} of {self._origin} is retired here"
        there = (
            f"{files.key_path(key).name} (or {files.last_path(key).name}, if retired)"
        )
        return (
            f"a key of {self._origin} is not here: put {there} into {folder}, from a"
            " machine that has it"
        )


def missing_key(
    held: Collection[str], last: Collection[bytes], announced: Announced, size: int
) -> VerifierKey | None:
    """Return a key that a tree of that size is to be signed with and cannot be.

    `held` are the vkeys that there are, `last` the IDs of those that are retired: these
    need not be there, but for the newest one, which must not be retired. None where
    nothing is missing.
    """
    newest, *older = announced.keys_of(size)
    key = _parse(newest)
    if newest not in held or key.key_id in last:
        return key
    for vkey in older:
        if vkey not in held and _parse(vkey).key_id not in last:
            return _parse(vkey)
    return None


@lru_cache(maxsize=1024)
def _parse(vkey: str) -> VerifierKey:
    try:
        return VerifierKey.parse(vkey)
    except MalformedError as error:
        raise HaltedError(f"a key that was announced is none: {error}") from None
