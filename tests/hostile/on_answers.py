"""Lies about one entry: to whoever submits it, and to whoever asks for it later."""

from hostile import answered
from hostile.liar import Telltale
from hostile.lie import HEADS, NO_PATH, NOT_PROVED, RECEIPTS, SUBMITTERS, Lie
from hostile.telling import (
    batches,
    borrowed,
    events,
    first_hash,
    hashes,
    receipts,
    texts,
)
from provlog.merkle.encoding import encode_base64

ANSWERS = (
    Lie(
        "dropped",
        "drops an event: acknowledges it with a proof in a tree without it",
        Telltale(answered.dropped),
        "who answered",
        caught={
            SUBMITTERS: NO_PATH,
        },
    ),
    Lie(
        "replayed-receipt",
        "replays an old receipt for a new event",
        Telltale(answered.replayed),
        "who answered",
        caught={
            SUBMITTERS: "receipt: the entry's source is not the one submitted",
        },
    ),
    Lie(
        "another-s-index",
        "answers a new event as a repetition, with the index of another one",
        Telltale(answered.known_already),
        "who answered",
        caught={
            SUBMITTERS: "receipt: the entry's source is not the one submitted",
        },
    ),
    Lie(
        "edited-type",
        "logs another type of event than was sent",
        Telltale(events(answered.retype)),
        "the log",
        caught={
            SUBMITTERS: "receipt: the entry's type is not the one submitted",
        },
    ),
    Lie(
        "backdated",
        "logs another time than was sent",
        Telltale(events(answered.backdate)),
        "the log",
        caught={
            SUBMITTERS: "receipt: the entry's time is not the one submitted",
        },
    ),
    Lie(
        "edited-target",
        "logs another target than was sent",
        Telltale(events(answered.retarget)),
        "the log",
        caught={
            SUBMITTERS: "receipt: member target is not what was submitted",
        },
    ),
    Lie(
        "renumbered",
        "logs another number of the source than was sent",
        Telltale(events(answered.renumber)),
        "the log",
        caught={
            SUBMITTERS: "receipt: the entry's seq is not the one submitted",
        },
    ),
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
            "submit": "inclusion: the proof is too long",
            "AsyncClient entry verify": "receipt: its index is not the proof's",
            "Outbox": NO_PATH,
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
    Lie(
        "batch-order",
        "answers a batch in another order",
        Telltale(batches(answered.reverse)),
        "who answered",
        caught={
            "submit Outbox": "receipt: the entry's seq is not the one submitted",
        },
    ),
    Lie(
        "batch-result",
        "leaves a result of a batch out",
        Telltale(batches(answered.shorten)),
        "who answered",
        caught={
            "submit Outbox": "answer: not one result for each event",
        },
    ),
    Lie(
        "batch-checkpoint",
        "answers a batch without a checkpoint",
        Telltale(batches(answered.no_checkpoint)),
        "who answered",
        caught={
            "submit Outbox": "answer: results without a checkpoint",
        },
    ),
    Lie(
        "refused",
        "logs an event, and says that it was refused",
        Telltale(answered.refused),
        "nobody",
        said={
            SUBMITTERS: "the id is taken by another event",
        },
    ),
    Lie(
        "denied",
        "denies an entry that it has",
        Telltale(answered.denied),
        "nobody",
        said={
            "entry proof": "there is no such entry",
        },
    ),
    Lie(
        "problem-inside",
        "answers 200 with a problem inside",
        Telltale(answered.problem_inside),
        "who answered",
        caught={
            "submit Outbox": "answer: member 'checkpoint' is missing",
            "AsyncClient entry verify": "receipt: member 'v' is missing",
            f"{HEADS} compare": "note: no empty line between text and signatures",
            "proof": "answer: member 'index' is missing",
        },
    ),
    Lie(
        "double-member",
        "answers with a member of JSON that stands there twice",
        Telltale(texts(answered.double_member, "events", "entries", "proofs")),
        "who answered",
        caught={
            f"submit Outbox {HEADS}": "answer: 1 unknown member(s)",
            "AsyncClient entry verify": "receipt: duplicate member name in an object",
            "proof": "answer: duplicate member name in an object",
            "compare": NOT_PROVED,
        },
    ),
    Lie(
        "no-json",
        "answers with something that is not what was asked for",
        Telltale(texts(lambda data: b"<html>", "events", "entries", "proofs")),
        "who answered",
        caught={
            f"submit Outbox {HEADS} proof": "answer: Expecting value",
            "AsyncClient entry verify": "receipt: Expecting value",
            "compare": NOT_PROVED,
        },
    ),
    Lie(
        "deep-json",
        "answers with JSON nested ten thousand deep",
        Telltale(texts(lambda data: b"[" * 10_000, "events", "entries", "proofs")),
        "who answered",
        caught={
            f"submit Outbox {HEADS} proof": "answer: nested deeper than 64",
            "AsyncClient entry verify": "receipt: nested deeper than 64",
            "compare": NOT_PROVED,
        },
    ),
)
