"""What the API tells of a source, and to whom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from provlog.merkle.encoding import format_time
from provlog.merkle.source_fold import SourceFold
from provlog.server.health import following
from provlog.server.health.judging import silence_of
from provlog.server.source_settings import SettingsBook, SourceSettings
from support.events import event_json
from support.instances import SOURCE, Served, served

OTHER = "urn:okta:acme/2"
HOUR = 3_600_000


def path(source: str = SOURCE) -> str:
    return f"sources/{quote(source, safe='')}/health"


def declare(log: Served, source: str, heartbeat: int) -> None:
    found = SourceSettings(Path("x.toml"), source, heartbeat=heartbeat)
    log.service.settings = SettingsBook({("main", source): found})


@asynccontextmanager
async def two_sources(folder: Path, *, public: bool = False) -> AsyncIterator[Served]:
    async with served(folder, public=public, sources=(SOURCE, OTHER)) as log:
        events = [
            event_json(id=str(seq), sequence=str(seq), time=None) for seq in (1, 2, 5)
        ]
        assert (await log.batch(events)).status == 200
        assert (await log.batch([event_json(id="o", source=OTHER)])).status == 200
        yield log


async def test_it_is_what_the_leaves_tell(tmp_path: Path) -> None:
    async with two_sources(tmp_path) as log:
        now = log.service.clock.now()
        late = event_json(id="late", time=format_time(now - 5 * HOUR))
        ahead = event_json(id="ahead", time=format_time(now + 60_000))
        assert (await log.batch([late, ahead])).status == 200
        told = (await log.get(path())).json()
        assert (told["source"], told["events"]) == (SOURCE, 5)
        assert told["covers"] == log.log.released.size
        assert told["newest"]["index"] == log.log.released.size - 1
        numbers = told["numbers"]
        assert (numbers["first"], numbers["newest"], numbers["missing"]) == (1, 5, 2)
        [gap] = numbers["ranges"]
        assert (gap["first"], gap["last"], gap["run"]) == (3, 4, 0)
        assert told["lateness"]["late"] == 1
        assert 5 * 3600 <= told["lateness"]["most"]["seconds"] < 5 * 3600 + 60
        assert told["lateness"]["newest"] == 0
        assert sum(step["events"] for step in told["lateness"]["counts"]) == 5
        assert told["clock"]["ahead"] == 1
        assert 0 < told["clock"]["newest"] <= 60
        assert told["silence"]["overdue"] is None
        assert told["silence"]["since"] == told["newest"]["recorded"]
        other = (await log.get(path(OTHER))).json()
        assert (other["source"], other["events"]) == (OTHER, 1)
        assert other["numbers"]["newest"] is None


@pytest.mark.parametrize(
    ("role", "source", "status"),
    [
        ("monitor", SOURCE, 200),
        ("auditor", SOURCE, 200),
        ("admin", SOURCE, 200),
        ("submitter", SOURCE, 200),
        ("submitter", "urn:strange", 403),
        ("submitter+auditor", "urn:strange", 200),
        ("privacy", SOURCE, 403),
        (None, SOURCE, 401),
    ],
)
async def test_who_may_read_the_leaves_may_know(
    tmp_path: Path, role: str | None, source: str, status: int
) -> None:
    async with served(tmp_path, sources=(SOURCE, "urn:strange")) as log:
        for uri in (SOURCE, "urn:strange"):
            assert (await log.batch([event_json(id="1", source=uri)])).status == 200
        token = await narrow_token(log)
        if role == "submitter":
            log = replace(log, made=replace(log.made, tokens={"submitter": token}))
        reply = await log.get(path(source), role=role)
        assert reply.status == status, reply.body


async def narrow_token(log: Served) -> str:
    """Return a token that may write `SOURCE` alone."""
    body = {"roles": ["submitter"], "sources": [SOURCE]}
    reply = await log.post(
        body, role="admin", media_type="application/json", path="/logs/main/tokens"
    )
    return str(reply.json()["token"])


async def test_anybody_may_know_of_a_public_log_s_sources(tmp_path: Path) -> None:
    async with two_sources(tmp_path, public=True) as log:
        assert (await log.get(path(), role=None)).json()["events"] == 3
        assert (await log.get(path(OTHER), role="privacy")).status == 200


async def test_a_source_without_events_is_told_to_those_who_know_it(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, public=True) as log:
        body = {"uri": SOURCE}
        made = await log.post(
            body, role="admin", media_type="application/json", path="/logs/main/sources"
        )
        assert made.status in (200, 201)
        declare(log, SOURCE, HOUR)
        for role in ("admin", "submitter"):
            told = (await log.get(path(), role=role)).json()
            assert (told["events"], told["newest"]) == (0, None)
            assert told["silence"] == {
                "allowed": 3600, "declared": True, "overdue": True, "since": None
            }  # fmt: skip
        strangers = [(None, SOURCE), ("monitor", SOURCE), ("admin", "urn:no")]
        for who, source in strangers:
            reply = await log.get(path(source), role=who)
            assert (reply.status, reply.slug) == (404, "not-found")


@pytest.mark.parametrize("source", ["%00", "%22", "%C3%BC", "x" * 257])
async def test_what_is_no_source_is_not_found(tmp_path: Path, source: str) -> None:
    async with served(tmp_path) as log:
        for role in ("admin", "monitor"):
            reply = await log.get(f"sources/{source}/health", role=role)
            assert reply.status == 404
            assert reply.json()["detail"] == "that is no name of a source"
        assert (await log.get(f"{path()}?a=1")).status == 400


async def test_a_declared_silence_is_overdue_once_it_is_over(tmp_path: Path) -> None:
    async with two_sources(tmp_path) as log:
        declare(log, SOURCE, HOUR)
        assert (await log.get(path())).json()["silence"]["overdue"] is False
        plain = log.service.clock.now
        log.service.clock.now = lambda: plain() + HOUR + 60_000  # type: ignore[method-assign]
        told = (await log.get(path())).json()["silence"]
        assert (told["allowed"], told["declared"], told["overdue"]) == (
            3600,
            True,
            True,
        )
        log.service.clock.now = plain  # type: ignore[method-assign]


async def test_heartbeats_tell_without_a_declaration(tmp_path: Path) -> None:
    async with served(tmp_path) as log:
        for beat in range(5):
            event = event_json(id=f"b{beat}", type="source.heartbeat", time=None)
            assert (await log.batch([event])).status == 200
        told = (await log.get(path())).json()
        assert told["heartbeats"]["count"] == 5
        assert told["silence"]["declared"] is False
        interval = told["heartbeats"]["interval"]
        if interval:
            assert told["silence"]["allowed"] == pytest.approx(3 * interval)


async def test_what_was_not_looked_at_yet_ends_a_silence_all_the_same(
    tmp_path: Path,
) -> None:
    async with two_sources(tmp_path) as log:
        silence = silence_of(log.log, SOURCE, SourceFold(), None, 0)
        assert silence.since == log.log.freshness.newest[SOURCE]


async def test_an_answer_says_how_far_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FRESHEN", 2)
    monkeypatch.setattr(following, "STRIDE", 1)
    async with two_sources(tmp_path) as log:
        size = log.log.released.size
        seen: list[Any] = []
        while not seen or seen[-1] < size:
            reply = await log.get(path())
            if reply.status == 200:
                told = reply.json()
                seen.append(told["covers"])
                # What is not covered yet is no silence.
                assert told["silence"]["since"] is not None
            else:
                assert reply.status == 404
        assert seen == sorted(set(seen))
        assert len(seen) > 1
