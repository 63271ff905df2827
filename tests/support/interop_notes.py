"""Notes of one log at random, and what explains that they are judged differently."""

import base64
import binascii
import random
import re

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.notes import add_signatures, sign_note
from support.interop import Answer, Case, Difference
from support.naive_tree import NaiveTree, leaf_hashes

ORIGIN = "log.example/interop"
LOG = SigningKey.from_seed(ORIGIN, bytes(32))
WITNESS = Cosigner("witness.example/one", KeyType.COSIGNATURE_ED25519, b"1" * 32)
QUANTUM = Cosigner("witness.example/two", KeyType.COSIGNATURE_MLDSA44, b"2" * 32)
STRANGER = SigningKey.from_seed("stranger.example", b"3" * 32)
KEYS = (LOG.verifier(), WITNESS.verifier(), QUANTUM.verifier())
VKEYS = [key.vkey() for key in KEYS]
TREE = NaiveTree(leaf_hashes(40))
NODES = TREE.perfect_nodes()


def label(key: VerifierKey) -> str:
    """Return a key's name and ID, as the judge writes them."""
    return f"{key.name}+{key.key_id.hex()}"


def any_text(source: random.Random) -> str:
    """Return the text of a checkpoint of the log."""
    size = source.randrange(1 << source.randrange(1, 62))
    root = source.randbytes(32) if size else EMPTY_ROOT
    lines = tuple(f"extension {n}" for n in range(source.choice((0, 0, 0, 1, 2))))
    return Checkpoint(ORIGIN, size, root, lines).text()


def any_note(source: random.Random, text: str) -> bytes:
    """Return a note by the log, or one that only cosigners signed, or strangers too."""
    signers = [LOG, *([STRANGER] if source.random() < 0.3 else [])]
    note = sign_note(text, signers)
    lines = [
        each.cosign(text, source.randrange(1, 2**40))
        for each, chance in ((WITNESS, 0.5), (QUANTUM, 0.1))
        if source.random() < chance
    ]
    return add_signatures(note, lines)


def _is_loose(encoded: bytes) -> bool:
    """Tell whether this is base64 to Go, and not the one spelling of its bytes."""
    bare = encoded.replace(b"\r", b"").replace(b"\n", b"")
    try:
        data = base64.b64decode(bare, validate=True)
    except (binascii.Error, ValueError):
        return False
    return base64.b64encode(data) != encoded


def has_loose_base64(case: Case, _: Answer) -> bool:
    """Tell whether they take, and we refuse, what has such base64 in it."""
    words = re.split(rb"[ \n]", shown(case))
    if case.question["op"] == "vkey":  # of which only the key is base64
        words = shown(case).split(b"+", 2)[2:]
    return case.ours is None and any(_is_loose(word) for word in words)


def shown(case: Case) -> bytes:
    """Return what the judge was shown."""
    question = case.question
    given: bytes = question.get("note") or question.get("data") or b""
    return given or question["text"].encode("utf-8", "replace")


def has_two_lines_of_a_key(case: Case, _: Answer) -> bool:
    """Tell whether we refuse a note in which two lines name one key."""
    lines = [line.split(b" ") for line in shown(case).split(b"\n")]
    keys = [(x[1], x[2][:5]) for x in lines if len(x) == 3 and x[0] == b"\xe2\x80\x94"]
    return case.ours is None and len(set(keys)) < len(keys)


LOOSE = Difference("base64-that-is-not-canonical", has_loose_base64)
