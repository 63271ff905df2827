"""Alerts on their way: kept while nobody takes them, signed, and encrypted."""

import asyncio
import errno
import hashlib
import hmac
import json
import ssl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client.alerting import (
    Alert,
    Backlog,
    DeliveryError,
    Mail,
    MailSettings,
    Sender,
    Severity,
    Webhook,
    backlog,
    trial_alert,
)
from provlog.client.alerting.webhook import SIGNATURE
from provlog.client.errors import UsageError
from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from support.alert_sinks import mail_server, webhook
from support.edges import Pair

ALERT = Alert("forked", "log.example/main", "critical", "two histories", 1000, {"n": 5})


def numbered(count: int, severity: Severity = "warning") -> list[Alert]:
    return [Alert("stale", f"o{n}", severity, "t", n) for n in range(count)]


class Recorder:
    """A way that fails as often as it is told to."""

    name = "recorder"
    least: Severity = "warning"

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.taken: list[Alert] = []
        self.enough = asyncio.Event()

    async def deliver(self, alert: Alert) -> None:
        if self.failures:
            self.failures -= 1
            raise DeliveryError("not now")
        self.taken.append(alert)
        self.enough.set()

    async def close(self) -> None:
        pass


async def test_a_webhook_gets_json_that_its_secret_signs() -> None:
    async with webhook() as hook:
        way = Webhook(hook.url, "a secret that is shared")
        await way.deliver(ALERT)
        await way.close()
    [body], [headers] = hook.bodies, hook.headers
    digest = hmac.new(b"a secret that is shared", body, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE] == f"sha256={digest}"
    assert headers["Content-Type"] == "application/json"
    value = json.loads(body)
    assert (value["kind"], value["phase"]) == ("forked", "begins")
    assert value["time"] == "1970-01-01T00:00:01.000Z"
    assert value["details"] == {"n": 5}
    assert value["id"] == ALERT.to_json()["id"]


@pytest.mark.parametrize("status", [302, 400, 500, 503])
async def test_only_an_answer_2xx_is_a_delivery_and_redirects_lead_nowhere(
    status: int,
) -> None:
    async with webhook() as hook:
        hook.statuses = [status]
        way = Webhook(hook.url)
        with pytest.raises(DeliveryError, match=str(status)):
            await way.deliver(ALERT)
        assert len(hook.bodies) == 1
        await way.deliver(ALERT)
        await way.close()
    way = Webhook(hook.url)
    with pytest.raises(DeliveryError, match="no connection"):
        await way.deliver(ALERT)
    await way.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "https://me:pw@hooks.example/",
        "ftp://x/",
        "hooks",
        "http://[",
    ],
)
def test_a_webhook_in_the_clear_or_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="webhook"):
        Webhook(url)


def settings_for(port: int, **changes: object) -> MailSettings:
    known: dict[str, object] = {
        "host": "127.0.0.1",
        "sender": "monitor@log.example",
        "recipients": ("a@example.com", "b@example.com"),
        "port": port,
        **changes,
    }
    return MailSettings(**known)  # type: ignore[arg-type]


async def test_a_mail_says_what_is_wrong_in_subject_and_text() -> None:
    async with mail_server() as post:
        way = Mail(settings_for(post.port, encryption="none"))
        await way.deliver(ALERT)
        evil = Alert("stale", "o\r\nBcc: all@example.com", "warning", "a\nb\x1b[1m", 5)
        await way.deliver(evil)
    first, second = post.messages
    assert first["Subject"] == "[provlog] critical: forked: log.example/main"
    assert first["To"] == "a@example.com, b@example.com"
    assert first["Auto-Submitted"] == "auto-generated"
    assert "two histories" in first.get_content()
    assert second["Bcc"] is None
    assert "\x1b" not in second.get_content()


async def test_starttls_comes_before_the_password_and_the_certificate_is_verified(
    tmp_path: Path,
) -> None:
    pair = Pair.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.chain, pair.key)
    trusted = ssl.create_default_context(cafile=str(pair.chain))
    async with mail_server(context) as post:
        known = settings_for(post.port, user="u", password="pw-of-the-mail")
        await Mail(known, context=trusted).deliver(ALERT)
        words = [each.split()[0].upper() for each in post.commands]
        assert words.index("STARTTLS") < words.index("AUTH") < words.index("DATA")
        post.commands.clear()
        with pytest.raises(DeliveryError):
            await Mail(known).deliver(ALERT)
        assert not any(each.startswith("AUTH") for each in post.commands)
    assert len(post.messages) == 1


async def test_without_encryption_that_was_asked_for_nothing_is_sent() -> None:
    async with mail_server() as post:
        way = Mail(settings_for(post.port, user="u", password="pw-of-the-mail"))
        with pytest.raises(DeliveryError) as info:
            await way.deliver(ALERT)
    assert post.messages == []
    assert not any(each.startswith("AUTH") for each in post.commands)
    assert "pw-of-the-mail" not in str(info.value)


async def test_a_refused_receiver_is_tried_again_later() -> None:
    async with mail_server() as post:
        post.refusals = ["450 later", "450 later"]
        way = Mail(settings_for(post.port, encryption="none"))
        with pytest.raises(DeliveryError):
            await way.deliver(ALERT)
        await way.deliver(ALERT)
    assert len(post.messages) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"recipients": ()},
        {"recipients": ("nobody",)},
        {"sender": "x y@z"},
        {"user": "u"},
        {"encryption": "none", "host": "mail.example.com"},
        {"encryption": "none", "user": "u", "password": "p"},
    ],
)
def test_mail_that_would_not_arrive_or_not_in_secret_is_refused(
    changes: dict[str, object],
) -> None:
    with pytest.raises(UsageError, match="mail"):
        settings_for(25, **changes)


def test_alerts_wait_on_disk_across_restarts(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path / "w.json")
    backlog.put([ALERT, *numbered(2)])
    assert (tmp_path / "w.json").stat().st_mode & 0o777 == 0o600
    again = Backlog(tmp_path / "w.json")
    assert (len(again), again.next()) == (3, ALERT)
    again.take(ALERT)
    assert Backlog(tmp_path / "w.json").next() == numbered(1)[0]


def test_a_full_backlog_loses_the_oldest_of_the_least_severe(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path / "w.json", most=3)
    backlog.put([ALERT, *numbered(2, "info")])
    backlog.put(numbered(2, "warning"))
    assert backlog.dropped == 2
    kept = []
    while (each := backlog.next()) is not None:
        kept.append(each.severity)
        backlog.take(each)
    assert kept == ["critical", "warning", "warning"]


def test_a_damaged_backlog_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_bytes(b'[{"v":1}]')
    with pytest.raises(UsageError, match="damaged"):
        Backlog(tmp_path / "w.json")


async def test_what_was_not_delivered_is_tried_again_and_in_order(
    tmp_path: Path,
) -> None:
    way = Recorder(failures=3)
    troubles: list[str] = []
    sender = Sender([way], tmp_path, first_pause=0.001, on_trouble=troubles.append)
    await sender.put(numbered(3))
    task = asyncio.create_task(sender.run())
    async with asyncio.timeout(10):
        await way.enough.wait()
        way.enough.clear()
        while len(way.taken) < 3:
            await way.enough.wait()
            way.enough.clear()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert way.taken == numbered(3)
    # Said once, however often it fails.
    assert troubles == ["alert not delivered by recorder: not now"]
    assert sender.state()["recorder"].failed == 3


async def test_an_alert_that_is_refused_alone_does_not_hold_up_those_behind_it(
    tmp_path: Path,
) -> None:
    poisoned = Alert("rule", "o", "warning", "what a filter refuses", 1)
    async with webhook() as hook:
        hook.statuses = [400]
        way = Webhook(hook.url)
        sender = Sender([way], tmp_path)
        await sender.put([poisoned, ALERT])
        assert not await sender.flush(10)
        assert [loads_json(each)["kind"] for each in hook.bodies] == ["rule", "forked"]  # type: ignore[index, call-overload]
        assert sender.state()["webhook"].waiting == 1
        assert await sender.flush(10)
        await sender.close()


async def test_a_receiver_that_is_away_gets_alerts_in_order(tmp_path: Path) -> None:
    async with webhook() as hook:
        hook.statuses = [503]
        sender = Sender([Webhook(hook.url)], tmp_path)
        await sender.put(numbered(2))
        assert not await sender.flush(10)
        assert len(hook.bodies) == 1
        await sender.close()


async def test_a_full_disk_does_not_end_the_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way, troubles = Recorder(), list[str]()
    sender = Sender([way], tmp_path, on_trouble=troubles.append)
    await sender.put(numbered(2))

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backlog, "write_private", full)
    assert await sender.flush(10)
    assert way.taken == numbered(2)
    assert "No space left" in troubles[0]


async def test_a_monitor_that_is_killed_delivers_when_it_is_started_again(
    tmp_path: Path,
) -> None:
    await Sender([Recorder(failures=99)], tmp_path).put([ALERT])
    way = Recorder()
    assert await Sender([way], tmp_path).flush(10)
    assert way.taken == [ALERT]


async def test_only_what_is_severe_enough_goes_a_way_and_a_test_always(
    tmp_path: Path,
) -> None:
    way = Recorder()
    way.least = "critical"
    sender = Sender([way], tmp_path)
    await sender.put([*numbered(2), ALERT, trial_alert(5)])
    await sender.flush(10)
    assert [each.kind for each in way.taken] == ["forked", "test"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.builds(
        Alert,
        texts,
        texts,
        st.sampled_from(["info", "warning", "critical"]),
        texts,
        st.integers(0, 2 * 10**14),
        st.dictionaries(texts, st.one_of(texts, st.integers(0, 9)), max_size=3),
        st.sampled_from(["begins", "goes on", "resolved", "event", "test"]),
    )
)
@settings(max_examples=60)
def test_an_alert_survives_the_disk_and_fits_on_a_line(alert: Alert) -> None:
    kept = loads_json(json.dumps(alert.to_state()).encode())
    assert Alert.from_state(kept) == alert
    assert alert.headline().isprintable()
    assert all(line.isprintable() for line in alert.message().split("\n"))


@pytest.mark.parametrize("name", ["severity", "phase", "at", "details", "text", "v"])
def test_what_is_no_alert_is_refused(name: str) -> None:
    state: dict[str, JsonValue] = {**ALERT.to_state(), name: [7]}
    if name == "v":
        state.pop("v")
    with pytest.raises(MalformedError):
        Alert.from_state(state)
