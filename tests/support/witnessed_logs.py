"""Small logs in memory that ask a witness, truthfully or not."""

from dataclasses import dataclass, field
from hashlib import sha256

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.keys import SigningKey
from provlog.merkle.notes import sign_note
from provlog.merkle.witness_messages import AddCheckpoint, SignSubtree
from support.naive_tree import NaiveTree

ORIGIN = "log.example.com/main"


@dataclass
class MemoryLog:
    """A log of as many leaves as anybody asks for; another `history` has other ones.

    Histories agree in their first `common` leaves.
    """

    key: SigningKey = field(default_factory=lambda: SigningKey(ORIGIN, bytes(32)))
    history: str = "one"
    common: int = 0
    origin: str = ORIGIN

    @property
    def vkey(self) -> str:
        """The key that a witness has to know."""
        return self.key.verifier().vkey()

    def leaves(self, size: int) -> list[bytes]:
        """Return the first leaves."""
        return [
            sha256(f"{'' if n < self.common else self.history} {n}".encode()).digest()
            for n in range(size)
        ]

    def tree(self, size: int) -> NaiveTree:
        """Return the tree of the first leaves."""
        return NaiveTree(self.leaves(size))

    def checkpoint(self, size: int, *extensions: str) -> bytes:
        """Return the signed checkpoint of so many leaves."""
        return self.sign(size, self.tree(size).root(), *extensions)

    def sign(self, size: int, root: bytes, *extensions: str) -> bytes:
        """Return a checkpoint signed, whatever it says."""
        point = Checkpoint(self.origin, size, root, extensions)
        return sign_note(point.text(), [self.key])

    def proof(self, old: int, size: int) -> tuple[bytes, ...]:
        """Return the consistency proof."""
        if not 0 < old < size:
            return ()
        return tuple(self.tree(size).proof(0, old, size))

    def request(self, old: int, size: int) -> bytes:
        """Return the body of an honest `add-checkpoint`."""
        return AddCheckpoint(old, self.proof(old, size), self.checkpoint(size)).format()

    def subtree(self, start: int, end: int, size: int, cosigned: bytes) -> bytes:
        """Return the body of an honest `sign-subtree`."""
        tree = self.tree(size)
        proof = tuple(tree.proof(start, end, size))
        return SignSubtree(start, end, tree.mth(start, end), proof, cosigned).format()
