"""Keycloak's events polled into a log: every one once, whatever goes wrong."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from provlog.merkle.encoding import JsonValue
from provlog.server.delivery import deliver
from provlog.server.errors import ConfigurationError
from provlog.server.instance import Instance
from provlog.server.polling.feed import FetchError
from provlog.server.polling.keycloak import KIND, dated, step_of
from provlog.server.polling.kinds import make_feed
from provlog.server.polling.poller import ATTEMPTS
from provlog.server.source_settings import SourceSettings
from support.fake_keycloak import CLIENT_SECRET, DAY, FakeKeycloak, fake_keycloak
from support.keycloak import ANN, by_webhook, keycloak_bytes, user_event
from support.keycloak_polling import RECORD, Polled
from support.polling import MINUTE
from support.services import make_instance, now_ms, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def template(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    folder = tmp_path_factory.mktemp("template")
    async with running(await make_instance(folder)) as (service, log):
        await service.register_source(log, RECORD, "test")
    yield folder


@pytest.fixture
async def polled(template: Path, tmp_path: Path) -> AsyncIterator[Polled]:
    shutil.copytree(template, tmp_path / "copy")
    instance = Instance(tmp_path / "copy" / "data", tmp_path / "copy" / "guard")
    async with running(instance) as (service, log), fake_keycloak() as keycloak:
        yield Polled(service, log, keycloak, tmp_path)


def backlog(keycloak: FakeKeycloak, count: int, days: float = 5) -> list[int]:
    """Store events of some days, evenly; return their times."""
    step = int(days * DAY) // count
    times = [keycloak.now() - step * (count - number) for number in range(count)]
    keycloak.store(*times)
    return times


def places(keycloak: FakeKeycloak) -> list[int]:
    return [int(each.query["first"]) for each in keycloak.asked]


async def test_every_event_has_one_entry_byte_for_byte(polled: Polled) -> None:
    times = backlog(polled.keycloak, 25)
    polled.keycloak.most = 10
    taken = await polled.poll()
    await polled.require_all()
    assert places(polled.keycloak) == [0, 9, 18, 24, 25]
    assert sum(each.delivered.logged for each in taken) == 25
    assert await polled.cursor() == max(times)


async def test_no_event_before_the_end_of_a_round_moves_the_cursor(
    polled: Polled,
) -> None:
    backlog(polled.keycloak, 25)
    polled.keycloak.most = 10
    polled.keycloak.faults.extend([None, *["500"] * ATTEMPTS])
    with pytest.raises(FetchError, match="HTTP 500"):
        await polled.poll()
    assert await polled.cursor() is None, "older ones are still to be read"
    await polled.poll()
    await polled.require_all()


async def test_a_round_ends_at_the_first_page_that_is_older_than_it_begins(
    polled: Polled,
) -> None:
    backlog(polled.keycloak, 30)
    polled.keycloak.most = 10
    await polled.poll()
    polled.keycloak.asked.clear()
    new = polled.keycloak.store(polled.keycloak.now())
    taken = await polled.poll(overlap=MINUTE)
    assert len(polled.keycloak.asked) == 1, "the page reaches back far enough"
    assert sum(each.delivered.logged for each in taken) == len(new) == 1
    await polled.require_all()


async def test_a_round_begins_with_a_short_page_and_goes_on_with_long_ones(
    polled: Polled,
) -> None:
    backlog(polled.keycloak, 150)
    await polled.poll(rounds=2)
    await polled.require_all()
    asked = [(each.query["first"], each.query["max"]) for each in polled.keycloak.asked]
    assert asked[:2] == [("0", "100"), ("99", "1000")]
    assert asked[-1] == ("0", "100"), "what is new is on the first page"


async def test_events_that_arrive_while_pages_are_read_cost_no_other_one(
    polled: Polled,
) -> None:
    backlog(polled.keycloak, 40)
    polled.keycloak.most = 10
    later: list[bytes] = []

    async def on_page(_: int) -> None:
        # Before each further page all others are moved by three.
        if len(later) < 30:
            now = polled.keycloak.now()
            later.extend(polled.keycloak.store(now, now, now))

    polled.keycloak.on_page = on_page
    await polled.poll()
    missing = set(polled.keycloak.records) - set(await polled.originals())
    assert missing <= set(later), "an older one was passed over"
    await polled.poll(rounds=2)
    await polled.require_all()


async def test_events_that_expire_while_pages_are_read_cost_no_other_one(
    polled: Polled,
) -> None:
    times = backlog(polled.keycloak, 40)
    polled.keycloak.most = 10
    kept = [record for _, record in polled.keycloak.admin[8:]]

    async def on_page(first: int) -> None:
        if first:
            polled.keycloak.expire(times[8])

    polled.keycloak.on_page = on_page
    await polled.poll()
    assert set(kept) <= set(await polled.originals())


async def test_events_of_one_millisecond_are_all_logged_in_whatever_order_they_come(
    polled: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pages of ten asked for, and groups of four: each page ends amid one.
    monkeypatch.setattr("provlog.server.polling.keycloak.LARGEST_PAGE", 10)
    now = polled.keycloak.now()
    for number in range(12):
        polled.keycloak.store(*[now - number * MINUTE] * 4)
    await polled.poll()
    await polled.require_all()


async def test_events_committed_late_are_found_by_the_next_round(
    polled: Polled,
) -> None:
    backlog(polled.keycloak, 5)
    now = polled.keycloak.now()

    def between(rounds: int) -> None:
        polled.keycloak.store(now - rounds * MINUTE)

    await polled.poll(rounds=4, between=between)
    await polled.require_all()


async def test_a_clock_that_is_ahead_never_carries_the_cursor_beyond_ours(
    polled: Polled,
) -> None:
    polled.keycloak.skew = 2 * DAY
    polled.keycloak.store(polled.keycloak.now())
    polled.keycloak.store(now_ms() - MINUTE)
    await polled.poll()
    cursor = await polled.cursor()
    assert cursor is not None
    assert cursor < now_ms()
    await polled.require_all()


@pytest.mark.parametrize(
    "fault", ["429", "500", "503", "cut", "object", "scalars", "redirect"]
)
async def test_a_page_that_goes_wrong_is_not_taken_and_asked_for_again(
    polled: Polled, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    polled.keycloak.most = 4
    backlog(polled.keycloak, 10)
    polled.keycloak.faults.extend([None, fault, fault, None, fault])
    await polled.poll()
    await polled.require_all()
    assert len(polled.waits) == 3
    assert "trying again in" in caplog.text
    for secret in (CLIENT_SECRET, "eyJ-", ANN):
        assert secret not in caplog.text


async def test_a_connection_that_breaks_and_events_sent_twice_cost_nothing(
    polled: Polled,
) -> None:
    polled.keycloak.most = 4
    backlog(polled.keycloak, 10)
    polled.keycloak.faults.extend(["twice", "drop", None, "twice"])
    await polled.poll()
    await polled.require_all()


async def test_a_token_that_ends_before_its_time_is_replaced(polled: Polled) -> None:
    polled.keycloak.uses = 2
    polled.keycloak.most = 5
    backlog(polled.keycloak, 30)
    await polled.poll()
    await polled.require_all()
    assert len(polled.keycloak.grants) > 2
    assert [each.status for each in polled.keycloak.asked].count(401) >= 2


async def test_an_answer_to_the_grant_is_told_from_one_to_the_token(
    polled: Polled,
) -> None:
    polled.keycloak.realm = "another"
    with pytest.raises(FetchError, match=r"^no access token: .*HTTP 404"):
        await polled.poll()
    polled.keycloak.realm = "acme"
    polled.keycloak.faults.extend(["500"] * ATTEMPTS)
    with pytest.raises(FetchError, match=r"^127\.0\.0\.1:\d+: answered with HTTP 500"):
        await polled.poll()


async def test_a_token_is_used_until_shortly_before_it_ends(polled: Polled) -> None:
    polled.keycloak.most = 5
    polled.keycloak.expires_in = 300
    backlog(polled.keycloak, 30)
    await polled.poll(rounds=3)
    assert len(polled.keycloak.grants) == 1
    assert polled.keycloak.grants[0]["client_secret"] == CLIENT_SECRET


async def test_a_client_that_is_refused_ends_it_and_no_secret_is_told(
    polled: Polled,
) -> None:
    backlog(polled.keycloak, 3)
    with pytest.raises(ConfigurationError, match="HTTP 401") as refused:
        await polled.poll(rounds=3, secret="another-secret")
    assert "another-secret" not in str(refused.value)
    assert polled.keycloak.asked == []


async def test_a_client_without_the_role_ends_it(polled: Polled) -> None:
    polled.keycloak.allowed = False
    with pytest.raises(ConfigurationError, match="HTTP 403"):
        await polled.poll(rounds=3)
    assert len(polled.keycloak.asked) == 1


async def test_user_events_are_fetched_where_they_are_asked_for(
    polled: Polled,
) -> None:
    now = polled.keycloak.now() // 1000 * 1000
    backlog(polled.keycloak, 12)
    polled.keycloak.most = 5
    for number, kind in enumerate(["REGISTER", "LOGIN", "DELETE_ACCOUNT"] * 4):
        event = user_event(kind, id=f"user-event-{number}", time=now - number * MINUTE)
        polled.keycloak.users.append((event["time"], json.dumps(event).encode()))
    polled.poll_table["user_events"] = ["REGISTER", "DELETE_ACCOUNT"]
    await polled.poll()
    polled.keycloak.users = [
        each for each in polled.keycloak.users if b'"LOGIN"' not in each[1]
    ]
    await polled.require_all()
    assert await polled.cursor() == now, "of both lists"


async def test_an_event_that_came_by_webhook_too_has_one_entry(polled: Polled) -> None:
    backlog(polled.keycloak, 6)
    for record in polled.keycloak.records[::2]:
        sent = json.dumps(by_webhook(json.loads(record))).encode()
        ingest: dict[str, JsonValue] = {"authentication": "hmac"}
        await deliver(polled.service, polled.log, RECORD, [sent], ingest)
    taken = await polled.poll()
    counts = [(each.delivered.logged, each.delivered.repeated) for each in taken]
    assert counts[0] == (3, 3)
    assert len(await polled.originals()) == 6


async def test_pages_too_large_are_asked_for_in_parts(polled: Polled) -> None:
    now = polled.keycloak.now()
    polled.keycloak.store(
        *(now - number * MINUTE for number in range(20)), error="x" * 500_000
    )
    await polled.poll()
    asked = [int(each.query["max"]) for each in polled.keycloak.asked]
    assert asked[:5] == [100, 50, 25, 12, 24]
    assert sum(each.delivered.logged for each in polled.taken) == 20


async def test_keycloak_may_stand_below_a_path_and_the_client_in_another_realm(
    polled: Polled,
) -> None:
    async with fake_keycloak(base="/auth") as keycloak:
        polled.keycloak = keycloak
        polled.poll_table |= {"path": "/auth", "client_realm": "acme"}
        backlog(keycloak, 3)
        await polled.poll()
        await polled.require_all()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("realm", "..", "realm is no name"),
        ("realm", "", "realm is no name"),
        ("client_id", "x" * 256, "client_id is no name"),
        ("path", "auth", "path is not of the form"),
        ("path", "/a/../b", "path is not of the form"),
        ("path", "/a?b", "path is not of the form"),
        ("user_events", ["register&x"], "user_events"),
        ("url", "http://keycloak.example.com", "plain http"),
        ("url", "https://keycloak.example.com/auth", "without a path"),
        ("realm", 7, "Expected `str`"),
        ("secret", "hunter2", "unknown field `secret`"),
        ("client_secret_file", "nowhere", "No such file"),
    ],
)
async def test_settings_that_do_not_fit_are_refused(
    polled: Polled, name: str, value: JsonValue, said: str
) -> None:
    polled.poll_table[name] = value
    with pytest.raises(ConfigurationError) as refused:
        await polled.poll()
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert polled.keycloak.grants == []


async def test_a_realm_is_one_segment_of_the_path_whatever_its_name(
    polled: Polled,
) -> None:
    async with fake_keycloak(realm="a/../b?c=#d ü") as keycloak:
        polled.keycloak = keycloak
        polled.poll_table["realm"] = keycloak.realm
        backlog(keycloak, 3)
        await polled.poll()
        await polled.require_all()


def test_a_secret_that_is_not_there_is_missed_at_once(tmp_path: Path) -> None:
    table = {"url": "https://a.example.com", "realm": "a", "client_id": "b"}
    path = tmp_path / "keycloak.toml"
    settings = SourceSettings(
        path, "s", poll={**table, "client_secret_file": "nowhere"}
    )
    with pytest.raises(ConfigurationError, match="nowhere: No such file"):
        make_feed(KIND, settings)


@pytest.mark.parametrize(
    ("dates", "step"),
    [
        ([5, 4, 3], 2),
        ([5, 4, 4], 1),
        ([4, 4, 4], 3),
        ([5, None, 4], 2),
        ([5, 4, None], 3),
        ([5], 1),
        ([None], 1),
    ],
)
def test_a_page_begins_where_the_oldest_millisecond_of_the_one_before_began(
    dates: list[int | None], step: int
) -> None:
    assert step_of(dates) == step


@pytest.mark.parametrize(
    ("record", "time"),
    [
        (keycloak_bytes(7), 7),
        (b'{"time": "7"}', None),
        (b'{"time": true}', None),
        (b'{"time": -1}', None),
        (b'{"time": 1e3}', None),
        (b'{"time": 99999999999999999}', None),
        (b'{"time": 7, "time": 8}', None),
        (b"[7]", None),
        (b"{", None),
    ],
)
def test_only_milliseconds_are_a_date(record: bytes, time: int | None) -> None:
    assert dated(record) == time
