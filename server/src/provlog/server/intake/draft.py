"""Drafts: entries made as far as they can be before the log is locked.

Everything that costs time (salts, disclosures, digests, labels, tags) happens here,
beside other requests. Left for the commit path are `n`, `recorded` and `epoch`.
"""

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from provlog.merkle.disclosures import LONG_SALT_SIZE, make_disclosures
from provlog.merkle.encoding import JsonValue, encode_base64url
from provlog.merkle.entries import EventTemplate, event_template
from provlog.merkle.labels import KEY_SIZE, NONCE_SIZE, entry_id, label, tag
from provlog.merkle.receipts import Openings
from provlog.server.intake.event import Event
from provlog.server.intake.members import labels_of, split_members
from provlog.server.keyring import LogKeys
from provlog.server.storage.base import SourceRecord, TokenRecord

Entropy: TypeAlias = Callable[[int], bytes]


class EventDraft(msgspec.Struct, frozen=True):
    """An event that is ready to become a leaf of one log.

    `key` is its blinded id, `source` its source's URI. `variant` makes the draft of the
    same record under the id that tells it from another record with the same one; None
    where the source promised unique ids, and a second use is therefore a conflict.
    """

    key: bytes
    epoch: int
    template: EventTemplate
    disclosures: tuple[str, ...]
    openings: Openings | None
    comparison: bytes
    compare_key: bytes
    source: str
    variant: Callable[[], "EventDraft"] | None = None

    def compare_digest(self) -> bytes:
        """Return the salted digest by which a repetition is recognised (32 bytes)."""
        return hmac.digest(self.compare_key, self.comparison, "sha256")

    def repeats(self, compare_key: bytes, compare_digest: bytes) -> bool:
        """Tell whether a stored digest is that of this very event."""
        digest = hmac.digest(compare_key, self.comparison, "sha256")
        return hmac.compare_digest(digest, compare_digest)

    @property
    def cost(self) -> int:
        """About how many bytes the draft takes in the queue and in the database."""
        return 1024 + sum(map(len, self.disclosures))


@dataclass(frozen=True, slots=True)
class AdminDraft:
    """An `admin` entry, and the change it records, made in the same transaction."""

    action: str
    digests: Mapping[str, str]
    disclosures: tuple[str, ...]
    sources: tuple[SourceRecord, ...] = field(default=())
    tokens: tuple[TokenRecord, ...] = field(default=())
    revoked_tokens: Mapping[str, int] = field(default_factory=dict)

    @property
    def only_revokes(self) -> bool:
        """Whether it revokes tokens and does nothing else."""
        return bool(self.revoked_tokens) and not (self.tokens or self.sources)

    @property
    def cost(self) -> int:
        """About how many bytes the draft takes in the queue and in the database."""
        return 1024 + sum(map(len, self.disclosures))


@dataclass(frozen=True, slots=True)
class KeyDraft:
    """A `key` entry: from the next tree on `log_key` signs, in the place of another.

    Announced once: if it is the newest key already, that entry stands for it.
    """

    log_key: str
    replaces: str
    disclosures: tuple[str, ...] = field(default=())

    @property
    def cost(self) -> int:
        """About how many bytes the draft takes in the queue and in the database."""
        return 4096


@dataclass(frozen=True, slots=True)
class FreezeDraft:
    """A `freeze` entry: nothing stands behind it, whatever waits in the queue."""

    successor: dict[str, JsonValue] | None
    disclosures: tuple[str, ...] = field(default=())

    @property
    def cost(self) -> int:
        """About how many bytes the draft takes in the queue and in the database."""
        return 4096


# How many bytes of a record's digest its id gets when the one it came with is taken:
# 16 hexadecimal digits, and all of them where somebody has used that id as well.
_VARIANTS = (8, 32)

Draft: TypeAlias = EventDraft | AdminDraft | KeyDraft | FreezeDraft


class Drafter:
    """Makes the drafts of one log."""

    def __init__(self, keys: LogKeys, epoch: int, entropy: Entropy) -> None:
        self._id_key = keys.id_key
        self._epoch = epoch
        self._epoch_key = keys.epoch_keys[epoch]
        self._entropy = entropy

    def event(self, event: Event, ns: str, ingest: dict[str, JsonValue]) -> EventDraft:
        """Return the draft of an event.

        `ns` is the namespace registered with the event's source, `ingest` what the
        server knows of how the event came.
        """
        members = split_members(event, ns, ingest)
        random = self._entropy(LONG_SALT_SIZE * len(members) + NONCE_SIZE + KEY_SIZE)
        compare_key, nonce = random[:KEY_SIZE], random[KEY_SIZE:][:NONCE_SIZE]
        texts, digests = make_disclosures(
            random[KEY_SIZE + NONCE_SIZE :], _encode(members)
        )
        openings = self._openings(event, ns, nonce)
        key = entry_id(self._id_key, event.source, event.id)
        template = event_template(
            entry_id=encode_base64url(key),
            members=digests,
            source=event.source,
            tags=_tags(openings),
            time=event.time,
            type=event.type,
            seq=event.seq,
        )
        return EventDraft(
            key,
            self._epoch,
            template,
            texts,
            openings,
            event.comparison(),
            compare_key,
            event.source,
            self._variant(event, event.id, ns, ingest, _VARIANTS),
        )

    def admin(self, action: str, members: dict[str, JsonValue]) -> AdminDraft:
        """Return the draft of an `admin` entry that opens to `members`."""
        texts, digests = make_disclosures(
            self._entropy(LONG_SALT_SIZE * len(members)), _encode(members)
        )
        return AdminDraft(action, digests, texts)

    def key(self, source: str, event_id: str) -> bytes:
        """Return the blinded id under which an event stands."""
        return entry_id(self._id_key, source, event_id)

    def _variant(
        self,
        event: Event,
        sent: str,
        ns: str,
        ingest: dict[str, JsonValue],
        lengths: Sequence[int],
    ) -> Callable[[], EventDraft] | None:
        """Return what makes the next draft of a record whose id `sent` is taken."""
        digest = event.raw_digest
        if digest is None or not lengths:
            return None
        length, *longer = lengths
        other = msgspec.structs.replace(event, id=variant_id(sent, digest[:length]))

        def make() -> EventDraft:
            made = self.event(other, ns, ingest)
            further = self._variant(event, sent, ns, ingest, longer)
            return msgspec.structs.replace(made, variant=further)

        return make

    def _openings(self, event: Event, ns: str, nonce: bytes) -> Openings | None:
        labels = tuple(
            (kind, label(self._epoch_key, kind, where, identity))
            for kind, where, identity in labels_of(event, ns)
        )
        return Openings(nonce, labels) if labels else None


def variant_id(event_id: str, digest: bytes) -> str:
    """Return the id of another record that came under a taken id.

    `digest` are the first bytes of its own, or all of them. The id is cut where the
    whole would be longer than ids may be.
    """
    suffix = f"~{digest.hex()}"
    return event_id[: 256 - len(suffix)] + suffix


def _tags(openings: Openings | None) -> Sequence[str]:
    if openings is None:
        return ()
    return [encode_base64url(tag(openings.nonce, item)) for _, item in openings.labels]


def _encode(members: Mapping[str, JsonValue]) -> dict[str, bytes]:
    try:
        return {name: msgspec.json.encode(value) for name, value in members.items()}
    except OverflowError:  # an integer beyond 64 bits
        return {
            name: json.dumps(value, ensure_ascii=False).encode("utf-8")
            for name, value in members.items()
        }
