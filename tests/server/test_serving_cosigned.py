"""What a log with witnesses serves: cosigned checkpoints, proofs that lead to them."""

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from provlog.merkle.errors import PolicyError
from provlog.merkle.proof_file import parse_proof_unverified
from provlog.merkle.receipts import verify_receipt
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server.errors import UnavailableError
from provlog.server.moving.mirror import update_mirror
from provlog.server.witnessing import folder, rounds, witness
from provlog.server.witnessing.published import Published
from support.asking import (
    asking,
    configure,
    keys_of,
    served_checkpoint,
    trust_by,
    until,
)
from support.events import event_json
from support.exports import ignore
from support.fake_witnesses import FakeWitness, policy_of, serving, unknowing
from support.instances import Made, Served, make_instance

PROOF = "text/x-tlog-proof"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "INTERVAL", 0.05)
    monkeypatch.setattr(witness, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(witness, "LONGEST_PAUSE", 0.2)


def one_of(made: Made) -> FakeWitness:
    return FakeWitness("w1", keys_of(made))


def size_is(served: Served, size: int) -> Callable[[], bool]:
    def holds() -> bool:
        published = served.log.published
        found = None if published is None else published.published()
        return found is not None and found.head.size == size

    return holds


def _reached(published: Published | None, size: int) -> bool:
    return published is not None and published.head.size == size


async def test_failing_closed_nothing_is_shown_before_the_quorum(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one = one_of(made)
    one.lie = unknowing
    async with serving(one):
        policy = policy_of(one)
        configure(made, policy)
        async with asking(made) as served:
            reply = await served.get("checkpoint")
            assert (reply.status, reply.slug) == (503, "unwitnessed")
            assert reply.headers["Retry-After"] == "1"
            assert "'w1'" in reply.json()["detail"]
            # Events are taken, and their receipts carry the log's signature.
            assert (await served.post(event_json())).status == 201
            assert (await served.get("entries/1")).slug == "unwitnessed"
            one.lie = None
            await until(size_is(served, 2))
            signed = await served_checkpoint(served, trust_by(made, policy))
            assert signed.checkpoint.size == 2
            assert (await served.get("entries/1")).status == 200


async def test_failing_open_the_newest_head_is_served_after_a_while(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one, two = FakeWitness("w1", keys_of(made)), FakeWitness("w2", keys_of(made))
    async with serving(one, two):
        policy = policy_of(one, two, quorum=2)
        configure(made, policy, fail="open", grace="1s")
        async with asking(made) as served:
            # Before there is any cosigned one, the log's own.
            assert (await served.get("checkpoint")).status == 200
            await until(size_is(served, 1))
            two.lie = unknowing
            assert (await served.post(event_json())).status == 201
            signed = await served_checkpoint(served, trust_by(made, policy))
            assert signed.checkpoint.size == 1
            await until(size_is(served, 2))
            note = (await served.get("checkpoint")).body
            with pytest.raises(PolicyError):
                verify_checkpoint(note, trust_by(made, policy))
            # The cosignatures that it has come along.
            lenient = trust_by(made, policy_of(one))
            assert len(verify_checkpoint(note, lenient).cosignatures) == 1
            # What asks for witnesses gets nothing less.
            again = await served.get("proofs/inclusion?index=1")
            assert again.json()["checkpoint"] == note.decode()
            two.lie = None
            published = served.log.published
            assert published is not None
            await until(lambda: _reached(published.witnessed, 2))
            signed = await served_checkpoint(served, trust_by(made, policy))
            assert signed.checkpoint.size == 2


async def test_failing_open_a_newer_head_has_its_time_to_be_cosigned(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one, two = FakeWitness("w1", keys_of(made)), FakeWitness("w2", keys_of(made))
    async with serving(one, two):
        policy = policy_of(one, two, quorum=2)
        configure(made, policy, fail="open", grace="1h")
        async with asking(made) as served:
            await until(size_is(served, 1))
            two.lie = unknowing
            assert (await served.post(event_json())).status == 201
            await until(lambda: one.size == 2 and two.asked[404] > 2)
            signed = await served_checkpoint(served, trust_by(made, policy))
            assert signed.checkpoint.size == 1


async def test_failing_open_other_processes_serve_the_same(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    one = one_of(made)
    async with serving(one):
        configure(made, policy_of(one), fail="open", grace="1s")
        async with asking(made) as served, asking(made) as other:
            await until(size_is(other, 1))
            one.lie = unknowing
            assert (await served.post(event_json())).status == 201
            await until(size_is(served, 2))
            await until(size_is(other, 2))
            notes = [(await each.get("checkpoint")).body for each in (served, other)]
            assert notes[0] == notes[1]


async def test_a_long_poll_waits_for_a_larger_cosigned_head(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    one = one_of(made)
    async with serving(one):
        policy = policy_of(one)
        configure(made, policy)
        async with asking(made) as served, asking(made) as other:
            await until(size_is(served, 1))
            await until(size_is(other, 1))
            polls = [
                asyncio.create_task(each.get("checkpoint?newer_than=1&timeout=20"))
                for each in (served, other)
            ]
            await asyncio.sleep(0)
            assert (await served.post(event_json())).status == 201
            for poll in polls:
                signed = verify_checkpoint((await poll).body, trust_by(made, policy))
                assert signed.checkpoint.size == 2


async def test_proofs_lead_to_the_checkpoint_that_is_served(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    one = one_of(made)
    async with serving(one):
        policy = policy_of(one)
        configure(made, policy)
        async with asking(made) as served:
            await served.fill(9)
            await until(size_is(served, 9))
            one.lie = unknowing
            assert (await served.post(event_json())).status == 201
            assert served.log.released.size == 10
            trust = trust_by(made, policy)
            # Without a size it is the served one, and its note comes along.
            found = (await served.get("proofs/inclusion?index=3")).json()
            assert found["size"] == 9
            signed = verify_checkpoint(found["checkpoint"].encode(), trust)
            assert signed.checkpoint.size == 9
            file = await served.get("proofs/inclusion?index=3&size=9", accept=PROOF)
            verify_checkpoint(parse_proof_unverified(file.body).checkpoint, trust)
            # Of a size that is released and not served there is the proof alone.
            newer = (await served.get("proofs/inclusion?index=9&size=10")).json()
            assert "checkpoint" not in newer
            held = await served.get("proofs/inclusion?index=9")
            assert (held.status, held.slug) == (503, "unwitnessed")
            beyond = await served.get("proofs/inclusion?index=10")
            assert beyond.status == 404
            span = (await served.get("proofs/range?start=2&end=4")).json()
            assert span["size"] == 9
            receipt = await served.get("entries/3", role="auditor")
            assert verify_receipt(receipt.body, trust).index == 3
            assert (await served.get("entries/9", role="auditor")).status == 503


async def test_a_receipt_can_wait_for_its_witnesses(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    one = one_of(made)
    async with serving(one):
        policy = policy_of(one)
        configure(made, policy)
        async with asking(made) as served:
            trust = trust_by(made, policy)
            single = await served.post(event_json(id="a"), query="?wait=witnessed")
            assert single.status == 201
            assert verify_receipt(single.body, trust).index == 1
            again = await served.post(event_json(id="a"), query="?wait=witnessed")
            assert again.status == 200
            assert verify_receipt(again.body, trust).index == 1
            events = [event_json(id=each) for each in ("a", "b", "c")]
            many = await served.batch([*events, {}], query="?wait=witnessed")
            body = many.json()
            assert [each["status"] for each in body["results"]] == [200, 201, 201, 422]
            verify_checkpoint(body["checkpoint"].encode(), trust)
            none = await served.post(
                event_json(id="d"), query="?wait=witnessed&receipts=none"
            )
            assert none.json() == {"status": 201, "index": 4}


async def test_submitters_that_wait_share_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "INTERVAL", 1.0)
    made = await make_instance(tmp_path)
    one = one_of(made)
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made) as served:
            await until(size_is(served, 1))
            replies = await asyncio.gather(
                *(
                    served.post(event_json(id=f"e{number}"), query="?wait=witnessed")
                    for number in range(30)
                )
            )
            assert {each.status for each in replies} == {201}
    # One question for the size, and of all heads only those of a round.
    assert len(one.notes) <= 5


async def test_a_receipt_that_waited_in_vain_says_that_the_event_is_in_the_log(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one = one_of(made)
    async with serving(one):
        configure(made, policy_of(one), wait="1s", fail="open", grace="1s")
        one.lie = unknowing
        async with asking(made) as served:
            reply = await served.post(event_json(id="a"), query="?wait=witnessed")
            assert (reply.status, reply.slug) == (503, "unwitnessed")
            assert "Retry-After" in reply.headers
            assert "in the log" in reply.json()["detail"]
            assert served.log.released.size == 2
            one.lie = None
            again = await served.post(event_json(id="a"), query="?wait=witnessed")
            assert (again.status, again.json()["index"]) == (200, 1)


async def test_a_mirror_holds_what_is_published(tmp_path: Path) -> None:
    made = await make_instance(tmp_path, public=True)
    one = one_of(made)
    one.lie = unknowing
    note = tmp_path / "www" / "logs" / "main" / "checkpoint"
    async with serving(one):
        policy = policy_of(one)
        configure(made, policy)
        async with asking(made) as served:

            async def update() -> int:
                storage, to = served.service.storage, tmp_path / "www"
                return (await update_mirror(served.log, storage, to, ignore)).size

            with pytest.raises(UnavailableError, match="cosigned"):
                await update()
            one.lie = None
            await served.fill(5)
            await until(size_is(served, 5))
            assert await update() == 5
            first = note.read_bytes()
            verify_checkpoint(first, trust_by(made, policy))
            one.lie = unknowing
            await served.fill(7)
            # What nobody cosigned stays at home; what is cosigned anew goes out.
            assert await update() == 5
            assert note.read_bytes() == first


async def test_what_cannot_be_written_down_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make_instance(tmp_path)
    one = one_of(made)
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made) as served:
            await until(size_is(served, 1))
            kept, replace = made.instance.witnessed / "main.checkpoint", folder.replace
            full = OSError(errno.ENOSPC, "No space left on device")
            refused: list[bytes] = []

            def fail(path: Path, data: bytes, *, durable: bool) -> None:
                if path == kept:
                    refused.append(data)
                    raise full
                replace(path, data, durable=durable)

            monkeypatch.setattr(folder, "replace", fail)
            assert (await served.post(event_json(id="a"))).status == 201
            await until(lambda: refused)
            assert (await served.get("checkpoint")).body == kept.read_bytes()
            monkeypatch.setattr(folder, "replace", replace)
            await until(size_is(served, 2))
            assert (await served.get("checkpoint")).body == kept.read_bytes()


async def test_a_log_without_witnesses_is_as_before(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    async with asking(made) as served:
        reply = await served.post(event_json(), query="?wait=witnessed")
        assert (reply.status, reply.slug) == (422, "not-witnessed")
        assert served.log.released.size == 1
        note = (await served.get("checkpoint")).body
        verify_checkpoint(note, Trust.from_log_key(made.record.log_key))
        assert not made.instance.witnessed.exists()


async def test_a_private_log_s_published_files_are_its_owner_s_alone(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one = one_of(made)
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made) as served:
            await until(size_is(served, 1))
            await until((made.instance.witnessed / "main.json").exists)
    folder = made.instance.witnessed
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir()} == {
        "main.checkpoint",
        "main.json",
        "main.lock",
    }
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
