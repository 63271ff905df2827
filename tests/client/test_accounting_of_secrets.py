"""A log may leave secrets out of a record, and nothing else under that pretext."""

import json
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace

from provlog.client import AsyncClient, Receipt
from provlog.client.accounting import MAX_KEPT, MAX_READ
from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import MerkleError
from provlog.merkle.redaction import cut_secrets
from provlog.server.intake.records import WINDOW
from support.accounted import Log, events, new, old, record
from support.okta import SOURCE, USER

S = "S3CRET~7"
ONE = record("u1", USER, credentials={"password": S}, client={"ip": "10.0.0.1"})
KEPT = cut_secrets(ONE)
NAMELESS = json.dumps({"eventType": "x", "token": S}).encode()
BROKEN = f'{{"uuid":"u2","password":"{S}'.encode()


@pytest.fixture
def log() -> Log:
    return Log()


def original(body: bytes, *pointers: str) -> JsonValue:
    """Return an original that holds this, with this said to be cut."""
    member: dict[str, JsonValue] = {
        "media_type": "application/json",
        "body": body.decode(),
    }
    return member | {"redacted": [*pointers]} if pointers else member


@pytest.mark.parametrize(
    "body",
    [
        b"[%b]" % ONE,
        NAMELESS,
        b"\n".join([ONE, NAMELESS, BROKEN, ONE, BROKEN]),
        json.dumps([{"a": 1, "token": S * 40_000}, {"pin": "7" * 600_000}]).encode(),
    ],
)
async def test_what_the_server_makes_of_secrets_is_accepted_and_again(
    body: bytes, client: AsyncClient, log: Log
) -> None:
    first = await client.submit_records("okta", SOURCE, body)
    again = await client.submit_records("okta", SOURCE, body)
    assert len(first) == len(again) > 0
    assert all(isinstance(each, Receipt) and not each.created for each in again)


async def test_a_record_with_another_secret_is_another_form_of_it(
    client: AsyncClient, log: Log
) -> None:
    other = ONE.replace(S.encode(), b"other")
    [one] = await client.submit_records("okta", SOURCE, ONE)
    [two] = await client.submit_records("okta", SOURCE, other)
    assert isinstance(one, Receipt)
    assert isinstance(two, Receipt)
    assert (one.created, two.created) == (True, False)
    assert one.index == two.index


def test_the_longest_record_that_is_cut_is_the_servers() -> None:
    assert MAX_READ == WINDOW
    assert MAX_READ > MAX_KEPT


def test_a_log_that_keeps_the_secret_has_left_nothing_out(log: Log) -> None:
    index = log.log_entry(events(ONE)[0], original=original(ONE))
    log.check([ONE], *new(index))
    log.check([ONE], *old(index))


@pytest.mark.parametrize(
    "lie",
    [
        # Something else left out, or altered, beside the secret or in its stead.
        original(KEPT.record.replace(b"10.0.0.1", b"[redacted]"), *KEPT.pointers),
        original(
            KEPT.record.replace(b"10.0.0.1", b"[redacted]"),
            *KEPT.pointers,
            "/client/ip",
        ),
        original(ONE.replace(b"10.0.0.1", b"[redacted]"), "/client/ip"),
        original(KEPT.record.replace(b"00u9", b"00u8"), *KEPT.pointers),
        original(ONE.replace(S.encode(), b"other")),
        original(ONE.replace(S.encode(), b"other"), *KEPT.pointers),
        # Cut, and not said; not cut, and said; said of something else.
        original(KEPT.record),
        original(ONE, *KEPT.pointers),
        original(KEPT.record, "/client/ip"),
        original(KEPT.record, *KEPT.pointers, "/client/ip"),
        original(KEPT.record, ""),
        # All of it.
        original(b'"[redacted]"', ""),
        original(b"{}", ""),
    ],
)
@pytest.mark.parametrize("by_digest", [False, True])
def test_a_log_that_hides_more_than_secrets(
    lie: JsonValue, by_digest: bool, log: Log
) -> None:
    [event] = events(ONE)
    if by_digest:
        event = replace(event, id=f"sha256:{sha256(KEPT.record).hexdigest()}")
    log.refuses([ONE], *new(log.log_entry(event, original=lie)))


@pytest.mark.parametrize("redacted", [7, "x", {"a": 1}, [1], ["/a", 2], None])
def test_what_is_said_to_be_cut_is_no_list_of_places(redacted: Any, log: Log) -> None:  # noqa: ANN401
    whole: Any = original(KEPT.record)
    index = log.log_entry(events(ONE)[0], original={**whole, "redacted": redacted})
    with pytest.raises(MerkleError):
        log.check([ONE], *new(index))


def test_digests_of_a_record_are_of_what_is_kept(log: Log) -> None:
    two = record("u3", USER, {**USER, "id": "00u8"}, token=S)
    first, second = log.log_records(two)
    log.check([two], *new(first, second))
    wrong: JsonValue = {"id": "u3#2", "record_sha256": sha256(KEPT.record).hexdigest()}
    false = log.log_entry(events(two)[1], event=wrong)
    log.refuses([two], *new(first, false))
    digest = sha256(cut_secrets(two).record).hexdigest()[:16]
    [event, _] = events(two)
    index = log.log_entry(replace(event, id=f"u3#1~{digest}"))
    log.check([two], *old(index))


def test_a_short_record_with_a_long_secret_is_kept(log: Log) -> None:
    long = json.dumps({"uuid": "u4", "token": "x" * MAX_KEPT}).encode()
    [event] = events(long)
    log.check([long], *new(log.log_entry(event)))
    named: JsonValue = {
        "id": "u4",
        "record_sha256": sha256(cut_secrets(long).record).hexdigest(),
    }
    index = log.log_entry(event, original=None, event=named)
    log.refuses([long], *new(index))
