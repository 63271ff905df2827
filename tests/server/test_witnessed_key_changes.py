"""Keys change while witnesses cosign: the log's own, and those of a witness."""

from pathlib import Path

import pytest

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.keys import KeyType
from provlog.merkle.notes import sign_note
from provlog.merkle.policy import parse_policy
from provlog.merkle.trust import SignedCheckpoint, Trust
from provlog.server.key_changes import retire_keys
from provlog.server.keyring import Keyring
from provlog.server.witnessing import rounds, witness
from support.asking import (
    asking,
    configure,
    keys_of,
    metric,
    served_checkpoint,
    until,
)
from support.events import event_json
from support.fake_witnesses import FakeWitness, policy_of, serving
from support.instances import Served, make_instance
from support.rotations import rotate


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "INTERVAL", 0.05)
    monkeypatch.setattr(witness, "FIRST_PAUSE", 0.05)


async def grown(served: Served, name: str) -> None:
    """Append an event, and wait until it is cosigned."""
    assert (await served.post(event_json(id=name))).status == 201
    await cosigned(served)


async def cosigned(served: Served) -> None:
    published = served.log.published
    assert published is not None

    def reached() -> bool:
        found = published.witnessed
        return found is not None and found.head.size == served.log.released.size

    await until(reached)


async def cosigners_of(served: Served, trust: Trust) -> set[str]:
    signed: SignedCheckpoint = await served_checkpoint(served, trust)
    return {each.witness for each in signed.cosignatures}


async def test_the_log_s_key_changes_while_witnesses_learn_of_it_one_by_one(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    slow, quick = FakeWitness("w1", keys_of(made)), FakeWitness("w2", keys_of(made))
    async with serving(slow, quick):
        policy = policy_of(slow, quick)
        configure(made, policy)
        async with asking(made) as served:
            await cosigned(served)
            second = await rotate(served.service, served.log)
            quick.log_keys = (*keys_of(made), second)
            # While both keys sign, whoever knows either of them goes on.
            await grown(served, "both")
            await until(lambda: slow.size == quick.size == served.log.released.size)
            await retire_keys(served.log, destroy=False)
            await grown(served, "alone")
            trust = Trust((second,), made.record.origin, parse_policy(policy))
            assert await cosigners_of(served, trust) == {"w2"}
            labels = {"log": "main", "witness": "w1", "outcome": "refused"}
            await until(
                lambda: metric(served, "provlog_witness_answers_total", **labels)
            )
            assert slow.asked[403]
        asked = len(quick.sizes)
        async with asking(made) as served:
            # Before it signs, the log asks with a key that the witness knows.
            assert quick.sizes[asked:] == [(0, 0)]
            slow.log_keys = quick.log_keys
            await grown(served, "after")
            await until(lambda: slow.size == served.log.released.size)
            assert served.log.halted is None


async def test_a_witness_s_key_changes_by_two_lines_of_the_policy(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one = FakeWitness("w1", keys_of(made))
    name, kind = "witness.example/w1", KeyType.COSIGNATURE_ED25519
    new = Cosigner(name, kind, b"another seed".ljust(32, b"."))
    async with serving(one):
        lines = [
            f"witness old {one.vkeys[0]} {one.url}",
            f"witness new {new.verifier().vkey()} {one.url}",
            "group w1 any old new",
            "quorum w1",
            "",
        ]
        policy = "\n".join(lines).encode()
        trust = Trust(keys_of(made), made.record.origin, parse_policy(policy))
        configure(made, policy)
        async with asking(made) as served:
            await cosigned(served)
            assert await cosigners_of(served, trust) == {"old"}
            one.cosigners.append(new)
            await grown(served, "both")
            assert await cosigners_of(served, trust) == {"old", "new"}
            del one.cosigners[0]
            await grown(served, "new")
            assert await cosigners_of(served, trust) == {"new"}
    # One question a round all the while.
    assert [size for _, size in one.sizes] == [0, 1, 2, 3]


async def test_who_stole_a_replaced_key_and_runs_a_witness_stops_no_log(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    stolen = Keyring(made.instance.keys).load("main").signing
    liar, other = FakeWitness("w1", keys_of(made)), FakeWitness("w2", keys_of(made))
    async with serving(liar, other):
        configure(made, policy_of(liar, other))
        async with asking(made) as served:
            await grown(served, "before")
            second = await rotate(served.service, served.log)
            liar.log_keys = other.log_keys = (*keys_of(made), second)
            await grown(served, "after")
            await retire_keys(served.log, destroy=True)
        point = Checkpoint(made.record.origin, 2, bytes(32))
        forged = sign_note(point.text(), [stolen])
        liar.take(forged, point.text(), point)
        # Neither at its start nor while it runs.
        async with asking(made) as served:
            await grown(served, "again")
            assert served.log.halted is None
