"""What the core raises, and whom it blames.

::

    MerkleError
    ├── MalformedError         the bytes are not in the format they claim to be in
    └── VerificationError      well formed, and not true
        ├── SignatureError     no signature by a trusted key, or one that is false
        │   └── ReplacedKeyError   signed by a key alone that the log has replaced
        ├── FrozenError        signed by a log behind the entry that ended it
        ├── PolicyError        cosignatures fall short of the quorum
        ├── ProofError         a Merkle proof does not lead to the root
        ├── ContentError       leaf, disclosures, openings or indexes disagree
        └── InconsistencyError two signed checkpoints that cannot both be true

A mistake of the calling program (an index below zero, a hash of the wrong length
passed to a builder) is a plain `ValueError`.
"""


class MerkleError(Exception):
    """Root of everything this package raises about data from outside."""


class MalformedError(MerkleError):
    """The bytes are not in the format; the message says what is wrong and where."""


class VerificationError(MerkleError):
    """Well-formed data that is not true."""


class SignatureError(VerificationError):
    """No signature by a trusted key was found, or one by a trusted key is false.

    `strangers` are the names and key IDs of the lines by keys that are not trusted,
    where that is all there is: one may be of a key that the log announced since.
    """

    strangers: tuple[tuple[str, bytes], ...] = ()


class ReplacedKeyError(SignatureError):
    """Of the log's keys only ones signed that it had replaced: perhaps a thief did."""


class FrozenError(VerificationError):
    """The log signed a tree that is larger than the one it ended with.

    `note` is that signed checkpoint, byte for byte, and `frozen_at` the number of
    entries with which the log ended. Beside the entry that ended it, and its proof, the
    note convicts the log in anybody's hands.
    """

    def __init__(self, message: str, note: bytes, frozen_at: int) -> None:
        super().__init__(message)
        self.note = note
        self.frozen_at = frozen_at


class PolicyError(VerificationError):
    """The cosignatures on a checkpoint fall short of the policy's quorum."""


class ProofError(VerificationError):
    """A Merkle proof does not lead to the root it was given for."""


class ContentError(VerificationError):
    """Parts that should belong together (leaf, disclosures, indexes) disagree."""


class InconsistencyError(VerificationError):
    """Two checkpoints signed by the same log cannot both be true.

    `older` and `newer` are the two signed notes, byte for byte: together they convict
    the log in anybody's hands.
    """

    def __init__(self, message: str, older: bytes, newer: bytes) -> None:
        super().__init__(message)
        self.older = older
        self.newer = newer
