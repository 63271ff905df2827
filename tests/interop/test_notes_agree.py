"""Keys, notes, checkpoints and proof files: our verdict and other people's.

golang.org/x/mod/sumdb/note and transparency-dev/formats see the same random cases. Each
difference has a name, a reason in docs/interoperability.md, and a case that shows it.
"""

import base64
import binascii
import random
import re
from collections.abc import Iterator

import pytest

from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.cosignatures import ed25519_message
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.encoding import encode_base64
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.inclusion import build_inclusion
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.notes import (
    SignatureLine,
    add_signatures,
    format_signature,
    open_note,
    sign_note,
)
from provlog.merkle.proof_file import format_proof, verify_proof
from provlog.merkle.trust import Trust, verify_checkpoint
from support.interop import (
    LONG,
    Answer,
    Case,
    Difference,
    Judge,
    compare,
    decoded,
    read_or_refuse,
)
from support.mutations import mutated
from support.naive_tree import NaiveTree, leaf_hashes

pytestmark = pytest.mark.needs("interop")

COUNT = 40_000 if LONG else 2_500
ORIGIN = "log.example/interop"
LOG = SigningKey.from_seed(ORIGIN, bytes(32))
WITNESS = Cosigner("witness.example/one", KeyType.COSIGNATURE_ED25519, b"1" * 32)
QUANTUM = Cosigner("witness.example/two", KeyType.COSIGNATURE_MLDSA44, b"2" * 32)
STRANGER = SigningKey.from_seed("stranger.example", b"3" * 32)
KEYS = (LOG.verifier(), WITNESS.verifier(), QUANTUM.verifier())
VKEYS = [key.vkey() for key in KEYS]
TREE = NaiveTree(leaf_hashes(40))
NODES = TREE.perfect_nodes()


def _label(key: VerifierKey) -> str:
    return f"{key.name}+{key.key_id.hex()}"


def _text(source: random.Random) -> str:
    size = source.randrange(1 << source.randrange(1, 62))
    root = source.randbytes(32) if size else EMPTY_ROOT
    lines = tuple(f"extension {n}" for n in range(source.choice((0, 0, 0, 1, 2))))
    return Checkpoint(ORIGIN, size, root, lines).text()


def _note(source: random.Random, text: str) -> bytes:
    """Return a note by the log, or one that only cosigners signed, or strangers too."""
    signers = [LOG, *([STRANGER] if source.random() < 0.3 else [])]
    note = sign_note(text, signers)
    lines = [
        each.cosign(text, source.randrange(1, 2**40))
        for each, chance in ((WITNESS, 0.5), (QUANTUM, 0.1))
        if source.random() < chance
    ]
    return add_signatures(note, lines)


# What explains a difference


def _is_loose(encoded: bytes) -> bool:
    """Tell whether this is base64 to Go, and not the one spelling of its bytes."""
    bare = encoded.replace(b"\r", b"").replace(b"\n", b"")
    try:
        data = base64.b64decode(bare, validate=True)
    except (binascii.Error, ValueError):
        return False
    return base64.b64encode(data) != encoded


def _has_loose_base64(case: Case, _: Answer) -> bool:
    shown = _shown(case)
    words = re.split(rb"[ \n]", shown)
    if case.question["op"] == "vkey":  # of which only the key is base64
        words = shown.split(b"+", 2)[2:]
    return case.ours is None and any(_is_loose(word) for word in words)


def _shown(case: Case) -> bytes:
    question = case.question
    shown: bytes = question.get("note") or question.get("data") or b""
    return shown or question["text"].encode("utf-8", "replace")


def _has_two_lines_of_a_key(case: Case, _: Answer) -> bool:
    lines = [line.split(b" ") for line in _shown(case).split(b"\n")]
    keys = [(x[1], x[2][:5]) for x in lines if len(x) == 3 and x[0] == b"\xe2\x80\x94"]
    return case.ours is None and len(set(keys)) < len(keys)


def _has_a_late_time(case: Case, _: Answer) -> bool:
    return case.ours is None and case.kind == "late"


def _is_too_long(case: Case, _: Answer) -> bool:
    return case.ours is None and len(_shown(case)) > 1 << 20


def _has_a_long_name(case: Case, _: Answer) -> bool:
    found = re.search(rb"\n\xe2\x80\x94 \S{256}", _shown(case))
    return case.ours is None and found is not None


def _is_misread(case: Case, answer: Answer) -> bool:
    """Tell whether only ML-DSA-44 signed it, which covers three values and no text."""
    if case.ours is not None or answer.get("signed") != [_label(QUANTUM.verifier())]:
        return False
    return read_or_refuse(lambda: parse_checkpoint_text(answer["text"])) is None


LOOSE = Difference("base64-that-is-not-canonical", _has_loose_base64)


# Keys


def _vkeys(source: random.Random, count: int) -> Iterator[Case]:
    for _ in range(count):
        kind, vkey = mutated(source, source.choice(VKEYS).encode())
        yield _vkey_case(kind, vkey.decode("utf-8", "replace"))


def _vkey_case(kind: str, vkey: str) -> Case:
    ours = read_or_refuse(lambda: _label(VerifierKey.parse(vkey)))
    return Case(kind, ours, {"op": "vkey", "text": vkey})


def _is_unchecked_id(case: Case, answer: Answer) -> bool:
    """Tell whether it is a key whose ID formats computes, and never reads."""
    parts = case.question["text"].split("+", 2)
    return case.ours is None and parts[1] != answer["name"].rpartition("+")[2]


def test_both_read_the_same_keys(judge: Judge) -> None:
    cases = list(_vkeys(random.Random(1), COUNT))
    name, key_id, key = VKEYS[0].split("+", 2)
    cases.append(_vkey_case("upper case", f"{name}+{key_id.upper()}+{key}"))
    known = [Difference("key-ids-spelled-otherwise", _is_unchecked_id), LOOSE]
    compare(judge, cases, lambda answer: answer["name"], known)


# Notes


def _opened(note: bytes) -> object:
    opened = open_note(note, KEYS)
    signed = [_label(each.key) for each in opened.signatures]
    others = [f"{line.name}+{line.key_id.hex()}" for line in opened.others]
    return opened.text, signed, others


def _note_case(kind: str, note: bytes) -> Case:
    question = {"op": "note", "note": note, "keys": VKEYS}
    return Case(kind, read_or_refuse(lambda: _opened(note)), question)


def _notes(source: random.Random, count: int) -> Iterator[Case]:
    for _ in range(count):
        yield _note_case(*mutated(source, _note(source, _text(source))))


def _late(text: str) -> bytes:
    """Return a note with a true cosignature of the time 2^63."""
    when = 2**63
    message = ed25519_message(text, 1).replace(b"time 1\n", b"time %d\n" % when)
    private = SigningKey.from_seed("any", b"1" * 32)
    value = when.to_bytes(8, "big") + private.sign(message)
    key = WITNESS.verifier()
    return add_signatures(
        sign_note(text, [LOG]), [SignatureLine(key.name, key.key_id, value)]
    )


def _misread(text: str) -> bytes:
    """Return a note whose size has a nought before it, signed with ML-DSA-44 alone."""
    line = QUANTUM.cosign(text, 1)
    origin, size, rest = text.split("\n", 2)
    written = format_signature(*line)
    return f"{origin}\n0{size}\n{rest}\n{written}\n".encode()


def test_both_open_the_same_notes(judge: Judge) -> None:
    source = random.Random(2)
    cases = list(_notes(source, COUNT))
    text = Checkpoint(ORIGIN, 7, bytes(32)).text()
    note = sign_note(text, [LOG])
    line = format_signature("x" * 300, b"abcd", b"signature") + "\n"
    cases += [
        _note_case("late", _late(text)),
        _note_case("misread", _misread(text)),
        _note_case("long", _long_note()),
        _note_case("long name", note + line.encode()),
        _note_case("101 lines", note + _strangers(100)),
        _note_case("100 lines", note + _strangers(99)),
    ]
    known = [
        LOOSE,
        Difference("two-lines-of-one-key", _has_two_lines_of_a_key),
        Difference("times-past-2-63", _has_a_late_time),
        Difference("long-notes", _is_too_long),
        Difference("long-key-names", _has_a_long_name),
        Difference("what-ml-dsa-signs", _is_misread),
    ]
    compare(judge, cases, _as_opened, known)
    assert sum(case.ours is not None for case in cases) > COUNT // 20


def _as_opened(answer: Answer) -> object:
    return answer["text"], answer.get("signed", []), answer.get("others", [])


def _long_note() -> bytes:
    text = "x" * (1 << 20) + "\n"
    line = format_signature(LOG.name, LOG.key_id, LOG.sign(text.encode()))
    return f"{text}\n{line}\n".encode()


def _strangers(count: int) -> bytes:
    lines = [format_signature(f"s{n}", b"abcd", b"signature") for n in range(count)]
    return "".join(f"{line}\n" for line in lines).encode()


def test_both_make_the_same_note_of_one_key_and_one_text(judge: Judge) -> None:
    source = random.Random(3)
    for _ in range(100):
        text = _text(source)
        answer = judge.ask("sign", text=text, keys=[LOG.encode()])
        assert decoded(answer["data"]) == sign_note(text, [LOG])


def test_cosignatures_of_others_are_ours_to_believe(judge: Judge) -> None:
    source = random.Random(4)
    secrets = [LOG.encode(), WITNESS.encode(), QUANTUM.encode()]
    for _ in range(200 if LONG else 40):
        text = _text(source)
        answer = judge.ask("sign", text=text, keys=secrets)
        opened = open_note(decoded(answer["data"]), KEYS)
        assert opened.text == text
        assert [each.key for each in opened.signatures] == list(KEYS)
        assert not opened.others


# Checkpoints


def _checkpoint_case(kind: str, note: bytes) -> Case:
    trust = Trust((KEYS[0],), ORIGIN)

    def read() -> object:
        found = verify_checkpoint(note, trust).checkpoint
        return found.origin, found.size, found.root

    question = {"op": "checkpoint", "note": note, "keys": VKEYS[:1], "origin": ORIGIN}
    return Case(kind, read_or_refuse(read), question)


def _signed_texts(source: random.Random, count: int) -> Iterator[Case]:
    """Yield notes that the log signed, of texts that may be no checkpoint's."""
    for _ in range(count):
        kind, text = mutated(source, _text(source).encode())
        line = format_signature(LOG.name, LOG.key_id, LOG.sign(text))
        yield _checkpoint_case(kind, text + f"\n{line}\n".encode())


def _lines(case: Case) -> list[bytes]:
    return _shown(case).rpartition(b"\n\n")[0].split(b"\n")


def _has_noughts(case: Case, _: Answer) -> bool:
    return case.ours is None and re.fullmatch(rb"0[0-9]+", _lines(case)[1]) is not None


def _is_vast(case: Case, answer: Answer) -> bool:
    return case.ours is None and answer["size"] > 2**63 - 1


def _has_another_root(case: Case, answer: Answer) -> bool:
    return case.ours is None and len(decoded(answer.get("root"))) != 32


def _is_false_nothing(case: Case, answer: Answer) -> bool:
    root = decoded(answer.get("root"))
    return case.ours is None and answer["size"] == 0 and root != EMPTY_ROOT


def _has_an_empty_extension(case: Case, _: Answer) -> bool:
    return case.ours is None and b"" in _lines(case)[3:]


def test_both_read_the_same_checkpoint_in_what_the_log_signed(judge: Judge) -> None:
    cases = list(_signed_texts(random.Random(5), COUNT))
    root = encode_base64(bytes(32))
    for kind, text in {
        "vast": f"{ORIGIN}\n{2**63}\n{root}\n",
        "short root": f"{ORIGIN}\n7\nQUFB\n",
        "nothing": f"{ORIGIN}\n0\n{root}\n",
        "another origin": f"{ORIGIN}/2\n7\n{root}\n",
        "empty extension": f"{ORIGIN}\n7\n{root}\nextension 0\n\nextension 1\n",
    }.items():
        cases.append(_checkpoint_case(kind, sign_note(text, [LOG])))
    known = [
        Difference("numbers-with-noughts", _has_noughts),
        Difference("vast-trees", _is_vast),
        LOOSE,
        Difference("roots-of-another-length", _has_another_root),
        Difference("no-leaves-with-a-root", _is_false_nothing),
        Difference("empty-extension-lines", _has_an_empty_extension),
    ]
    compare(judge, cases, _as_checkpoint, known)
    assert sum(case.ours is not None for case in cases) > COUNT // 20


def _as_checkpoint(answer: Answer) -> object:
    return answer.get("origin"), answer["size"], decoded(answer.get("root"))


# Proof files


def _proof_case(kind: str, data: bytes, leaf: bytes) -> Case:
    trust = Trust((KEYS[0],), ORIGIN)

    def read() -> object:
        proof = verify_proof(data, leaf, trust)
        point = proof.signed_checkpoint.checkpoint
        return proof.index, point.size, point.root

    question = {
        "op": "proof-file",
        "data": data,
        "leaf": leaf,
        "keys": VKEYS[:1],
        "origin": ORIGIN,
    }
    return Case(kind, read_or_refuse(read), question)


def _proof_file(source: random.Random) -> tuple[str, bytes]:
    size = source.randrange(1, len(TREE.leaves) + 1)
    index = source.randrange(size)
    note = _note(source, Checkpoint(ORIGIN, size, TREE.root(size)).text())
    extra = source.choice((None, None, b"", source.randbytes(20)))
    hashes = build_inclusion(index, size, NODES)
    return format_proof(index, hashes, note, extra), TREE.leaves[index]


def _proof_files(source: random.Random, count: int) -> Iterator[Case]:
    for _ in range(count):
        proof, leaf = _proof_file(source)
        kind, data = mutated(source, proof.encode())
        yield _proof_case(kind, data, leaf)


def _has_carriage_returns(case: Case, _: Answer) -> bool:
    return case.ours is None and b"\r\n" in _shown(case)


def _has_noughts_in_index(case: Case, _: Answer) -> bool:
    found = re.search(rb"\nindex 0[0-9]+\n", _shown(case))
    return case.ours is None and found is not None


def _lacks_its_end(case: Case, _: Answer) -> bool:
    return case.ours is None and not _shown(case).endswith(b"\n")


def _has_a_long_line(case: Case, _: Answer) -> bool:
    return case.ours is not None and re.search(rb"\S{60000}", _shown(case)) is not None


def test_both_read_the_same_proof_files(judge: Judge) -> None:
    source = random.Random(12)
    cases = list(_proof_files(source, COUNT))
    note = sign_note(Checkpoint(ORIGIN, 1, TREE.root(1)).text(), [LOG])
    long = format_proof(0, [], note, bytes(60_000))
    cases += [
        _proof_case("unfinished", long[:-1].encode(), TREE.leaves[0]),
        _proof_case("long extra", long.encode(), TREE.leaves[0]),
    ]
    known = [
        Difference("carriage-returns-in-proof-files", _has_carriage_returns),
        Difference("numbers-with-noughts", _has_noughts_in_index),
        Difference("proof-files-without-their-end", _lacks_its_end),
        Difference("long-extra-data", _has_a_long_line),
        Difference("two-lines-of-one-key", _has_two_lines_of_a_key),
        LOOSE,
    ]
    compare(judge, cases, _as_proof, known)
    assert sum(case.ours is not None for case in cases) > COUNT // 20


def _as_proof(answer: Answer) -> object:
    return answer["index"], answer["size"], decoded(answer.get("root"))


def test_both_write_the_same_proof_files(judge: Judge) -> None:
    source = random.Random(13)
    for _ in range(100):
        size = source.randrange(1, len(TREE.leaves) + 1)
        index = source.randrange(size)
        note = _note(source, Checkpoint(ORIGIN, size, TREE.root(size)).text())
        hashes, extra = build_inclusion(index, size, NODES), source.randbytes(9)
        answer = judge.ask(
            "format-proof", index=index, hashes=hashes, note=note, extra=extra
        )
        assert (
            decoded(answer["data"]) == format_proof(index, hashes, note, extra).encode()
        )
