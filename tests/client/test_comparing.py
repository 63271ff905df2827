"""Heads from many places: a split is found if there is one, and only then."""

import json
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client import comparing
from provlog.client.comparing import Board, Split
from provlog.client.comparing_proofs import AT_ONCE, MAX_FAILURES, Connector
from provlog.client.comparing_run import Comparison
from provlog.client.cosigned import GossipedCheckpoint, verify_gossip
from provlog.client.errors import RefusedError, UnavailableError
from provlog.client.evidence import Conviction, verify_evidence
from provlog.client.memory import LeafPath
from provlog.merkle.errors import ContentError, ProofError
from provlog.merkle.trust import Trust
from support.cosigners import Cosigner
from support.forks import KEY, ORIGIN, TRUST, Fork, conflict

Shown = tuple[Fork, int, tuple[int, ...]]


def convicts(split: Split, trust: Trust = TRUST) -> bool:
    """Tell whether what is kept of a split convicts the log in anybody's hands."""
    data = json.dumps(split.evidence(ORIGIN).to_json()).encode()
    return verify_evidence(data, trust).origin == ORIGIN


async def held(shown: Sequence[Shown], provers: Sequence[Fork]) -> Comparison:
    """Return what comes of some heads, and of provers that show all they have."""
    board = Board()
    for number, (fork, size, indexes) in enumerate(shown):
        board.add(f"place {number}", fork.sighting(size, *indexes))
    serving = [
        (each, board.add(each.place, each.sighting(each.size))) for each in provers
    ]
    board.settle()
    connector = Connector(board)
    await connector.connect(serving)
    return Comparison(board, [], connector.unproved)


FORKS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 8)), min_size=1, max_size=4
).map(
    lambda shapes: [
        Fork.of(f"fork {number}", shared, shared + own)
        for number, (shared, own) in enumerate(shapes)
    ]
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Shown], list[Fork]]:
    forks = draw(FORKS)
    shown: list[Shown] = []
    for _ in range(draw(st.integers(1, 6))):
        fork = draw(st.sampled_from(forks))
        size = draw(st.integers(0, fork.size))
        indexes = st.sets(st.integers(0, size - 1), max_size=3) if size else st.just(())
        shown.append((fork, size, tuple(draw(indexes))))
    provers = draw(st.lists(st.sampled_from(forks), max_size=3, unique=True))
    return shown, provers


@settings(max_examples=60, deadline=None)
@given(worlds())
async def test_a_split_is_found_if_and_only_if_there_is_one(
    world: tuple[list[Shown], list[Fork]],
) -> None:
    shown, provers = world
    found = await held(shown, provers)
    heads = [(fork, size) for fork, size, _ in shown]
    heads += [(each, each.size) for each in provers]
    is_split = any(conflict(*pair) for pair in combinations(heads, 2))
    if found.board.splits:
        assert is_split
        assert all(convicts(each) for each in found.board.splits)
    largest = max(size for _, size in heads)
    if any(each.size == largest for each in provers):
        # Whoever has the largest tree can prove everything: nothing is left open.
        assert bool(found.board.splits) == is_split
        assert not found.unconnected
    elif is_split:
        assert found.board.splits or found.unconnected


@settings(max_examples=40, deadline=None)
@given(worlds(), st.data())
async def test_whatever_is_answered_an_honest_log_is_not_convicted(
    world: tuple[list[Shown], list[Fork]], data: st.DataObject
) -> None:
    honest = Fork.of("honest", 20, 20)
    shown = [(honest, size, indexes) for _, size, indexes in world[0]]
    others = [*world[1], Fork.of("other", 3, 25)]

    class Liar(Fork):
        async def consistency(
            self, older: int, newer: int, *, direct: bool = False
        ) -> tuple[bytes, ...]:
            fork = data.draw(st.sampled_from([honest, *others]))
            sizes = sorted((data.draw(st.integers(1, fork.size)), fork.size))
            return await fork.consistency(*sizes)

        async def path(self, index: int, size: int) -> LeafPath:
            fork = data.draw(st.sampled_from([honest, *others]))
            return fork.leaf_path(min(index, fork.size - 1), fork.size)

    liar = Liar(honest.leaves, "liar")
    assert not (await held(shown, [liar])).board.splits


async def test_receipts_alone_prove_a_split_of_trees_of_any_sizes() -> None:
    # Two clients were given two entries at index 4, in trees of other sizes.
    first, second = Fork.of("a", 4, 9), Fork.of("b", 4, 9)
    found = await held([(first, 6, (4,)), (second, 9, (4,))], [])
    [split] = found.board.splits
    assert convicts(split)
    judged = verify_evidence(
        json.dumps(split.evidence(ORIGIN).to_json()).encode(), TRUST
    )
    assert (judged.at, judged.root) == (5, first.root(5))
    assert judged.begins == second.root(5)
    assert "do not begin with the same 5" in judged.sentence()
    assert found.verdict == "split"


async def test_receipts_connect_heads_without_asking_anybody() -> None:
    fork = Fork.of("a", 0, 40)
    # Each receipt is of the entry behind the head of the one before.
    shown: list[Shown] = [(fork, size, (size - 1,)) for size in range(2, 41)]
    assert len((await held(shown, [])).board.tops()) == 1
    await held(shown, [fork])
    assert fork.asked == 0


async def test_one_proof_is_asked_for_each_size_at_most() -> None:
    fork = Fork.of("a", 0, 60)
    shown: list[Shown] = [(fork, size, (0,)) for size in range(2, 60, 2)]
    found = await held([*shown, *shown], [fork])
    assert not found.unconnected
    assert fork.asked == len(range(2, 60, 2))


async def test_questions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provlog.client.comparing_proofs.MAX_ASKED", 5)
    fork = Fork.of("a", 0, 60)
    found = await held([(fork, size, ()) for size in range(2, 60, 2)], [fork])
    assert fork.asked == 5
    assert found.unconnected
    assert "more than 5 proofs" in found.unproved[0].reason


async def test_files_are_bounded_and_all_is_told_apart() -> None:
    base = Fork.of("base", 30, 30)
    shown: list[Shown] = [(base, 30, ())]
    shown += [(Fork.of(f"f{n}", 2, 25), 3 + n, ()) for n in range(20)]
    found = await held(shown, [base])
    assert len(found.board.splits) == comparing.MAX_SPLITS
    assert not found.unconnected
    assert found.verdict == "split"


class _Without(Fork):
    """Answers every question with one error."""

    error: Exception = UnavailableError("gone")

    async def consistency(
        self, older: int, newer: int, *, direct: bool = False
    ) -> tuple[bytes, ...]:
        raise self.error

    async def path(self, index: int, size: int) -> LeafPath:
        raise self.error


@pytest.mark.parametrize(
    ("error", "is_log", "owed"),
    [
        (ProofError("no such size"), True, True),
        (ProofError("no such size"), False, False),
        (UnavailableError("gone"), True, False),
        (RefusedError("no", status=403), True, False),
    ],
)
async def test_who_owes_a_proof_is_told_from_who_does_not(
    error: Exception, is_log: bool, owed: bool
) -> None:
    prover = _Without(Fork.of("a", 9, 9).leaves)
    prover.error, prover.is_log = error, is_log
    found = await held([(Fork.of("a", 9, 9), 4, ())], [prover])
    [unproved] = found.unproved
    assert unproved.owed is owed
    assert found.verdict == ("not proved" if owed else "not compared")
    # What is kept then shows two signed checkpoints, and says that it shows no more.
    kept = Split(unproved.older, unproved.newer).evidence(ORIGIN)
    with pytest.raises(ContentError, match="nothing in the file shows"):
        verify_evidence(json.dumps(kept.to_json()).encode(), TRUST)


async def test_a_log_that_serves_less_than_it_signed_is_asked_to_prove_it() -> None:
    whole = Fork.of("a", 9, 9)

    class Behind(Fork):
        """Serves an old head, and proves what it signed later all the same."""

        @property
        def size(self) -> int:
            return 6

        def _ask(self, size: int) -> None:
            self.asked += 1

    stale = Behind(whole.leaves, "stale")
    shown: list[Shown] = [(whole, 9, ()), (whole, 7, ()), (whole, 3, ())]
    found = await held(shown, [stale])
    assert not found.unconnected
    assert not found.board.splits
    rolled_back = await held(shown, [Fork(whole.leaves[:6], "rolled back")])
    assert rolled_back.unconnected


W1, W2 = Cosigner.ed25519("w1.example", 1), Cosigner.mldsa("w2.example", 2)
POLICY = Trust.from_policy(
    f"log {KEY.verifier().vkey()}\nwitness w1 {W1.key.vkey()}\n"
    f"witness w2 {W2.key.vkey()}\ngroup g all w1 w2\nquorum g\n"
)


async def test_witnesses_of_both_sides_are_found_behind_heads_of_nobody() -> None:
    first, second = Fork.of("a", 4, 20), Fork.of("b", 4, 30)
    cosigned = {
        "w1 on a": W1.cosign(first.note(8), 1_800_000_000),
        "w1 on b": W1.cosign(second.note(11), 1_800_000_001),
        "w2 before": W2.cosign(first.note(3)),
        "w2 on b": W2.cosign(second.note(12)),
    }
    board = Board()
    for place, note in cosigned.items():
        gossiped = comparing.Sighting(_gossip(note))
        board.add(place, gossiped)
    provers = [first, second]
    serving = [
        (each, board.add(each.place, each.sighting(each.size))) for each in provers
    ]
    board.settle()
    connector = Connector(board)
    await connector.connect(serving)
    await connector.convict_witnesses(provers)
    verdicts = [
        {each.witness for each in _judge(split, POLICY).witnesses}
        for split in board.splits
    ]
    # w2 cosigned the common beginning and one side: that is no lie.
    assert {"w1"} in verdicts
    assert all(each <= {"w1"} for each in verdicts)


def _gossip(note: bytes) -> GossipedCheckpoint:
    return verify_gossip(note, POLICY)


def _judge(split: Split, trust: Trust) -> Conviction:
    data = json.dumps(split.evidence(ORIGIN).to_json()).encode()
    return verify_evidence(data, trust)


async def test_a_place_that_proves_nothing_is_not_asked_for_ever() -> None:
    asked = 0

    class Counting(_Without):
        async def consistency(
            self, older: int, newer: int, *, direct: bool = False
        ) -> tuple[bytes, ...]:
            nonlocal asked
            asked += 1
            raise ProofError("no such path")

    counting = Counting(Fork.of("a", 60, 60).leaves, "witness")
    counting.is_log = False
    shown = [(Fork.of("a", 60, 60), size, ()) for size in range(2, 59)]
    found = await held(shown, [counting])
    assert found.verdict == "not compared"
    assert asked <= 2 * AT_ONCE + MAX_FAILURES


async def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provlog.client.comparing_proofs.MAX_SECONDS", -1.0)
    fork = Fork.of("a", 0, 9)
    found = await held([(fork, 4, ())], [fork])
    assert (fork.asked, found.verdict) == (0, "not compared")
    assert "seconds were over" in found.unproved[0].reason
