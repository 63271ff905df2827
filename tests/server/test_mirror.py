"""A static mirror, handed out by a web server that knows nothing, and followed."""

import asyncio
import functools
import http.server
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from provlog.client.auditing_run import begin_audit, run_audit
from provlog.client.fetching import LogReader
from provlog.client.memory import FileMemory, VolatileMemory
from provlog.client.transport import Transport
from provlog.client.watching import MisbehaviourError, Watch
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.notes import sign_note
from provlog.server.errors import ConfigurationError, ForkError
from provlog.server.guard import ReleasedHead
from provlog.server.key_changes import freeze, retire_keys
from provlog.server.log import Log
from provlog.server.moving.mirror import Mirrored, update_mirror
from provlog.server.service import Service
from support.exports import ignore
from support.instances import make_instance
from support.rotations import rotate
from support.services import fill, trust_of

CHECKPOINT = "logs/main/checkpoint"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """Hand out a folder as the standard library does; yield the URL."""
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def signed(log: Log, head: ReleasedHead) -> bytes:
    """Return a checkpoint that the log's key signed and the server never did."""
    text = Checkpoint(log.origin, head.size, head.root).text()
    return sign_note(text, [log.signer.keys.signing])


@dataclass(frozen=True, slots=True)
class Mirror:
    """A public log, its mirror on a web server, and a reader without a token."""

    service: Service
    log: Log
    to: Path
    url: str
    reader: LogReader
    memory: FileMemory

    async def grow(self, count: int) -> None:
        """Append events."""
        await fill(self.service, self.log, count, f"at {self.log.released.size}")

    async def update(self) -> Mirrored:
        """Bring the mirror up to date."""
        return await update_mirror(self.log, self.service.storage, self.to, ignore)

    def watch(self) -> Watch:
        """Return a monitor as it is after a start."""
        return Watch(self.reader, trust_of(self.log), self.memory)


@pytest_asyncio.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[Mirror]:
    made = await make_instance(tmp_path, public=True)
    async with Service.of(made.instance) as service:
        log = await service.log("main")
        assert log is not None
        with static(tmp_path / "www") as url:
            transport = Transport(url, "main", None, 1.0, insecure=False)
            reader = LogReader(transport, made.trust)
            memory = FileMemory(tmp_path / "state")
            yield Mirror(service, log, tmp_path / "www", url, reader, memory)
            await reader.close()


def files_below(folder: Path) -> list[str]:
    """Return the paths of the files below a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in paths)


async def test_a_mirror_is_followed_and_audited_while_the_log_grows(
    mirror: Mirror,
) -> None:
    size = 1
    # Within a tile, to its end, beyond it, and on from partial tiles.
    for count in (3, 252, 1, 300):
        await mirror.grow(count)
        done = await mirror.update()
        assert done == Mirrored(0 if size == 1 else size, size + count)
        size += count
        report = await mirror.watch().look()
        assert (report.event, report.size) == ("grown", size)
    assert await mirror.update() == Mirrored(size, size)
    assert (await mirror.watch().look()).event == "unchanged"
    trust = trust_of(mirror.log)
    audit = await begin_audit(mirror.reader, trust, mirror.memory)
    await run_audit(
        audit,
        mirror.reader,
        parallel=4,
        on_findings=lambda _: None,
        on_progress=ignore,
    )
    assert (audit.auditor.done, audit.auditor.total) == (557, 0)
    # Partial forms of what is full are gone; those at the edge are there.
    assert files_below(mirror.to / "logs" / "main") == [
        *("announcements", "checkpoint"),
        *("tile/0/000", "tile/0/001", "tile/0/002.p/45"),
        *("tile/1/000.p/1", "tile/1/000.p/2"),
        *("tile/entries/000", "tile/entries/001", "tile/entries/002.p/45"),
    ]


async def test_a_mirror_is_followed_from_the_first_key_to_the_end(
    mirror: Mirror,
) -> None:
    first = trust_of(mirror.log)
    await mirror.grow(3)
    await mirror.update()
    assert (await mirror.watch().look()).event == "grown"
    for _ in range(2):
        await rotate(mirror.service, mirror.log)
        await retire_keys(mirror.log, destroy=False)
        await mirror.grow(2)
    await mirror.update()
    assert (await mirror.watch().look()).event == "grown"
    end = await freeze(mirror.service, mirror.log, None, "test")
    await mirror.update()
    for watch in (mirror.watch(), Watch(mirror.reader, first, VolatileMemory())):
        report = await watch.look()
        assert (report.event, report.size) == ("frozen", end.index + 1)


async def test_the_commands_follow_it_too(mirror: Mirror, tmp_path: Path) -> None:
    await mirror.grow(2)
    await mirror.update()
    key = mirror.log.record.log_key
    for command in (["monitor", "--once"], ["audit"]):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "provlog.client", *command),
            *("--url", mirror.url, "--log-key", key),
            *("--state", str(tmp_path / "commands")),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert b"of 3 entries" in out or b"3 entries held" in out


async def test_a_mirror_holds_what_anybody_may_see_and_no_more(
    mirror: Mirror,
) -> None:
    await mirror.grow(2)
    await mirror.update()
    names = files_below(mirror.to)
    tiles = ["logs/main/tile/0/000.p/3", "logs/main/tile/entries/000.p/3"]
    assert names == ["logs/main/announcements", CHECKPOINT, *tiles]
    for name in names:
        path = mirror.to / name
        assert path.stat().st_mode & 0o777 == 0o644
        assert path.parent.stat().st_mode & 0o777 == 0o755
        assert b"alice" not in path.read_bytes()


async def test_a_run_that_is_interrupted_leaves_the_mirror_as_it_was(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mirror.update()
    await mirror.watch().look()
    await mirror.grow(300)

    def die(_: ReleasedHead) -> str:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(mirror.log, "note", die)
        with pytest.raises(OSError, match="no more"):
            await mirror.update()
    assert (await mirror.watch().look()).event == "unchanged"
    assert await mirror.update() == Mirrored(1, 301)
    assert (await mirror.watch().look()).event == "grown"


async def test_a_client_of_an_older_checkpoint_finds_what_it_stands_for(
    mirror: Mirror,
) -> None:
    await mirror.grow(99)
    await mirror.update()
    old = (mirror.to / CHECKPOINT).read_bytes()
    await mirror.grow(300)
    await mirror.update()
    (mirror.to / CHECKPOINT).write_bytes(old)
    trust = trust_of(mirror.log)
    audit = await begin_audit(mirror.reader, trust, mirror.memory)
    await run_audit(
        audit,
        mirror.reader,
        parallel=4,
        on_findings=lambda _: None,
        on_progress=ignore,
    )
    assert (audit.auditor.done, audit.auditor.total) == (100, 0)


async def test_tiles_of_another_history_prove_nothing(mirror: Mirror) -> None:
    await mirror.grow(3)
    await mirror.update()
    await mirror.watch().look()
    await mirror.grow(3)
    await mirror.update()
    tile = mirror.to / "logs" / "main" / "tile" / "0" / "000.p" / "7"
    data = bytearray(tile.read_bytes())
    data[5 * 32] ^= 1
    tile.write_bytes(data)
    with pytest.raises(MisbehaviourError, match="not of one history"):
        await mirror.watch().look()
    tile.write_bytes(bytes(data[:-1]))
    with pytest.raises(MisbehaviourError, match="does not prove"):
        await mirror.watch().look()


async def test_what_a_mirror_refuses(mirror: Mirror, tmp_path: Path) -> None:
    await mirror.grow(3)
    await mirror.update()
    made = await make_instance(tmp_path / "private")
    async with Service.of(made.instance) as service:
        log = await service.log("main")
        assert log is not None
        with pytest.raises(ConfigurationError, match="main is private"):
            await update_mirror(log, service.storage, tmp_path / "new", ignore)
    assert not (tmp_path / "new").exists()
    other = await make_instance(tmp_path / "other", public=True)
    async with Service.of(other.instance) as service:
        log = await service.log("main")
        assert log is not None
        with pytest.raises(ConfigurationError, match="mirrors another log"):
            await update_mirror(log, service.storage, mirror.to, ignore)
    checkpoint = mirror.to / CHECKPOINT
    ahead = ReleasedHead(99, bytes(32))
    checkpoint.write_bytes(signed(mirror.log, ahead))
    with pytest.raises(ForkError, match="mirrors 99 entries, and the log has 4"):
        await mirror.update()
    checkpoint.write_bytes(signed(mirror.log, ReleasedHead(3, bytes(32))))
    with pytest.raises(ForkError, match="another history"):
        await mirror.update()
