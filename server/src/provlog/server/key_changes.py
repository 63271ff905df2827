"""Changing a log's keys, and ending a log, in steps that may be done again.

::

    prepare   a key file in the keyring; nothing else knows of it yet
    announce  the `key` entry; from that tree on the old and the new key sign
    retire    the last checkpoint of the old key, beside the keys: it signs no more
    freeze    the `freeze` entry, behind which nothing stands

If a process dies within a step, the step was done or it was not, and the next call
finds out which.
"""

from dataclasses import dataclass
from enum import Enum

from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import MerkleError
from provlog.merkle.keys import SigningKey, VerifierKey
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server.announced import require_log_key
from provlog.server.batch import Appended, Repeated
from provlog.server.errors import ConfigurationError
from provlog.server.intake.draft import Draft, FreezeDraft, KeyDraft
from provlog.server.log import Log
from provlog.server.registry import require_origin
from provlog.server.service import Service


class KeyState(Enum):
    """What a key of a log does on this machine."""

    PREPARED = "prepared"
    """It is in the keyring and was not announced: it signs nothing yet."""

    SIGNING = "signing"
    """It signs; it is the newest one that was announced."""

    REPLACED = "replaced"
    """It signs beside the one that replaces it."""

    RETIRED = "retired"
    """It signs nothing any more."""

    DESTROYED = "destroyed"
    """It is retired, and is not in the keyring any more."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key of a log. `index` is the entry that announced it, 0 for the first key.

    It is None for one that is only prepared.
    """

    key: VerifierKey
    state: KeyState
    index: int | None

    def json(self) -> dict[str, JsonValue]:
        """Return the key as the API and the command show it."""
        state = self.state.value
        return {"log_key": self.key.vkey(), "state": state, "index": self.index}


@dataclass(frozen=True, slots=True)
class Announced:
    """An announcement that is durable; `is_new` is False where it was so before."""

    index: int
    is_new: bool


def known_keys(log: Log) -> list[KnownKey]:
    """Return every key that a log has announced, the first one first."""
    return [
        KnownKey(VerifierKey.parse(each.vkey), _state(log, each.vkey), each.index)
        for each in log.announced.keys
    ]


def prepared_keys(log: Log) -> list[SigningKey]:
    """Return the keys in the keyring that the log has not announced."""
    known = {each.vkey for each in log.announced.keys}
    held = log.signer.keys.signers()
    return [key for vkey, key in held.items() if vkey not in known]


async def prepare_key(log: Log) -> tuple[SigningKey, bool]:
    """Return the log's next key, and whether it was made now.

    One that is prepared already is returned. It is a file of this machine alone: the
    others that serve the log need it before it is announced.
    """
    await log.refresh()
    log.signer.reload()
    found = prepared_keys(log)
    if found:
        return found[0], False
    if log.announced.frozen is not None:
        raise ConfigurationError("the log has ended: its keys do not change any more")
    made = log.signer.files.prepare(log.origin)
    log.signer.reload()
    return made, True


async def announce_key(
    service: Service, log: Log, key_id: str | None, by: str
) -> tuple[VerifierKey, Announced]:
    """Announce the key that was prepared, durably; return it and where it stands.

    `key_id`, eight hexadecimal digits, says which where several are. Without a prepared
    one the newest key is returned, where an entry announced it. `ConfigurationError`
    where there is none, or another one was announced meanwhile.
    """
    await log.refresh()
    log.signer.reload()
    chosen = _chosen(log, key_id)
    if chosen is None:
        newest = log.announced.keys[-1]
        return VerifierKey.parse(newest.vkey), Announced(newest.index, is_new=False)
    draft = KeyDraft(chosen.vkey(), log.announced.newest)
    return chosen, await _submit(service, log, draft, by)


async def retire_keys(log: Log, *, destroy: bool) -> list[KnownKey]:
    """Let every key that was replaced sign nothing any more; return these keys.

    Each leaves its last checkpoint behind, of a tree that holds the entry which
    replaced it. With `destroy` their files are removed, also of keys that were retired
    before. `ConfigurationError` where no key was ever replaced.
    """
    head = await log.refresh()
    log.signer.reload()
    files = log.signer.files
    replaced = [each for each in log.announced.keys if each.until is not None]
    if not replaced:
        raise ConfigurationError(
            "no key of the log was replaced: prepare and announce another one first"
        )
    note = log.note(head).encode()
    for each in replaced:
        key = VerifierKey.parse(each.vkey)
        if key.key_id not in log.signer.keys.last:
            _require_signed(note, key)
            # If we crash before this is in its place, the key signs on.
            files.retire(key, note)
        if destroy:
            files.destroy(key)
    log.signer.reload()
    return [each for each in known_keys(log) if each.state is not KeyState.SIGNING]


async def freeze(
    service: Service, log: Log, successor: dict[str, JsonValue] | None, by: str
) -> Announced:
    """End a log, durably: nothing is added behind that entry, by any server.

    `successor` has `origin` and `log_key` of the log that goes on. What waits in the
    queue behind it is refused with `FrozenError`; so is another freeze.
    """
    return await _submit(service, log, FreezeDraft(successor), by)


def successor_of(
    log: Log, origin: str | None, log_key: str | None
) -> dict[str, JsonValue] | None:
    """Return a successor as the `freeze` entry names it, None where none is given.

    Raises `ConfigurationError` for what cannot be a log's, or is this log's own.
    """
    if origin is None and log_key is None:
        return None
    if origin is None or log_key is None:
        raise ConfigurationError("a successor has both, an origin and a key")
    require_origin(origin)
    if origin == log.origin:
        raise ConfigurationError("a log cannot be its own successor")
    try:
        require_log_key(log_key, origin)
    except MerkleError as error:
        raise ConfigurationError(f"the successor's key: {error}") from None
    return {"origin": origin, "log_key": log_key}


def _state(log: Log, vkey: str) -> KeyState:
    keys = log.signer.keys
    is_here = vkey in keys.signers()
    if VerifierKey.parse(vkey).key_id in keys.last:
        return KeyState.RETIRED if is_here else KeyState.DESTROYED
    newest = vkey == log.announced.newest
    return KeyState.SIGNING if newest else KeyState.REPLACED


def _chosen(log: Log, key_id: str | None) -> VerifierKey | None:
    """Return the prepared key that is meant; None where it was announced before."""
    newest = log.announced.keys[-1]
    found = [key.verifier() for key in prepared_keys(log)]
    if key_id is not None:
        if newest.index and VerifierKey.parse(newest.vkey).key_id.hex() == key_id:
            return None
        found = [key for key in found if key.key_id.hex() == key_id]
    if len(found) > 1:
        listed = ", ".join(key.key_id.hex() for key in found)
        raise ConfigurationError(f"several keys are prepared, {listed}: say which")
    if found:
        return found[0]
    if newest.index and key_id is None:
        return None
    raise ConfigurationError("no such key is prepared: run key prepare first")


async def _submit(service: Service, log: Log, draft: Draft, by: str) -> Announced:
    committed = await service.sequencer.submit(log, [draft], by)
    [outcome] = committed.outcomes
    if not isinstance(outcome, Appended | Repeated):
        raise TypeError(f"an announcement came to {type(outcome).__name__}")
    return Announced(outcome.index, isinstance(outcome, Appended))


def _require_signed(note: bytes, key: VerifierKey) -> None:
    try:
        verify_checkpoint(note, Trust((key,), key.name))
    except MerkleError as error:
        raise ConfigurationError(
            f"the key {key.key_id.hex()} does not sign here: {error}"
        ) from None
