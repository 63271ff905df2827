"""A log that is behind what its witnesses have seen signs nothing."""

import asyncio
import shutil
import time
from pathlib import Path

import pytest
from aiohttp.web import Response as Answer

from provlog.merkle.checkpoints import Checkpoint, parse_checkpoint_text
from provlog.merkle.keys import SigningKey
from provlog.merkle.notes import parse_text_unverified, sign_note
from provlog.merkle.witness_messages import AddCheckpoint
from provlog.server.errors import ForkError, HaltedError
from provlog.server.keyring import Keyring
from provlog.server.service import Service
from provlog.server.storage.base import Incarnation, StorageError
from provlog.server.witnessing import judging, rounds, witness
from provlog.server.witnessing.calls import Calls, WitnessError
from provlog.server.witnessing.claims import Claims
from provlog.server.witnessing.settings import Endpoint
from provlog.server.witnessing.witness import AheadError, Witness
from support.asking import asking, configure, following, keys_of, until
from support.events import event_json
from support.fake_witnesses import (
    FakeWitness,
    absurd_conflict,
    policy_of,
    serving,
    silent,
    unknowing,
)
from support.instances import Made, Served, make_instance


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "INTERVAL", 0.05)
    monkeypatch.setattr(witness, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(witness, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(judging, "START_SECONDS", 1.0)


def several(made: Made, count: int) -> list[FakeWitness]:
    return [FakeWitness(f"w{n}", keys_of(made)) for n in range(1, count + 1)]


def signing_key(made: Made) -> SigningKey:
    return Keyring(made.instance.keys).load("main").signing


def claim(each: FakeWitness, made: Made, size: int, key: SigningKey) -> None:
    """Let a witness know a checkpoint of some size, signed by a key."""
    point = Checkpoint(made.record.origin, size, bytes(32))
    each.take(sign_note(point.text(), [key]), point.text(), point)


async def cosigned(served: Served, size: int) -> None:
    def holds() -> bool:
        published = served.log.published
        found = None if published is None else published.witnessed
        return found is not None and found.head.size >= size

    await until(holds)


async def set_back(tmp_path: Path, made: Made, *, guard: bool) -> None:
    """Let a log grow and be cosigned, and then lose what was appended."""
    copy = tmp_path / "old"
    shutil.copy(made.instance.database, copy)
    async with asking(made) as served:
        await served.fill(20)
        await cosigned(served, 20)
    for path in made.instance.folder.glob("provlog.db*"):
        path.unlink()
    shutil.copy(copy, made.instance.database)
    shutil.rmtree(made.instance.witnessed)
    if guard:
        shutil.rmtree(made.instance.guard)


async def test_an_old_database_is_refused_even_if_the_guard_is_gone(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    witnesses = several(made, 3)
    async with serving(*witnesses):
        configure(made, policy_of(*witnesses, quorum=2))
        await set_back(tmp_path, made, guard=True)
        with pytest.raises(ForkError) as caught:
            async with Service.of(made.instance):
                pass
        assert "size 20" in str(caught.value)
        assert "ends at size 1" in str(caught.value)
        assert "recover" in str(caught.value)
        # The guard knows it from now on, whether a witness answers or not, and says so
        # to whoever looks for a way out.
        for each in witnesses:
            each.lie = unknowing
        with pytest.raises(ForkError, match="size 20 was released"):
            async with Service.of(made.instance):
                pass


@pytest.mark.parametrize("name", ["main.checkpoint", "main.open"])
async def test_what_was_published_here_is_proof_as_well(
    tmp_path: Path, name: str
) -> None:
    made = await make_instance(tmp_path)
    [one] = several(made, 1)
    folder = made.instance.witnessed
    async with serving(one):
        configure(made, policy_of(one))
        await set_back(tmp_path, made, guard=True)
        one.lie, one.hidden = unknowing, True
        folder.mkdir(mode=0o700)
        kept = folder / name
        assert one.note is not None
        # Of another log's key it proves nothing.
        stranger = SigningKey(made.record.origin, bytes(32))
        text = Checkpoint(made.record.origin, 20, bytes(32)).text()
        kept.write_bytes(sign_note(text, [stranger]))
        async with Service.of(made.instance) as service:
            assert service.open_logs()[0].halted is None
        kept.write_bytes(one.note)
        with pytest.raises(ForkError, match=f"{name} holds .* size 20"):
            async with Service.of(made.instance):
                pass


async def test_a_witness_that_is_silent_holds_up_one_log_and_not_each(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    [one] = several(made, 1)
    one.lie = silent
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made, follow=False) as served:
            assert len(one.sizes) == 1
            head = await served.service.storage.head(served.log.id)
            await served.service.witnessing.examine_again(served.log, head)
    assert len(one.sizes) == 1


async def test_a_proof_that_cannot_be_judged_now_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make_instance(tmp_path)
    [one] = several(made, 1)
    claim(one, made, 1, signing_key(made))

    async def away(*_: object) -> bytes:
        raise StorageError("the database is away")

    async with serving(one):
        configure(made, policy_of(one))
        monkeypatch.setattr(judging.Ground, "proven", away)
        with pytest.raises(StorageError):
            async with Service.of(made.instance):
                pass


async def take_newest(each: FakeWitness, served: Served) -> None:
    """Let a witness know the newest head of a log, as the log signed it."""
    note = served.log.note(await served.log.refresh()).encode()
    text = parse_text_unverified(note)
    each.take(note, text, parse_checkpoint_text(text))


async def test_a_log_that_grows_while_its_witnesses_are_asked_is_not_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As where another server appends, while one starts or finds another database."""
    made = await make_instance(tmp_path)
    witnesses = several(made, 2)
    async with asking(made, follow=False) as served, serving(*witnesses):

        async def meanwhile(each: FakeWitness, _: AddCheckpoint, __: str) -> Answer:
            await served.fill(served.log.released.size + 3)
            await take_newest(each, served)
            return Answer(status=409, text=f"{each.size}\n")

        for each in witnesses:
            each.lie = meanwhile
        configure(made, policy_of(*witnesses, quorum=2))
        # They prove it, and where they do not there are two that say so.
        for hidden in (False, True):
            for each in witnesses:
                each.hidden = hidden
            async with Service.of(made.instance) as service:
                assert service.open_logs()[0].halted is None
    assert not [each for each in caplog.messages if "not believed" in each]


async def test_one_that_shows_what_was_published_since_it_was_asked_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make_instance(tmp_path)
    [liar] = several(made, 1)

    async def rejecting(_: FakeWitness, asked: AddCheckpoint, __: str) -> Answer:
        return Answer(status=422 if asked.old_size or asked.proof else 409, text="1\n")

    async with serving(liar):
        configure(made, policy_of(liar))
        async with asking(made, follow=False) as served:
            newest, shown = Calls.newest, asyncio.Event()

            async def late(self: Calls, endpoint: Endpoint, origin: str) -> object:
                await served.fill(served.log.released.size + 3)
                await take_newest(liar, served)
                note = await newest(self, endpoint, origin)
                shown.set()
                return note

            monkeypatch.setattr(Calls, "newest", late)
            liar.lie = rejecting
            async with following(served.service):
                await asyncio.wait_for(shown.wait(), 20)
                shown.clear()
                await asyncio.wait_for(shown.wait(), 20)
                assert served.log.halted is None


async def test_a_forked_tree_of_the_same_size_is_refused(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    witnesses = several(made, 3)
    claim(witnesses[0], made, 1, signing_key(made))
    async with serving(*witnesses):
        configure(made, policy_of(*witnesses, quorum=2))
        with pytest.raises(ForkError, match="another one"):
            async with Service.of(made.instance):
                pass


async def test_one_witness_that_makes_things_up_stops_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at the start, not later; neither by words nor by a stranger's signature."""
    made = await make_instance(tmp_path)
    witnesses = several(made, 3)
    claim(witnesses[0], made, 1000, SigningKey(made.record.origin, bytes(32)))
    async with serving(*witnesses):
        configure(made, policy_of(*witnesses, quorum=3))
        async with asking(made) as served:
            assert (await served.post(event_json())).status == 201
            await until(lambda: witnesses[0].asked[409] > 2)
            assert served.log.halted is None
    assert any("is not believed" in each.message for each in caplog.records)


async def test_witnesses_that_agree_stop_a_log_that_could_publish_nothing(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    witnesses = several(made, 3)
    for each in witnesses[:2]:
        each.lie = absurd_conflict
    async with serving(*witnesses):
        configure(made, policy_of(*witnesses, quorum=2))
        with pytest.raises(ForkError, match="cannot reach the quorum"):
            async with Service.of(made.instance):
                pass
        # With a quorum that the rest can reach, two of five are not enough.
        more = [*witnesses, *several(made, 5)[3:]]
        async with serving(*more[3:]):
            configure(made, policy_of(*more, quorum=3))
            async with asking(made) as served:
                await cosigned(served, 1)


async def test_dead_witnesses_hinder_a_start_no_longer_than_a_moment(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    witnesses = several(made, 3)
    for each in witnesses:
        each.lie = silent
    async with serving(*witnesses):
        configure(made, policy_of(*witnesses, quorum=2), timeout="60s")
        begun = time.monotonic()
        async with Service.of(made.instance) as service:
            # A bound of seconds, where each of them would hold it up for a minute.
            assert time.monotonic() - begun < 30
            assert service.open_logs()[0].halted is None


async def test_a_log_that_runs_is_halted_by_proof(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    witnesses = several(made, 3)
    async with serving(*witnesses):
        configure(made, policy_of(*witnesses, quorum=2))
        async with asking(made) as served:
            await cosigned(served, 1)
            claim(witnesses[0], made, 99, signing_key(made))
            assert (await served.post(event_json(id="a"))).status == 201
            await until(lambda: served.log.halted is not None)
            assert "size 99" in str(served.log.halted)
            guard, origin = served.service.guard, made.record.origin
            await until(lambda: guard.size(origin) == 99)
            refused = await served.post(event_json(id="b"))
            assert refused.status == 503


async def test_a_witness_ahead_of_another_server_is_no_accuser(tmp_path: Path) -> None:
    """Two servers on one log: the witness was asked by the other one first."""
    made = await make_instance(tmp_path)
    [one] = several(made, 1)
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made) as first, asking(made, follow=False) as second:
            await cosigned(first, 1)
            for number in range(5):
                reply = await second.post(event_json(id=f"e{number}"))
                assert reply.status == 201
            await cosigned(first, 6)
            assert first.log.halted is second.log.halted is None


async def test_a_size_that_the_database_has_is_no_claim(tmp_path: Path) -> None:
    made = await make_instance(tmp_path)
    [one] = several(made, 1)
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made, follow=False) as served, Calls(5) as calls:
            assert (await served.post(event_json())).status == 201
            assert served.log.published is not None
            settings = served.log.published.settings
            service = served.service
            claims = Claims(served.log, service.storage, service.guard, settings)
            asked = Witness(settings.endpoints[0], made.record.origin)
            # Another server's, which this one has not seen released yet.
            assert not await claims.hear(asked, AheadError(2), calls)
            assert await claims.hear(asked, AheadError(3), calls)
            assert await claims.hear(asked, WitnessError("refused", ""), calls)
            assert served.log.halted is None
            # What the witness shows decides, once it claims something.
            claim(one, made, 3, signing_key(made))
            assert not await claims.hear(asked, AheadError(2), calls)
            assert served.log.halted is None
            assert await claims.hear(asked, AheadError(3), calls)
            assert served.log.halted is not None


async def test_another_database_is_held_against_the_witnesses(tmp_path: Path) -> None:
    """After a failover the guard may not know what was lost; the witnesses do."""
    made = await make_instance(tmp_path)
    [one] = several(made, 1)
    async with serving(one):
        configure(made, policy_of(one))
        async with asking(made, follow=False) as served:
            service, log = served.service, served.log
            claim(one, made, 50, signing_key(made))
            log.incarnation = Incarnation("another", 2, "start")  # type: ignore[arg-type]
            with pytest.raises(HaltedError, match="size 50"):
                await service.sequencer.trust.ensure(log)
            assert log.halted is not None
