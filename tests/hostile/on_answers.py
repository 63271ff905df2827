"""Lies about one entry: to whoever submits it, and to whoever asks for it later."""

from hostile import answered
from hostile.liar import Telltale
from hostile.lie import HEADS, NO_PATH, NOT_PROVED, SUBMITTERS, Lie
from hostile.telling import (
    batches,
    events,
    texts,
)

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
