"""Keys, notes and checkpoints: our verdict and other people's.

golang.org/x/mod/sumdb/note and transparency-dev/formats see the same random cases. Each
difference has a name, a reason in docs/interoperability.md, and a case that shows it.
"""

import random
import re
from collections.abc import Iterator

import pytest

from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.cosignatures import ed25519_message
from provlog.merkle.encoding import encode_base64
from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.keys import SigningKey, VerifierKey
from provlog.merkle.notes import (
    SignatureLine,
    add_signatures,
    format_signature,
    open_note,
    sign_note,
)
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
from support.interop_notes import (
    KEYS,
    LOG,
    LOOSE,
    ORIGIN,
    QUANTUM,
    VKEYS,
    WITNESS,
    any_note,
    any_text,
    has_two_lines_of_a_key,
    label,
    shown,
)
from support.mutations import mutated

pytestmark = pytest.mark.needs("interop")

COUNT = 40_000 if LONG else 2_500


# What explains a difference


def _has_a_late_time(case: Case, _: Answer) -> bool:
    return case.ours is None and case.kind == "late"


def _is_too_long(case: Case, _: Answer) -> bool:
    return case.ours is None and len(shown(case)) > 1 << 20


def _has_a_long_name(case: Case, _: Answer) -> bool:
    found = re.search(rb"\n\xe2\x80\x94 \S{256}", shown(case))
    return case.ours is None and found is not None


def _is_misread(case: Case, answer: Answer) -> bool:
    """Tell whether only ML-DSA-44 signed it, which covers three values and no text."""
    if case.ours is not None or answer.get("signed") != [label(QUANTUM.verifier())]:
        return False
    return read_or_refuse(lambda: parse_checkpoint_text(answer["text"])) is None


# Keys


def _vkeys(source: random.Random, count: int) -> Iterator[Case]:
    for _ in range(count):
        kind, vkey = mutated(source, source.choice(VKEYS).encode())
        yield _vkey_case(kind, vkey.decode("utf-8", "replace"))


def _vkey_case(kind: str, vkey: str) -> Case:
    ours = read_or_refuse(lambda: label(VerifierKey.parse(vkey)))
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
    signed = [label(each.key) for each in opened.signatures]
    others = [f"{line.name}+{line.key_id.hex()}" for line in opened.others]
    return opened.text, signed, others


def _note_case(kind: str, note: bytes) -> Case:
    question = {"op": "note", "note": note, "keys": VKEYS}
    return Case(kind, read_or_refuse(lambda: _opened(note)), question)


def _notes(source: random.Random, count: int) -> Iterator[Case]:
    for _ in range(count):
        yield _note_case(*mutated(source, any_note(source, any_text(source))))


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
        Difference("two-lines-of-one-key", has_two_lines_of_a_key),
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
        text = any_text(source)
        answer = judge.ask("sign", text=text, keys=[LOG.encode()])
        assert decoded(answer["data"]) == sign_note(text, [LOG])


def test_cosignatures_of_others_are_ours_to_believe(judge: Judge) -> None:
    source = random.Random(4)
    secrets = [LOG.encode(), WITNESS.encode(), QUANTUM.encode()]
    for _ in range(200 if LONG else 40):
        text = any_text(source)
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
        kind, text = mutated(source, any_text(source).encode())
        line = format_signature(LOG.name, LOG.key_id, LOG.sign(text))
        yield _checkpoint_case(kind, text + f"\n{line}\n".encode())


def _lines(case: Case) -> list[bytes]:
    return shown(case).rpartition(b"\n\n")[0].split(b"\n")


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
