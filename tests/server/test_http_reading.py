"""What monitors download: checkpoints, tiles, bundles; and what caches may keep."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.compact import CompactRange
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.nodes import decompose
from provlog.merkle.tiles import (
    Bundle,
    Tile,
    decode_bundle,
    nodes_from_tiles,
    partial_width,
    tiles_for,
)
from provlog.merkle.trust import verify_checkpoint
from provlog.server.http.app import HttpSettings
from provlog.server.http.context import POLLS
from support.events import event_json
from support.instances import Reply, Served, served
from support.services import append, draft, running


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


def _checkpoint(log: Served, reply: Reply) -> Checkpoint:
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    return verify_checkpoint(reply.body, log.made.trust).checkpoint


async def test_the_tiles_lead_to_the_checkpoint(log: Served) -> None:
    await log.fill(700)
    checkpoint = _checkpoint(log, await log.get("checkpoint"))
    size = checkpoint.size
    assert size == 700
    nodes = decompose(0, size)
    tiles: dict[Tile, bytes] = {}
    for tile in tiles_for(nodes, size):
        reply = await log.get(tile.path())
        assert reply.headers["Content-Type"] == "application/octet-stream"
        tiles[tile] = reply.body
    hashes = nodes_from_tiles(nodes, size, tiles)
    root = CompactRange(0, size, tuple(hashes[node] for node in nodes)).root()
    assert root == checkpoint.root


async def test_the_bundles_lead_to_the_checkpoint(log: Served) -> None:
    await log.fill(700)
    checkpoint = _checkpoint(log, await log.get("checkpoint"))
    tree = CompactRange(0, 0, ())
    for index, width in ((0, 256), (1, 256), (2, partial_width(0, 700))):
        reply = await log.get(Bundle(index, width).path())
        tree = tree.extend(
            [leaf_hash(each) for each in decode_bundle(reply.body, width)]
        )
    assert (tree.end, tree.root()) == (700, checkpoint.root)


async def test_an_older_partial_tile_is_still_served(log: Served) -> None:
    await log.fill(100)
    before = await log.get("tile/0/000.p/100")
    await log.fill(300)
    assert (await log.get("tile/0/000.p/100")).body == before.body
    assert (await log.get("tile/0/000")).body.startswith(before.body)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/000",
        "tile/0/000.p/101",
        "tile/0/001.p/1",
        "tile/1/000.p/1",
        "tile/63/000.p/1",
        "tile/64/000",
        "tile/entries/000",
        "tile/entries/000.p/101",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/0",
        "tile/00/000",
        "tile/0/x000/000",
        "tile/0/000/",
        "tile/",
        "tile/8/x999/x999/x999/x999/x999/999",
    ],
)
async def test_what_the_head_does_not_imply_is_not_there(
    log: Served, path: str
) -> None:
    await log.fill(100)
    reply = await log.get(path)
    assert (reply.status, reply.slug) == (404, "not-found")
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("public", "scope"), [(False, "private"), (True, "public")])
async def test_tiles_are_kept_for_ever_and_nothing_else(
    tmp_path: Path, public: bool, scope: str
) -> None:
    async with served(tmp_path, public=public) as log:
        await log.fill(3)
        etags = set()
        for path in ("tile/0/000.p/3", "tile/0/000.p/2", "tile/entries/000.p/3"):
            reply = await log.get(path)
            assert (
                reply.headers["Cache-Control"]
                == f"{scope}, max-age=31536000, immutable"
            )
            etags.add(reply.headers["ETag"])
            headers = {**log.bearer("monitor"), "If-None-Match": reply.headers["ETag"]}
            async with log.client.get(f"/logs/main/{path}", headers=headers) as answer:
                assert (answer.status, await answer.read()) == (304, b"")
        assert len(etags) == 3
        for path in ("checkpoint", "entries/0", "proofs/inclusion?index=0", "/healthz"):
            reply = await log.get(path)
            assert reply.headers["Cache-Control"] == "no-store"
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert "Server" not in reply.headers


async def test_accept_is_never_a_reason_to_refuse(log: Served) -> None:
    for accept in ("application/json", "image/png", "*/*"):
        for path in ("checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1"):
            assert (await log.get(path, accept=accept)).status == 200


async def test_a_long_poll_ends_with_the_next_entry(log: Served) -> None:
    waiting = asyncio.create_task(log.get("checkpoint?newer_than=1"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await log.post(event_json())
    assert _checkpoint(log, await asyncio.wait_for(waiting, 5)).size == 2
    # What is newer already is answered at once.
    assert _checkpoint(log, await log.get("checkpoint?newer_than=1")).size == 2


async def test_a_long_poll_ends_in_time_with_what_there_is(log: Served) -> None:
    start = time.monotonic()
    for query in ("newer_than=1&timeout=0", "newer_than=7&timeout=1"):
        assert _checkpoint(log, await log.get(f"checkpoint?{query}")).size == 1
    assert 0.9 < time.monotonic() - start < 5


async def test_a_long_poll_sees_what_another_process_released(log: Served) -> None:
    waiting = asyncio.create_task(log.get("checkpoint?newer_than=1"))
    await asyncio.sleep(0.1)
    async with running(log.made.instance) as (other, twin):
        await append(other, twin, draft(twin, "a"))
    # What `serve` does once a second.
    await log.service._tend_logs()
    assert _checkpoint(log, await asyncio.wait_for(waiting, 5)).size == 2


async def test_long_polls_beyond_the_bound_do_not_wait(tmp_path: Path) -> None:
    async with served(tmp_path, settings=HttpSettings(polls=0)) as log:
        reply = await asyncio.wait_for(log.get("checkpoint?newer_than=1"), 5)
        assert _checkpoint(log, reply).size == 1


async def test_a_shutdown_ends_the_long_polls(log: Served) -> None:
    waiting = asyncio.create_task(log.get("checkpoint?newer_than=1"))
    await asyncio.sleep(0.1)
    log.app[POLLS].stopping.set()
    assert _checkpoint(log, await asyncio.wait_for(waiting, 5)).size == 1
    reply = await asyncio.wait_for(log.get("checkpoint?newer_than=1"), 5)
    assert _checkpoint(log, reply).size == 1


@pytest.mark.parametrize(
    "query", ["newer_than=-1", "newer_than=01", "newer_than=x", "timeout=1.5", "x=1"]
)
async def test_a_wrong_query_is_refused(log: Served, query: str) -> None:
    reply = await log.get(f"checkpoint?{query}")
    assert (reply.status, reply.slug) == (400, "malformed")
    assert (await log.get("tile/0/000.p/1?x=1")).slug == "malformed"
