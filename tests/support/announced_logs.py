"""A log that changes its keys and ends, with naive trees: what it signs and announces.

It tells the truth; a test that wants a lie makes it of these parts.
"""

from collections.abc import Sequence

from provlog.merkle.announcements import Announcement, format_announcements
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import JsonValue
from provlog.merkle.entries import build_entry
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.keys import SigningKey
from provlog.merkle.notes import sign_note
from provlog.merkle.proof_file import format_proof
from provlog.merkle.trust import Trust
from support.golden_entries import ORIGIN, event_leaf, params_leaf
from support.naive_tree import NaiveTree

NOW = "2026-11-21T17:53:56.001Z"


def signing_key(number: int, name: str = ORIGIN) -> SigningKey:
    """Return the key of that number; the log begins with number 0."""
    return SigningKey.from_seed(name, bytes((number,)) * 32)


def key_leaf(new: str, old: str, n: int = 0) -> bytes:
    """Return the entry that puts one vkey in the place of another."""
    body: dict[str, JsonValue] = {"log_key": new, "replaces": old}
    return build_entry("key", epoch=1, n=n, recorded=NOW, body=body)


def freeze_leaf(n: int = 0, successor: tuple[str, str] | None = None) -> bytes:
    """Return the entry that ends a log; `successor` is origin and vkey."""
    body: dict[str, JsonValue] = {}
    if successor is not None:
        body["successor"] = {"origin": successor[0], "log_key": successor[1]}
    return build_entry("freeze", epoch=1, n=n, recorded=NOW, body=body)


def signed_note(
    leaves: Sequence[bytes], keys: Sequence[SigningKey], origin: str = ORIGIN
) -> bytes:
    """Return the checkpoint of a tree of these leaves, signed by each of the keys."""
    root = NaiveTree([leaf_hash(each) for each in leaves]).root()
    return sign_note(Checkpoint(origin, len(leaves), root).text(), list(keys))


def announced(
    leaves: Sequence[bytes],
    index: int,
    keys: Sequence[SigningKey],
    origin: str = ORIGIN,
) -> Announcement:
    """Return an entry with its proof in the tree of `leaves`, signed by the keys."""
    tree = NaiveTree([leaf_hash(each) for each in leaves])
    note = signed_note(leaves, keys, origin)
    proof = format_proof(index, tree.path(index, len(leaves)), note)
    return Announcement(index, leaves[index], proof.encode())


class AnnouncedLog:
    """Leaves, the keys in their order, and where each of them was announced."""

    def __init__(self, events: int = 2) -> None:
        self.keys = [signing_key(0)]
        self.leaves = [params_leaf()]
        self.events = 0
        self.places: list[int] = []
        self.frozen: int | None = None
        self.grow(events)

    @property
    def trust(self) -> Trust:
        """What was given to those who knew the log when it began."""
        return Trust.from_log_key(self.keys[0].verifier().vkey())

    def grow(self, events: int) -> None:
        """Append so many events."""
        for _ in range(events):
            self.leaves.append(event_leaf(n=self.events))
            self.events += 1

    def rotate(self, number: int | None = None) -> int:
        """Announce the next key; return the entry's index."""
        new = signing_key(len(self.keys) if number is None else number)
        old = self.keys[-1].verifier().vkey()
        self.leaves.append(key_leaf(new.verifier().vkey(), old, self.events))
        self.keys.append(new)
        self.places.append(len(self.leaves) - 1)
        return self.places[-1]

    def freeze(self, successor: tuple[str, str] | None = None) -> int:
        """End the log; return the entry's index."""
        self.leaves.append(freeze_leaf(self.events, successor))
        self.frozen = len(self.leaves) - 1
        return self.frozen

    def signers(self, size: int) -> list[SigningKey]:
        """Return the keys announced in the tree of that size, the newest first."""
        later = [
            key
            for key, index in zip(self.keys[1:], self.places, strict=True)
            if index < size
        ]
        return [*reversed(later), self.keys[0]]

    def note(
        self, size: int | None = None, keys: Sequence[SigningKey] | None = None
    ) -> bytes:
        """Return a signed checkpoint, by default with all keys of its size."""
        leaves = self.leaves[:size]
        return signed_note(leaves, keys or self.signers(len(leaves)))

    def announcements(self) -> list[Announcement]:
        """Return what the log announces, each proved in the tree that ends with it."""
        places = [*self.places, *([] if self.frozen is None else [self.frozen])]
        # By the keys of before: the newest of them is the one that is replaced.
        return [
            announced(self.leaves[: index + 1], index, self.signers(index))
            for index in places
        ]

    def document(self) -> bytes:
        """Return what the log serves under /announcements."""
        return format_announcements(ORIGIN, self.announcements())
