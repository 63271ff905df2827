"""Policies: whether a checkpoint has its quorum, by our reading and by formats'."""

import random
from collections.abc import Iterator

import pytest

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.errors import PolicyError
from provlog.merkle.keys import KeyType, SigningKey
from provlog.merkle.notes import add_signatures, sign_note
from provlog.merkle.trust import Trust, verify_checkpoint
from support.interop import (
    LONG,
    Answer,
    Case,
    Difference,
    Judge,
    compare,
    read_or_refuse,
)

pytestmark = pytest.mark.needs("interop")

COUNT = 5_000 if LONG else 500
LOG = SigningKey.from_seed("log.example/policies", bytes(32))
NOTE = sign_note(Checkpoint(LOG.name, 7, bytes(32)).text(), [LOG])
TEXT = Checkpoint(LOG.name, 7, bytes(32)).text()
ED25519, MLDSA = KeyType.COSIGNATURE_ED25519, KeyType.COSIGNATURE_MLDSA44
WITNESSES = [
    Cosigner(f"w{n}.example", MLDSA if n % 3 == 2 else ED25519, bytes((n + 1,)) * 32)
    for n in range(6)
]
LOG_LINE = f"log {LOG.verifier().vkey()}"


def _line(number: int) -> str:
    key = WITNESSES[number].verifier().vkey()
    return f"witness w{number} {key} http://127.0.0.1:1/{number}"


def _case(kind: str, lines: list[str], note: bytes = NOTE) -> Case:
    policy = "\n".join([LOG_LINE, *lines, ""])

    def read() -> object:
        trust = Trust.from_policy(policy)
        try:
            verify_checkpoint(note, trust)
        except PolicyError:
            return False
        return True

    question = {"op": "policy", "text": policy, "note": note}
    return Case(kind, read_or_refuse(read), question)


def _policies(source: random.Random, count: int) -> Iterator[Case]:
    """Yield policies of groups within groups, and notes that some have cosigned."""
    for _ in range(count):
        number = source.randrange(1, len(WITNESSES) + 1)
        free = [f"w{n}" for n in range(number)]
        lines: list[str] = []
        while len(free) > 1 and source.random() < 0.8:
            taken = source.sample(free, source.randrange(1, len(free) + 1))
            free = [name for name in free if name not in taken]
            rule = source.choice(("any", "all", str(source.randint(1, len(taken)))))
            name = f"g{len(lines)}"
            lines.append(f"group {name} {rule} {' '.join(taken)}")
            free.append(name)
        quorum = f"quorum {source.choice([*free, 'none'])}"
        cosigned = [each for each in WITNESSES if source.random() < 0.5]
        note = add_signatures(NOTE, [each.cosign(TEXT, 5) for each in cosigned])
        yield _case("valid", [*map(_line, range(number)), *lines, quorum], note)


# Each is refused by tlog-policy, and taken by formats.
LAX = {
    "comments-behind-lines": [_line(0), "quorum w0 # a comment"],
    "one-key-under-two-names": [
        _line(0),
        _line(0).replace("w0 ", "again ", 1),
        "quorum w0",
    ],
    "members-of-two-groups": [
        _line(0),
        "group a any w0",
        "group b any w0 a",
        "quorum b",
    ],
    "groups-of-threshold-nought": [_line(0), "group a 0 w0", "quorum a"],
    "two-quorums": [_line(0), "quorum none", "quorum w0"],
    "log-keys-of-witnesses": [
        f"witness w {LOG.verifier().vkey()} http://127.0.0.1:1",
        "quorum w",
    ],
}


def test_both_count_the_same_quorums(judge: Judge) -> None:
    cases = list(_policies(random.Random(18), COUNT))
    cases += [_case(name, lines) for name, lines in LAX.items()]
    # Written for logs, which ask witnesses, and not for readers, who do not.
    bare = _line(0).rpartition(" ")[0]
    cases.append(_case("witnesses-without-urls", [bare, "quorum w0"]))
    known = [_named(each.kind) for each in cases if each.kind != "valid"]
    met = compare(judge, cases, lambda answer: answer["quorum"], known)
    assert set(met.values()) == {1}


def _named(kind: str) -> Difference:
    def explains(case: Case, _: Answer) -> bool:
        return case.kind == kind

    return Difference(kind, explains)
