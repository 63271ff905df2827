"""A log asks its witnesses, and publishes what they cosigned."""

import asyncio
from pathlib import Path

import pytest
from aiohttp.web import Response as Answer

from provlog.merkle.checkpoints import parse_checkpoint_text
from provlog.merkle.keys import KeyType
from provlog.merkle.notes import SignatureLine, parse_note_unverified
from provlog.merkle.policy import parse_policy
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.merkle.witness_messages import AddCheckpoint
from provlog.server.guard import ReleasedHead
from provlog.server.witnessing import rounds, witness
from provlog.server.witnessing.answers import Cosigned
from provlog.server.witnessing.candidate import Candidate
from support.asking import (
    asking,
    configure,
    keys_of,
    metric,
    served_checkpoint,
    trust_by,
    until,
)
from support.events import event_json
from support.fake_witnesses import (
    LIES,
    FakeWitness,
    absurd_conflict,
    policy_of,
    redirecting,
    serving,
    silent,
    unknowing,
)
from support.instances import Made, Served, make_instance


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rounds follow each other, and pauses end, sooner than in production."""
    monkeypatch.setattr(rounds, "INTERVAL", 0.05)
    monkeypatch.setattr(witness, "FIRST_PAUSE", 0.05)


def three(made: Made) -> list[FakeWitness]:
    return [FakeWitness(name, keys_of(made)) for name in ("w1", "w2", "w3")]


async def submit(served: Served, name: str) -> int:
    reply = await served.post(event_json(id=name))
    assert reply.status == 201
    return int(reply.json()["index"])


def witnessed_size(served: Served) -> int:
    assert served.log.published is not None
    published = served.log.published.witnessed
    return 0 if published is None else published.head.size


async def reach(served: Served, size: int) -> None:
    await until(lambda: witnessed_size(served) >= size)


async def test_a_checkpoint_is_served_once_its_quorum_cosigned_it(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    witnesses = three(made)
    async with serving(*witnesses):
        policy = policy_of(*witnesses, quorum=2)
        configure(made, policy)
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 1)
            await submit(served, "one")
            await until(lambda: witnessed_size(served) == 2)
            signed = await served_checkpoint(served, trust_by(made, policy))
            assert signed.checkpoint.size == 2
            assert len(signed.cosignatures) >= 2
            # What is served is on disk, so that whoever serves next goes on from it.
            kept = (made.instance.witnessed / "main.checkpoint").read_bytes()
            assert verify_checkpoint(kept, trust_by(made, policy)).checkpoint.size == 2


async def test_cosignatures_that_come_later_join_the_same_head(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    witnesses = three(made)
    gate = asyncio.Event()

    async def late(self: FakeWitness, asked: object, text: str) -> object:
        await gate.wait()
        self.lie = None
        return self.honest(asked, text, parse_checkpoint_text(text))  # type: ignore[arg-type]

    async with serving(*witnesses):
        policy = policy_of(*witnesses, quorum=2)
        configure(made, policy)
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 1)
            witnesses[2].lie = late  # type: ignore[assignment]
            await submit(served, "one")
            await until(lambda: witnessed_size(served) == 2)
            trust = trust_by(made, policy)
            assert len((await served_checkpoint(served, trust)).cosignatures) == 2
            gate.set()
            published = served.log.published
            assert published is not None
            await until(
                lambda: (
                    published.witnessed and len(published.witnessed.cosignatures) == 3
                )
            )
            signed = await served_checkpoint(served, trust)
            assert (signed.checkpoint.size, len(signed.cosignatures)) == (2, 3)


async def test_a_witness_that_knows_an_older_size_is_asked_from_there(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one = FakeWitness("w1", keys_of(made))
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 1)
            assert served.log.published is not None
            known = one.size, one.root, one.note
            await served.fill(40)
            await until(lambda: witnessed_size(served) == 40)
            one.size, one.root, one.note = known
            await submit(served, "after")
            await until(lambda: witnessed_size(served) == 41)
    assert one.sizes[-2:] == [(40, 41), (1, 41)]


async def test_several_keys_of_one_witness_are_one_request(tmp_path: Path) -> None:
    """As while its keys rotate, or where it signs with ML-DSA-44 as well."""
    made = await make_instance(tmp_path)
    kinds = (KeyType.COSIGNATURE_ED25519, KeyType.COSIGNATURE_MLDSA44)
    one = FakeWitness("w1", keys_of(made), kinds)
    async with serving(one):
        policy = policy_of(one)
        configure(made, policy)
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 1)
            signed = await served_checkpoint(served, trust_by(made, policy))
            found = {each.key.key_type for each in signed.cosignatures}
    assert found == set(kinds)
    assert one.asked[200] == 2  # which size it knows, and the checkpoint


async def test_an_unchanged_head_is_cosigned_anew_only_when_it_gets_old(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one, dead = FakeWitness("w1", keys_of(made)), FakeWitness("w2", keys_of(made))
    dead.lie = unknowing
    async with serving(one, dead):
        configure(made, policy_of(one, dead), refresh="2s")
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 1)
            published = served.log.published
            assert published is not None
            assert published.witnessed is not None
            first = published.witnessed.cosigned
            assert first is not None
            written = (made.instance.witnessed / "main.checkpoint").stat().st_mtime_ns
            writes = [written]

            def is_newer() -> bool:
                stamp = published.path.stat().st_mtime_ns
                if stamp != writes[-1]:
                    writes.append(stamp)
                found = published.witnessed
                return found is not None and (found.cosigned or 0) > first

            await until(is_newer)
            # The file is written when there is something new, and not each second.
            assert writes == [written, published.path.stat().st_mtime_ns]
    assert one.sizes == [(0, 0), (0, 1), (1, 1)]


def test_a_head_is_as_old_as_its_quorum_and_not_as_its_newest_cosignature() -> None:
    """Whoever follows the log counts so: one that came late makes nothing fresh."""
    trio = [FakeWitness(name, ()) for name in ("w1", "w2", "w3")]
    for each in trio:
        each.url = "http://127.0.0.1:9"
    policy = parse_policy(policy_of(*trio, quorum=2))
    head = ReleasedHead(1, bytes(32))
    candidate = Candidate(head, "", ())
    for each, at in zip(trio, (100, 105, 3_000), strict=True):
        assert candidate.cosigned_since(policy) == (None if at < 3_000 else 100)
        key = each.cosigners[0].verifier()
        line = SignatureLine(key.name, key.key_id, b"")
        candidate.add([Cosigned(key, line, at)])
    assert candidate.cosigned_since(policy) == 105


async def test_after_a_restart_nobody_is_asked_for_what_is_there(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one = FakeWitness("w1", keys_of(made))
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 1)
        async with asking(made, follow=False) as served:
            signed = await served_checkpoint(served, trust_by(made, policy_of(one)))
            assert signed.checkpoint.size == 1
        async with asking(made) as served:
            await submit(served, "one")
            await until(lambda: witnessed_size(served) == 2)
    # Each start asks for the size that is known; beyond that, each head once.
    assert one.sizes == [(0, 0), (0, 1), (0, 0), (0, 0), (1, 2)]


async def test_what_was_published_may_be_lost(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    one = FakeWitness("w1", keys_of(made))
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made) as served:
            await submit(served, "one")
            await until(lambda: witnessed_size(served) == 2)
        for path in made.instance.witnessed.iterdir():
            path.unlink()
        made.instance.witnessed.rmdir()
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 2)


@pytest.mark.parametrize("name", sorted(LIES))
async def test_a_witness_that_lies_is_named_and_the_others_suffice(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = await make_instance(tmp_path)
    witnesses = three(made)
    witnesses[1].lie = LIES[name]
    async with serving(*witnesses):
        policy = policy_of(*witnesses, quorum=2)
        configure(made, policy)
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 1)
            await submit(served, "one")
            await until(lambda: witnessed_size(served) == 2)
            signed = await served_checkpoint(served, trust_by(made, policy))
            assert {each.witness for each in signed.cosignatures} == {"w1", "w3"}
            wrong = {"log": "main", "witness": "w2", "outcome": "wrong"}
            await until(
                lambda: metric(served, "provlog_witness_answers_total", **wrong)
            )
            assert served.log.halted is None
    said = [each.message for each in caplog.records if "'w2'" in each.message]
    # Once, and not at each of its answers.
    assert len([each for each in said if ": wrong: " in each]) == 1
    assert not [each for each in caplog.records if "'w1'" in each.message]


@pytest.mark.parametrize(
    ("lie", "outcome", "said"),
    [
        (unknowing, "refused", "does not know the log"),
        (redirecting, "refused", "redirect"),
        (absurd_conflict, "ahead", "larger"),
        (silent, "timeout", "no answer in time"),
    ],
)
async def test_a_witness_that_does_not_cosign_holds_nobody_up(
    tmp_path: Path,
    lie: object,
    outcome: str,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = await make_instance(tmp_path)
    witnesses = three(made)
    async with serving(*witnesses):
        configure(made, policy_of(*witnesses, quorum=2), timeout="1s")
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 1)
            witnesses[0].lie = lie  # type: ignore[assignment]
            for number in range(3):
                await submit(served, f"event-{number}")
                await reach(served, number + 2)
            labels = {"log": "main", "witness": "w1", "outcome": outcome}
            await until(
                lambda: metric(served, "provlog_witness_answers_total", **labels)
            )
            assert served.log.halted is None
    assert any(said in each.message for each in caplog.records)


async def test_a_witness_with_a_limit_is_asked_when_it_says(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    one = FakeWitness("w1", keys_of(made))
    limits = 0

    async def limited(self: FakeWitness, asked: AddCheckpoint, text: str) -> Answer:
        nonlocal limits
        limits += 1
        if limits % 2:
            return Answer(status=429, headers={"Retry-After": "1"})
        return self.honest(asked, text, parse_checkpoint_text(text))

    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made) as served:
            await reach(served, 1)
            one.lie = limited
            await submit(served, "one")
            await reach(served, 2)
            labels = {"log": "main", "witness": "w1", "outcome": "limited"}
            assert metric(served, "provlog_witness_answers_total", **labels) == 1
            asked = one.asked[429]
    # It said a second: no question was put to it before.
    assert asked == 1


async def test_a_dead_witness_is_asked_less_and_less(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    witnesses = three(made)
    async with serving(*witnesses):
        policy = policy_of(*witnesses, quorum=2)
        policy = policy.replace(witnesses[2].url.encode(), b"http://127.0.0.1:9")
        configure(made, policy)
        async with asking(made) as served:
            for number in range(12):
                await submit(served, f"event-{number}")
                await reach(served, number + 2)
            labels = {"log": "main", "witness": "w3", "outcome": "unreachable"}
            attempts = metric(served, "provlog_witness_answers_total", **labels)
    # Pauses of 0.05 s, 0.1 s, 0.2 s …: 12 rounds of 0.05 s have room for five at most.
    assert 1 <= attempts <= 8
    assert witnesses[0].asked[200] >= 12


async def test_the_note_holds_the_log_s_line_first_and_no_false_ones(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    witnesses = three(made)
    witnesses[0].lie = LIES["wrong signature"]
    async with serving(*witnesses):
        configure(made, policy_of(*witnesses, quorum=2))
        async with asking(made) as served:
            await until(lambda: witnessed_size(served) == 1)
            note = (await served.get("checkpoint")).body
    first, *rest = parse_note_unverified(note).signatures
    assert first.name == made.record.origin
    assert {each.name for each in rest} == {"witness.example/w2", "witness.example/w3"}
    # Who knows the log's key alone believes it as before.
    verify_checkpoint(note, Trust.from_log_key(made.record.log_key))
