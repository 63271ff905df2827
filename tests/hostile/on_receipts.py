"""Lies in receipts: in the leaf, what is disclosed of it, and its proof."""

from hostile import answered
from hostile.liar import Telltale
from hostile.lie import NO_PATH, RECEIPTS, SUBMITTERS, Lie
from hostile.telling import (
    borrowed,
    first_hash,
    hashes,
    receipts,
)
from provlog.merkle.encoding import encode_base64

FALSE_RECEIPTS = (
    Lie(
        "edited-leaf",
        "edits a leaf in the answer",
        Telltale(receipts(answered.edit_leaf)),
        "who answered",
        caught={
            RECEIPTS: NO_PATH,
        },
    ),
    Lie(
        "swapped-disclosures",
        "swaps disclosures between two entries",
        Telltale(borrowed(answered.OTHER, answered.swap)),
        "who answered",
        caught={
            RECEIPTS: "receipt: a disclosure is not of this entry",
        },
    ),
    Lie(
        "edited-disclosure",
        "edits a disclosure",
        Telltale(receipts(answered.edit_disclosure)),
        "who answered",
        caught={
            RECEIPTS: "receipt: a disclosure is not of this entry",
        },
    ),
    Lie(
        "withheld-disclosure",
        "withholds a disclosure",
        Telltale(receipts(answered.withhold)),
        "who answered",
        caught={
            SUBMITTERS: "receipt: withholds from its submitter: actor",
        },
        said={"entry verify": "withheld: actor"},
    ),
    Lie(
        "added-disclosure",
        "adds a disclosure that the entry does not have",
        Telltale(receipts(answered.add)),
        "who answered",
        caught={
            RECEIPTS: "receipt: a disclosure is not of this entry",
        },
    ),
    Lie(
        "doubled-disclosure",
        "discloses a member twice",
        Telltale(receipts(answered.twice)),
        "who answered",
        caught={
            RECEIPTS: "receipt: a member is disclosed twice",
        },
    ),
    Lie(
        "false-opening",
        "opens an entry's tags with another nonce",
        Telltale(receipts(answered.other_opening)),
        "who answered",
        caught={
            "entry verify": "receipt: an opening is not of this entry",
        },
    ),
    Lie(
        "other-index",
        "says that an entry stands at another index than the one proved",
        Telltale(receipts(answered.other_index)),
        "who answered",
        caught={
            "submit Outbox": "inclusion",
            "AsyncClient entry verify": "receipt: its index is not the proof's",
        },
    ),
    Lie(
        "another-entry",
        "returns the receipt of another index",
        Telltale(answered.another_entry),
        "who answered",
        caught={
            "entry": "answer: another entry than the one asked for",
        },
        blind="verify",
    ),
    Lie(
        "another-proof",
        "returns the proof of another index",
        Telltale(answered.proof_of_another),
        "who answered",
        caught={
            "proof": "answer: another proof than the one asked for",
        },
    ),
    Lie(
        "changed-proof",
        "changes a hash of a proof",
        Telltale(receipts(first_hash(lambda text: encode_base64(bytes(32))))),
        "who answered",
        caught={
            RECEIPTS: NO_PATH,
        },
    ),
    Lie(
        "short-proof",
        "leaves the last hash of a proof out",
        Telltale(receipts(hashes(lambda each: each[:-1]))),
        "who answered",
        caught={
            RECEIPTS: "inclusion: the proof is too short",
        },
    ),
    Lie(
        "huge-proof",
        "sends a huge proof, of thousands of hashes",
        Telltale(receipts(hashes(answered.huge))),
        "who answered",
        caught={
            "submit Outbox": "answer: hashes is not a list of 63 at most",
            "AsyncClient entry verify": "proof: more than 63 hashes",
        },
    ),
    Lie(
        "malformed-proof",
        "sends a proof with a hash of 31 bytes",
        Telltale(receipts(first_hash(lambda text: encode_base64(bytes(31))))),
        "who answered",
        caught={
            "submit Outbox": "answer: hash: a hash has 32 bytes",
            "AsyncClient entry verify": "proof: hash: a hash has 32 bytes",
        },
    ),
    Lie(
        "base64-proof",
        "sends a proof in base64 that is not canonical",
        Telltale(receipts(first_hash(lambda text: text[:-1]))),
        "who answered",
        caught={
            "submit Outbox": "answer: hash: a hash is 44 characters of base64",
            "AsyncClient entry verify": "proof: hash: a hash is 44 characters",
        },
    ),
    Lie(
        "base64-leaf",
        "sends a leaf in base64 that is not canonical",
        Telltale(receipts(answered.not_canonical)),
        "who answered",
        caught={
            "submit Outbox": "answer: leaf: not standard base64",
            "AsyncClient entry verify": "receipt leaf: not standard base64",
        },
    ),
)
