"""Whatever an honest log does with its keys, and whoever looks when, is followed."""

import asyncio
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client import VolatileMemory
from provlog.client.answers import ClaimedInclusion
from provlog.client.heads import Heads
from provlog.client.log_keys import LogKeys
from provlog.merkle.consistency import build_consistency
from provlog.merkle.errors import InconsistencyError, MerkleError, ReplacedKeyError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint
from support.lying_log import event
from support.rotating_logs import RotatingLog

PEOPLE = 3
STEPS = st.lists(
    st.sampled_from(["grow", "rotate", "retire"])
    | st.tuples(st.sampled_from(["look", "restart"]), st.integers(0, PEOPLE - 1)),
    min_size=1,
    max_size=12,
)


class Person:
    """A client of the log: what it holds in memory, and what it keeps."""

    def __init__(self, log: RotatingLog, memory: VolatileMemory) -> None:
        self.log, self.memory = log, memory
        self.start()

    def start(self) -> None:
        """Begin anew, with what is kept."""
        self.keys = LogKeys(self.log.trust, self.fetch)
        self.heads = Heads(self.log.trust, self.memory, self.prove)
        self.keys.remember_in(self.memory)
        self.keys.listen(self.heads.follow)

    async def fetch(self) -> bytes:
        return self.log.announcements_document()

    async def prove(self, older: int, newer: int) -> tuple[bytes, ...]:
        return tuple(build_consistency(older, newer, self.log.tree(newer).nodes))

    async def take(self, note: bytes) -> SignedCheckpoint:
        """Return a checkpoint that is believed, and of one history."""
        await self.keys.recall()
        await self.heads.recall()
        signed = await self.keys.believe(partial(verify_checkpoint, note))
        await self.heads.accept(signed)
        await self.heads.save()
        return signed


class Life:
    """A log, and three people who know its first key; two share what they remember."""

    def __init__(self) -> None:
        self.log = RotatingLog()
        shared = VolatileMemory()
        memories = (shared, shared, VolatileMemory())
        self.people = [Person(self.log, memory) for memory in memories]
        self.number = 0

    def change(self, step: str) -> None:
        """Let the log do something."""
        self.number += 1
        if step == "rotate":
            self.log.rotate(self.number)
        elif step == "grow":
            self.log.append(event(id=f"e{self.number}"))
        else:
            size = len(self.log.leaves)
            self.log.retired |= {key.key_id for key in self.log.signers(size)[1:]}

    async def live(self, steps: list[str | tuple[str, int]]) -> None:
        """Go through the steps; whoever looks has to come to believe the newest key."""
        for step in steps:
            if isinstance(step, str):
                self.change(step)
                continue
            person = self.people[step[1]]
            if step[0] == "restart":
                person.start()
                continue
            signed = await person.take(self.log.note())
            assert signed.log_key == self.log.newest().verifier()


async def test_whoever_listens_later_is_told_what_was_followed_before() -> None:
    life = Life()
    life.change("rotate")
    person = life.people[0]
    await person.take(life.log.note())
    told: list[Trust] = []

    async def tell(trust: Trust, _: object) -> None:
        told.append(trust)

    person.keys.listen(tell)
    for _ in range(2):
        await person.keys.recall()
    assert told == [person.keys.trust]
    assert life.log.newest().verifier() in told[0].log_keys


async def test_a_key_that_is_met_while_a_fork_is_looked_into_holds_nothing_up() -> None:
    life = Life()
    life.log.append(event(id="true"))
    person, fork = life.people[0], RotatingLog()
    for place in range(3):
        fork.append(event(id=f"false{place}"))
    await person.take(life.log.note())
    larger = fork.note()
    fork.rotate(1)
    life.log.document = fork.announcements_document()

    async def prove(older: int, newer: int) -> tuple[bytes, ...]:
        return tuple(build_consistency(older, newer, fork.tree(newer).nodes))

    async def prove_leaf(index: int, size: int) -> ClaimedInclusion:
        # As a reader does with an answer that has a checkpoint beside the proof.
        await person.keys.believe(partial(verify_checkpoint, fork.note()))
        leaf, hashes = leaf_hash(fork.leaves[index]), tuple(fork.inclusion(index, size))
        return ClaimedInclusion(index, size, leaf, hashes, fork.root(size), None)

    person.heads = Heads(life.log.trust, person.memory, prove, prove_leaf)
    person.keys.listen(person.heads.follow)
    with pytest.raises(InconsistencyError):
        await asyncio.wait_for(person.take(larger), 30)
    assert person.keys.trust.replaced
    assert person.memory.evidence[0].leaf is not None


@settings(max_examples=50, deadline=None)
@given(steps=STEPS)
def test_everybody_follows_whenever_they_look(
    steps: list[str | tuple[str, int]],
) -> None:
    asyncio.run(Life().live([*steps, *(("look", place) for place in range(PEOPLE))]))


@settings(max_examples=50, deadline=None)
@given(steps=STEPS, data=st.data())
def test_no_replaced_key_and_no_other_history_is_believed_by_who_followed(
    steps: list[str | tuple[str, int]], data: st.DataObject
) -> None:
    life = Life()
    life.change("rotate")
    asyncio.run(life.live([*steps, ("look", 0)]))
    log, person = life.log, life.people[0]
    old = data.draw(st.sampled_from(log.signers(len(log.leaves))[1:]))
    asyncio.run(refused(person, log.note(keys=[old]), ReplacedKeyError))
    fork = log.fork()
    fork.leaves[0] = fork.leaves[0].replace(b'"lateness_ms":0', b'"lateness_ms":1')
    forged = fork.note(keys=[log.newest()])
    asyncio.run(refused(person, forged, InconsistencyError))


async def refused(person: Person, note: bytes, error: type[MerkleError]) -> None:
    """Make sure that a note is refused so, also after another start."""
    for _ in range(2):
        try:
            await person.take(note)
        except error:
            person.start()
            continue
        raise AssertionError("it was believed")
