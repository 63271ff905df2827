"""What a log with witnesses serves goes forward, whatever is slow, full or changed."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.web import Response as Answer

from provlog.merkle.checkpoints import parse_checkpoint_text
from provlog.merkle.errors import PolicyError
from provlog.merkle.witness_messages import AddCheckpoint
from provlog.server.errors import MissingKeyError
from provlog.server.witnessing import folder, following, published, rounds, witness
from provlog.server.witnessing.published import Publication, Published
from provlog.server.witnessing.settings import read_witnesses
from provlog.server.witnessing.writing import remove_witnesses
from support.asking import asking, configure, keys_of, metric, until
from support.events import event_json
from support.fake_witnesses import FakeWitness, policy_of, serving, unknowing
from support.instances import Made, Served, make_instance


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "INTERVAL", 0.05)
    monkeypatch.setattr(witness, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(witness, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(following, "SETTINGS_SECONDS", 0.05)


@asynccontextmanager
async def one_witness(
    tmp_path: Path, **members: str | bool
) -> AsyncIterator[tuple[Made, FakeWitness]]:
    """Make an instance with a witness that is served."""
    made = await make_instance(tmp_path)
    one = FakeWitness("w1", keys_of(made))
    async with serving(one):
        configure(made, policy_of(one), **members)
        yield made, one


def no_more_files(*_: object) -> bytes:
    raise OSError(24, "Too many open files")


def witnessed(served: Served) -> int:
    publication = served.log.published
    found = None if publication is None else publication.witnessed
    return 0 if found is None else found.head.size


async def size_served(served: Served) -> int:
    reply = await served.get("checkpoint")
    assert reply.status == 200
    return int(reply.body.split(b"\n")[1])


def delaying(gate: asyncio.Event, seconds: float = 0.0) -> object:
    """Return how a witness answers truthfully once a gate is open, and after a while.

    Which size it knows it says at once.
    """

    async def answer(self: FakeWitness, asked: AddCheckpoint, text: str) -> Answer:
        point = parse_checkpoint_text(text)
        if point.size:
            await gate.wait()
            await asyncio.sleep(seconds)
        return self.honest(asked, text, point)

    return answer


async def test_what_falls_short_of_the_quorum_is_not_published_as_if_it_had_it(
    tmp_path: Path,
) -> None:
    async with one_witness(tmp_path) as (made, _), asking(made) as served:
        await until(lambda: witnessed(served) == 1)
        publication = served.log.published
        assert publication is not None
        await served.post(event_json(id="e1"))
        alone = served.log.note(served.log.released).encode()
        with pytest.raises(PolicyError):
            await publication.publish(alone, quorum=True)
        assert publication.path.read_bytes() != alone
        shown = publication.witnessed
        assert shown is not None
        assert shown.note.encode() != alone


async def test_a_log_that_never_rests_is_published_though_its_quorum_takes_long(
    tmp_path: Path,
) -> None:
    async with one_witness(tmp_path) as (made, one):
        gate = asyncio.Event()
        gate.set()
        # Longer than a round.
        one.lie = delaying(gate, 0.1)  # type: ignore[assignment]
        async with asking(made) as served:
            behind, since = 1, 0.0
            for number in range(2000):
                await served.post(event_json(id=f"e{number}"))
                if since and witnessed(served) > behind:
                    break
                if not since and witnessed(served) > 1:
                    behind, since = served.log.released.size, time.monotonic()
            assert witnessed(served) > behind
            # What waits now came after the head was chosen that is published.
            waiting = metric(served, "provlog_witnessed_waiting_seconds", log="main")
            assert waiting <= time.monotonic() - since


async def limited(self: FakeWitness, asked: AddCheckpoint, text: str) -> Answer:
    """Cosign a head only when it is asked for it for the third time."""
    point = parse_checkpoint_text(text)
    if point.size and self.sizes.count((asked.old_size, point.size)) < 3:
        return Answer(status=429)
    return self.honest(asked, text, point)


async def test_a_head_that_lacks_a_witness_with_a_limit_waits_for_it(
    tmp_path: Path,
) -> None:
    """Two that have one would never cosign the same head of a log that never rests."""
    made = await make_instance(tmp_path)
    pair = [FakeWitness(name, keys_of(made)) for name in ("w1", "w2")]
    pair[1].lie = limited
    async with serving(*pair):
        configure(made, policy_of(*pair, quorum=2))
        async with asking(made) as served:
            for number in range(1000):
                await served.post(event_json(id=f"e{number}"))
                if witnessed(served) > 1:
                    break
            assert witnessed(served) > 1


async def test_a_head_that_a_witness_is_beyond_waits_for_nobody(
    tmp_path: Path,
) -> None:
    """Another server had it cosign a larger one, while it had a limit for us."""
    made = await make_instance(tmp_path)
    pair = [FakeWitness(name, keys_of(made)) for name in ("w1", "w2")]
    async with serving(*pair):
        configure(made, policy_of(*pair, quorum=2))
        async with asking(made) as served:
            await until(lambda: witnessed(served) == 1)
            refused: list[int] = []

            async def beyond(
                self: FakeWitness, asked: AddCheckpoint, text: str
            ) -> Answer:
                size = parse_checkpoint_text(text).size
                refused.append(size)
                if len(refused) == 1:
                    return Answer(status=429)
                if size == refused[0]:
                    return Answer(status=409, text=f"{size + 1}\n")
                return self.honest(asked, text, parse_checkpoint_text(text))

            pair[1].lie = beyond
            await served.post(event_json(id="a"))
            await until(lambda: refused)
            await served.post(event_json(id="b"))
            await until(lambda: witnessed(served) == 3)


async def test_failing_open_nobody_waits_for_limits_beyond_the_grace(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    pair = [FakeWitness(name, keys_of(made)) for name in ("w1", "w2")]

    async def never(*_: object) -> Answer:
        return Answer(status=429)

    pair[1].lie = never
    async with serving(*pair):
        configure(made, policy_of(*pair, quorum=2), fail="open", grace="1s")
        async with asking(made) as served:
            publication = served.log.published
            assert publication is not None
            await until(lambda: publication.open is not None)
            await served.fill(4)
            await until(lambda: publication.open and publication.open.head.size == 4)


async def test_failing_open_the_first_cosigned_head_does_not_go_back(
    tmp_path: Path,
) -> None:
    async with one_witness(tmp_path, fail="open") as (made, one):
        gate = asyncio.Event()
        one.lie = delaying(gate)  # type: ignore[assignment]
        async with asking(made) as served, asking(made, follow=False) as other:
            await until(lambda: (0, 1) in one.sizes)
            await served.fill(4)
            assert [await size_served(each) for each in (served, other)] == [4, 4]
            one.lie = unknowing
            gate.set()
            await until(lambda: witnessed(served) == 1)
            assert [await size_served(each) for each in (served, other)] == [4, 4]
            one.lie = None
            await until(lambda: witnessed(served) == 4)
            assert await size_served(served) == 4


async def test_what_was_published_before_the_witnesses_were_unset_is_gone(
    tmp_path: Path,
) -> None:
    async with one_witness(tmp_path) as (made, one):
        async with asking(made) as served:
            await until(lambda: witnessed(served) == 1)
            remove_witnesses(made.instance.witnesses, "main")
            await until(lambda: served.log.published is None)
            await served.fill(4)
            assert await size_served(served) == 4
            one.lie = unknowing
            configure(made, policy_of(one))
            await until(lambda: served.log.published is not None)
            assert (await served.get("checkpoint")).slug == "unwitnessed"
            one.lie = None
            await until(lambda: witnessed(served) == 4)
        # And where no server ran meanwhile.
        remove_witnesses(made.instance.witnesses, "main")
        async with asking(made, follow=False):
            assert not (made.instance.witnessed / "main.checkpoint").exists()


async def test_a_process_that_takes_up_witnesses_later_does_not_go_back(
    tmp_path: Path,
) -> None:
    """Another one has published a head already that is smaller than what it served."""
    async with one_witness(tmp_path) as (made, one):
        async with asking(made) as served:
            await until(lambda: witnessed(served) == 1)
            one.lie = unknowing
            await served.fill(4)
        async with asking(made, follow=False) as served:
            place, log = made.instance.witnesses, served.log
            settings = read_witnesses(place, "main", log.origin)
            assert settings is not None
            state = made.instance.witnessed
            fresh = Publication(log, state, settings)
            found = await fresh.serve()
            assert found is not None
            assert found.head.size == 1
            assert await Publication(log, state, settings, log.released).serve() is None


async def test_a_head_that_cannot_be_published_does_not_hold_up_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the only key that signed it was retired meanwhile."""
    async with one_witness(tmp_path) as (made, _), asking(made) as served:
        await until(lambda: witnessed(served) == 1)
        publish, refused = Publication.publish, 0

        async def fail(self: Publication, note: bytes, *, quorum: bool) -> Published:
            nonlocal refused
            if b"\n2\n" in note:
                refused += 1
                raise MissingKeyError("the key is retired here")
            return await publish(self, note, quorum=quorum)

        monkeypatch.setattr(Publication, "publish", fail)
        await served.post(event_json(id="a"))
        await until(lambda: refused)
        await served.post(event_json(id="b"))
        await until(lambda: witnessed(served) == 3)


async def test_a_publication_that_could_not_be_read_once_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_witness(tmp_path) as (made, _):
        async with asking(made) as served:
            await until(lambda: witnessed(served) == 1)
        async with asking(made, follow=False) as other:
            with monkeypatch.context() as patched:
                patched.setattr(published, "_content", no_more_files)
                assert (await other.get("checkpoint")).slug == "unwitnessed"
            assert await size_served(other) == 1


async def test_settings_that_cannot_be_looked_at_stop_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with one_witness(tmp_path) as (made, _), asking(made) as served:
        await until(lambda: witnessed(served) == 1)
        looked = 0

        def fail(_: Path) -> object:
            nonlocal looked
            looked += 1
            raise OSError(24, "Too many open files")

        with monkeypatch.context() as patched:
            patched.setattr(Path, "iterdir", fail)
            await until(lambda: looked > 1)
        await served.fill(4)
        await until(lambda: witnessed(served) == 4)
    said = [each for each in caplog.messages if "Too many open files" in each]
    assert len(said) == 1


async def test_settings_that_could_not_be_read_once_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They did not change since; nothing else would have them taken up."""
    async with one_witness(tmp_path, wait="1s") as (made, one), asking(made) as served:
        await until(lambda: witnessed(served) == 1)
        failed = 0

        def fail(*_: object) -> object:
            nonlocal failed
            failed += 1
            raise OSError(24, "Too many open files")

        with monkeypatch.context() as patched:
            patched.setattr(following, "read_witnesses", fail)
            configure(made, policy_of(one), wait="2s")
            await until(lambda: failed)
        publication = served.log.published
        assert publication is not None
        await until(lambda: publication.settings.wait == 2)


async def test_a_publication_that_is_cancelled_is_not_left_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks next publishes a larger head, and it must not be written over."""
    async with one_witness(tmp_path) as (made, _):
        async with asking(made) as served:
            await until(lambda: witnessed(served) == 1)
            publication = served.log.published
            assert publication is not None
            assert publication.witnessed is not None
            note = publication.witnessed.note.encode()
        begun, gate, done = threading.Event(), threading.Event(), threading.Event()

        def slow(*_: object, **__: object) -> None:
            begun.set()
            gate.wait(20)
            done.set()

        monkeypatch.setattr(folder, "replace", slow)
        task = asyncio.create_task(publication.publish(note, quorum=True))
        await until(begun.is_set)
        task.cancel()
        asyncio.get_running_loop().call_later(0.05, gate.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done.is_set()
