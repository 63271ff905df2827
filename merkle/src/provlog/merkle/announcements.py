"""A log's announcements: which key replaced which, and where the log ends.

They are the log's `key` and `freeze` entries, each with a proof that is signed by the
key it replaces (a freeze: by a key valid then). So whoever was given one key of the log
can follow to all later ones, without asking anybody but the log::

    {"v":1,"origin":…,"announcements":[{"index":…,"leaf":base64,
     "proof":"c2sp.org/tlog-proof@v1\\n…"},…]}

in order of index. `follow` is how a document is read: parse is verify.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, cast

from provlog.merkle.announcement_document import (
    MAX_ANNOUNCEMENTS,
    MAX_DOCUMENT,
    Announcement,
    format_announcements,
    parse_announcements_unverified,
)
from provlog.merkle.encoding import JsonValue
from provlog.merkle.entries import Entry, parse_entry
from provlog.merkle.errors import ContentError, FrozenError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.keys import VerifierKey
from provlog.merkle.proof_file import verify_proof
from provlog.merkle.receipts import check_entry
from provlog.merkle.trust import ReplacedKey, SignedCheckpoint, Trust

__all__ = [
    "MAX_ANNOUNCEMENTS",
    "MAX_DOCUMENT",
    "Announcement",
    "Followed",
    "Freeze",
    "KeyChange",
    "follow",
    "format_announcements",
    "parse_announcements_unverified",
]

_WHAT: Final = "announcements"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """The entry at `index` put `log_key` in the place of `replaces`: proved.

    `signed` is the checkpoint of the proof, signed by the key that was replaced.
    """

    index: int
    replaces: VerifierKey
    log_key: VerifierKey
    signed: SignedCheckpoint


@dataclass(frozen=True, slots=True)
class Freeze:
    """The entry at `index` is the log's last: proved.

    `successor` is the `origin` and the `log_key` of the log that goes on, as this log
    names them; None where there is none.
    """

    index: int
    successor: Mapping[str, JsonValue] | None
    signed: SignedCheckpoint

    @property
    def final_size(self) -> int:
        """The number of entries with which the log ended."""
        return self.index + 1


@dataclass(frozen=True, slots=True)
class Followed:
    """Where announcements led: `trust` is what a verifier believes from now on.

    `keys` are the changes that concern its keys. A document that leads nowhere leaves
    `trust` as it was.
    """

    trust: Trust
    keys: tuple[KeyChange, ...]
    freeze: Freeze | None

    def checkpoints(self) -> tuple[SignedCheckpoint, ...]:
        """Return the checkpoints of all proofs, each signed by a key of its time."""
        frozen = () if self.freeze is None else (self.freeze.signed,)
        return (*(each.signed for each in self.keys), *frozen)


def follow(trust: Trust, document: bytes) -> Followed:
    """Return the trust that a document leads to from the keys of `trust`, or raise.

    In order of index, each announcement has to be

    1. an entry of the log at that place (`MalformedError`, `ContentError`), proved by a
       tlog-proof whose checkpoint the key that it replaces signed; a freeze, a key that
       was not replaced then (`SignatureError`, `ProofError`);
    2. of kind `key`: it replaces a key that is trusted and that none before it
       replaced, by one of the log's name and the same type that is new; or
    3. of kind `freeze`, the last of all, in a tree that ends with it (`FrozenError`).

    What replaces keys from before the first trusted one, or of a type of which none is
    trusted, leads nowhere and is no fault. What `trust` follows already has to be in
    the document (`ContentError`): a log takes no announcement back. The policy is kept,
    and is not asked of proofs.
    """
    origin, announcements = parse_announcements_unverified(document)
    if origin != trust.origin:
        raise ContentError(f"{_WHAT}: of another origin")
    walk = _Walk(trust)
    for each in announcements:
        walk.take(each)
    return walk.finish()


@dataclass(slots=True)
class _Walk:
    """What the announcements read so far lead to, from the keys of `start`."""

    start: Trust
    keys: list[KeyChange] = field(default_factory=list)
    replaced: list[ReplacedKey] = field(default_factory=list)
    seen: set[VerifierKey] = field(default_factory=set)
    # The newest key of a line that no trusted key belongs to so far.
    foreign: dict[int, VerifierKey] = field(default_factory=dict)
    freeze: Freeze | None = None

    @property
    def trusted(self) -> tuple[VerifierKey, ...]:
        """The keys given and those that came after them."""
        new = [each.log_key for each in self.keys]
        return tuple(dict.fromkeys((*self.start.log_keys, *new)))

    def take(self, announced: Announcement) -> None:
        if self.freeze is not None:
            raise ContentError(
                f"{_WHAT}: entry {announced.index} stands behind entry "
                f"{self.freeze.index}, which ended the log"
            )
        now = Trust(self.trusted, self.start.origin, replaced=tuple(self.replaced))
        entry = _entry(announced)
        if entry.kind == "freeze":
            self.freeze = _freeze(announced, entry, now)
            return
        new, old = _vkey(entry, "log_key"), _vkey(entry, "replaces")
        self._require_new(announced, new, old)
        if old not in self.trusted:
            self._pass(announced, new, old)
            return
        if old in {each.key for each in self.replaced}:
            raise _wrong(announced, "replaces a key that was replaced before")
        signed = _proved(announced, Trust((old,), self.start.origin))
        self.replaced.append(ReplacedKey(old, announced.index, new))
        self.keys.append(KeyChange(announced.index, old, new, signed))

    def _require_new(
        self, announced: Announcement, new: VerifierKey, old: VerifierKey
    ) -> None:
        if new.name != self.start.origin or new.key_type is not old.key_type:
            raise _wrong(announced, "names a key of another log or type")
        if new in self.seen or new == old:
            raise _wrong(announced, "names a key that the log had before")
        self.seen |= {new, old}
        # Signature lines could not tell two such keys apart.
        known = {
            (key.name, key.key_id): key
            for key in (*self.trusted, *self.start.witness_keys())
        }
        if known.get((new.name, new.key_id), new) != new:
            raise _wrong(announced, "names a key with another one's key ID")

    def _pass(
        self, announced: Announcement, new: VerifierKey, old: VerifierKey
    ) -> None:
        """Go past a key whose line leads to a trusted one, or is of no interest."""
        if self.foreign.get(old.key_type, old) != old:
            raise _wrong(announced, "replaces a key that is not the log's")
        self.foreign[old.key_type] = new
        if new in self.trusted:
            del self.foreign[old.key_type]

    def finish(self) -> Followed:
        types = {key.key_type for key in self.start.log_keys}
        if any(key.key_type in types for key in self.foreign.values()):
            raise ContentError(f"{_WHAT}: of keys that no known key leads to")
        trust = replace(
            self.start,
            log_keys=self.trusted,
            replaced=tuple(self.replaced),
            frozen_at=None if self.freeze is None else self.freeze.final_size,
        )
        _require_all(self.start, trust)
        return Followed(trust, tuple(self.keys), self.freeze)


def _entry(announced: Announcement) -> Entry:
    # Its own checkpoint has no say in this: that comes with the proof.
    entry = parse_entry(announced.leaf)
    if not entry.understood or entry.kind not in ("key", "freeze"):
        raise _wrong(announced, "announces nothing that this program knows")
    return entry


def _proved(announced: Announcement, trust: Trust) -> SignedCheckpoint:
    proof = verify_proof(announced.proof, leaf_hash(announced.leaf), trust)
    if proof.index != announced.index:
        raise _wrong(announced, "has the proof of another place")
    check_entry(announced.leaf, proof.index, proof.signed_checkpoint.checkpoint)
    return proof.signed_checkpoint


def _freeze(announced: Announcement, entry: Entry, trust: Trust) -> Freeze:
    signed = _proved(announced, trust)
    if signed.checkpoint.size > announced.index + 1:
        raise FrozenError(
            f"{_WHAT}: entry {announced.index} ended the log, and a tree of "
            f"{signed.checkpoint.size} entries is signed that holds it",
            signed.note,
            announced.index + 1,
        )
    successor = cast("Mapping[str, JsonValue] | None", entry.body.get("successor"))
    return Freeze(announced.index, successor, signed)


def _require_all(before: Trust, after: Trust) -> None:
    """Raise unless `after` follows all that `before` did."""
    missing = set(before.replaced) - set(after.replaced)
    if missing:
        index = min(each.index for each in missing)
        raise ContentError(
            f"{_WHAT}: the entry {index}, which replaced a key, is missing or another "
            "than it was"
        )
    if before.frozen_at not in (None, after.frozen_at):
        raise ContentError(
            f"{_WHAT}: the freeze of the log is missing or another than it was"
        )


def _vkey(entry: Entry, name: str) -> VerifierKey:
    return VerifierKey.parse(cast(str, entry.body[name]))


def _wrong(announced: Announcement, why: str) -> ContentError:
    return ContentError(f"{_WHAT}: entry {announced.index} {why}")
