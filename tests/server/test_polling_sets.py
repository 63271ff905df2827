"""Tokens that are polled: logged once, and acknowledged once they are durable."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from provlog.server.delivery import Delivered, deliver
from provlog.server.errors import ConfigurationError, UnavailableError
from provlog.server.intake.connectors.secevent import VERIFIED
from provlog.server.polling.cursors import SourceCursor
from provlog.server.polling.feed import FetchError
from provlog.server.polling.kinds import make_feed
from provlog.server.polling.poller import Poller, Settings, Taken
from provlog.server.polling.sets import KIND, SetFeed, SetPoll, split_url
from provlog.server.polling.stopping import Stop
from provlog.server.set_verifier import make_verifier
from provlog.server.source_settings import SourceSettings
from provlog.server.storage.base import SourceRecord
from support.fake_set_transmitter import TOKEN, FakeTransmitter, fake_transmitter
from support.instances import Served, served
from support.sets import AUDIENCE, ISSUER, claims_of, sign, unsigned

SOURCE = SourceRecord("urn:set:idp", "idp", "set")


class Unwaiting(Stop):
    """Waits no time."""

    async def wait(self, seconds: float) -> None:
        del seconds
        await asyncio.sleep(0)


@dataclass
class Stream:
    """A log and the transmitter it is filled from."""

    log: Served
    fake: FakeTransmitter
    folder: Path
    most: int = 100
    token: str = TOKEN
    taken: list[Taken] = field(default_factory=list)
    failures: int = 0

    @property
    def settings(self) -> SourceSettings:
        (self.folder / "keys.toml").touch()
        issuer = {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "jwks_url": self.fake.jwks_url,
        }
        return SourceSettings(self.folder / "keys.toml", SOURCE.uri, issuers=(issuer,))

    def feed(self) -> SetFeed:
        poll = SetPoll(self.fake.poll_url, "token", self.most)
        return SetFeed(poll, lambda: self.token, make_verifier(self.settings), 5.0)

    async def poll(self) -> None:
        """Poll once, as a new process."""
        service, feed = self.log.service, self.feed()
        cursor = SourceCursor(
            service.storage,
            self.log.log.id,
            SOURCE.uri,
            service.clock,
            replace=False,
        )
        once = Settings(0, 1.0, 0, once=True)
        now, tell = service.clock.now, self.taken.append
        poller = Poller(feed, self.deliver, cursor, once, now, Unwaiting(), tell)
        try:
            await poller.run()
        finally:
            await feed.close()

    async def feed_page(self) -> None:
        """Fetch one page, which is thrown away."""
        feed = self.feed()
        try:
            await feed.page(0, None)
        finally:
            await feed.close()

    async def deliver(self, records: Sequence[bytes]) -> Delivered:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("not now")
        log = self.log
        return await deliver(
            log.service, log.log, SOURCE, records, {}, connector=VERIFIED
        )

    @property
    def size(self) -> int:
        return self.log.log.released.size


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    async with served(tmp_path) as log, fake_transmitter() as fake:
        await log.service.register_source(log.log, SOURCE, "test")
        yield Stream(log, fake, tmp_path)


async def test_tokens_are_acknowledged_with_the_next_request(stream: Stream) -> None:
    before = stream.size
    for number in range(5):
        stream.fake.queue(f"jti-{number}")
    await stream.poll()
    assert stream.size == before + 5
    assert stream.fake.acknowledged == [f"jti-{number}" for number in range(5)]
    first, second = stream.fake.asked
    assert first == {"maxEvents": 100, "returnImmediately": True}
    assert sorted(second["ack"]) == sorted(stream.fake.acknowledged)
    assert [each.records for each in stream.taken] == [5, 0]


async def test_a_backlog_is_read_in_pages_of_what_is_asked_for(stream: Stream) -> None:
    stream.most, before = 3, stream.size
    for number in range(10):
        stream.fake.queue(f"jti-{number}")
    await stream.poll()
    assert stream.size == before + 10
    assert not stream.fake.pending
    assert [len(each.get("ack", [])) for each in stream.fake.asked] == [0, 3, 3, 3, 1]


async def test_who_dies_before_the_acknowledgement_finds_the_token_again(
    stream: Stream,
) -> None:
    stream.fake.queue("one")
    feed = stream.feed()
    page = await feed.page(0, None)
    await stream.deliver(page.records)
    await feed.close()  # killed here: durable, and nobody was told
    size = stream.size
    assert stream.fake.acknowledged == []
    await stream.poll()
    assert stream.size == size
    assert stream.fake.acknowledged == ["one"]


async def test_what_is_not_durable_is_not_acknowledged(stream: Stream) -> None:
    stream.fake.queue("one")
    stream.failures, before = 5, stream.size
    with pytest.raises(UnavailableError):
        await stream.poll()
    assert (stream.size, stream.fake.acknowledged) == (before, [])
    assert not any("ack" in each for each in stream.fake.asked)
    await stream.poll()
    assert (stream.size, stream.fake.acknowledged) == (before + 1, ["one"])


async def test_a_token_that_does_not_verify_is_reported_and_not_logged(
    stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    fake, before = stream.fake, stream.size
    fake.queue("good")
    fake.queue("nobody", aud="urn:x")
    fake.queue("issuer", iss="https://zoe-quux.example.org")
    fake.pending["misnamed"] = fake.make("other")
    fake.pending["unsigned"] = unsigned(claims_of("unsigned"))
    fake.pending["forged"] = sign(claims_of("forged"), "ES256", kid=fake.keys[0].kid)
    fake.pending["not-one"] = sign({"iss": ISSUER})
    fake.pending["number"] = 7  # type: ignore[assignment]
    await stream.poll()
    assert stream.size == before + 1
    assert fake.acknowledged == ["good"]
    assert fake.refused == {
        "nobody": "invalid_audience",
        "issuer": "invalid_issuer",
        "misnamed": "invalid_request",
        "unsigned": "invalid_key",
        "forged": "invalid_key",
        "not-one": "invalid_request",
        "number": "invalid_request",
    }
    assert "a token was refused" in caplog.text
    assert "zoe-quux" not in caplog.text


async def test_a_round_of_refused_tokens_reports_them_before_it_ends(
    stream: Stream,
) -> None:
    stream.fake.queue("nobody", aud="urn:x")
    await stream.poll()
    assert stream.fake.refused == {"nobody": "invalid_audience"}
    assert not stream.fake.pending


async def test_a_transmitter_that_does_not_listen_is_left_alone_for_a_round(
    stream: Stream,
) -> None:
    stream.fake.deaf, before = True, stream.size
    stream.fake.queue("one")
    await stream.poll()
    assert [each.get("ack") for each in stream.fake.asked] == [None, ["one"]]
    assert stream.size == before + 1


async def test_without_keys_nothing_is_said_of_a_token(stream: Stream) -> None:
    stream.fake.queue("one")
    stream.fake.key_answers = [web.Response(status=500) for _ in range(9)]
    with pytest.raises(FetchError):
        await stream.poll()
    assert stream.fake.refused == {}
    assert list(stream.fake.pending) == ["one"]
    stream.fake.key_answers.clear()
    await stream.poll()
    assert stream.fake.acknowledged == ["one"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"sets":[]}',
        b'{"sets":{"a":"x","a":"y"}}',
        b"{" * 100,
        b'{"sets":{' + b",".join(b'"%d":1' % each for each in range(1001)) + b"}}",
    ],
    ids=lambda each: str(each[:20]),
)
async def test_an_answer_that_cannot_be_read_takes_nothing(
    body: bytes, stream: Stream
) -> None:
    stream.fake.queue("one")
    answers = [web.Response(body=body, content_type="application/json")] * 9
    stream.fake.poll_answers = answers
    before = stream.size
    with pytest.raises(FetchError):
        await stream.feed_page()
    assert stream.size == before


async def test_a_transmitter_that_refuses_the_token_is_the_operator_s(
    stream: Stream,
) -> None:
    stream.token = "another"
    with pytest.raises(ConfigurationError):
        await stream.poll()


async def test_acknowledgements_of_a_request_that_failed_are_sent_again(
    stream: Stream,
) -> None:
    stream.fake.queue("one")
    feed = stream.feed()
    page = await feed.page(0, None)
    await stream.deliver(page.records)
    assert page.committed is not None
    page.committed()
    stream.fake.poll_answers = [web.Response(status=503)]
    with pytest.raises(FetchError):
        await feed.page(0, page.next)
    assert stream.fake.acknowledged == []
    last = await feed.page(0, page.next)
    await feed.close()
    assert stream.fake.acknowledged == ["one"]
    assert (last.records, last.next) == ([], None)


@pytest.mark.parametrize(
    "url",
    [
        "idp.example.com/poll",
        "ftp://idp.example.com/poll",
        "http://idp.example.com/poll",
        "https://user:secret@idp.example.com/poll",
        "https://idp.example.com/poll#x",
        "https:///poll",
    ],
)
def test_where_tokens_are_polled_is_a_sound_url(url: str) -> None:
    poll = SetPoll(url, "token")
    issuer = {"issuer": ISSUER, "audience": "a", "jwks_url": "https://idp.example/k"}
    settings = SourceSettings(Path("x.toml"), SOURCE.uri, issuers=(issuer,))
    with pytest.raises(ConfigurationError):
        SetFeed(poll, lambda: TOKEN, make_verifier(settings))


def test_an_endpoint_keeps_its_path_and_query() -> None:
    assert split_url("https://idp.example:8443/ssf/poll/7?a=b%20c") == (
        "https://idp.example:8443",
        "/ssf/poll/7?a=b%20c",
    )


def test_a_table_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(TOKEN)
    issuer = {"issuer": ISSUER, "audience": "a", "jwks_url": "https://idp.example/k"}
    good: dict[str, Any] = {"url": "https://idp.example/poll", "token_file": "token"}
    for poll, issuers in (
        ({**good, "max_events": 0}, (issuer,)),
        ({**good, "unknown": 1}, (issuer,)),
        ({"url": good["url"]}, (issuer,)),
        ({**good, "token_file": "absent"}, (issuer,)),
        (good, ()),
        (good, ({**issuer, "keys_file": "keys"},)),
        (good, ({**issuer, "algorithms": ["HS256"]},)),
        (good, ({**issuer, "audience": []},)),
        (good, ({**issuer, "jwks_url": "http://idp.example/k"},)),
        (good, (issuer, issuer)),
        (good, ({"issuer": ISSUER, "audience": "a", "keys_file": "absent"},)),
    ):
        settings = SourceSettings(
            tmp_path / "x.toml", SOURCE.uri, poll=poll, issuers=issuers
        )
        with pytest.raises(ConfigurationError):
            make_feed(KIND, settings)
    make_feed(
        KIND, SourceSettings(tmp_path / "x", SOURCE.uri, poll=good, issuers=(issuer,))
    )
