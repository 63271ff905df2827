"""Every record that was sent has its entry, and no entry is of anything else."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace

from provlog.client import AsyncClient, Receipt, RefusedError
from provlog.client.accounting import MAX_KEPT, require_records
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.errors import ContentError
from provlog.server.intake.event import MAX_EVENT_BYTES
from provlog.server.intake.members import split_members
from support.accounted import Log, events, new, old, record
from support.google import activity, flattened, google_event
from support.lying_log import NS, cut_as_server
from support.okta import APP, GROUP, SOURCE, USER

OTHER_USER = {**USER, "id": "00u8"}


ONE = record("u1", USER)
TWO = record("u2", USER)
THREE = record("u3", USER, OTHER_USER, GROUP)
LARGE = record("u4", USER, OTHER_USER, padding="x" * MAX_KEPT)
MENTIONS = record("u5", USER, transaction={"id": "u1"})
BROKEN = b'{"uuid":"u6"'


@pytest.fixture
def log() -> Log:
    return Log()


def test_the_longest_record_kept_is_the_servers() -> None:
    assert MAX_KEPT == MAX_EVENT_BYTES
    assert len(events(THREE)) == len(events(LARGE)) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"[%b]" % b",".join([ONE, TWO, THREE, LARGE, MENTIONS]),
        b"\n".join([ONE, THREE, BROKEN, b'"\xff"', b"7", LARGE, ONE, THREE, BROKEN]),
        b'[{"uuid":"has \\" quote"}, {"uuid":7}, "x", "x", {}, {"uuid":"\\u0041"}]',
        record("u#2", USER) + b"\n" + record("u#3", USER, OTHER_USER),
        record("u~0123456789abcdef", USER, OTHER_USER),
    ],
)
async def test_what_the_server_makes_of_records_is_accepted_and_again(
    body: bytes, client: AsyncClient, log: Log
) -> None:
    first = await client.submit_records("okta", SOURCE, body)
    again = await client.submit_records("okta", SOURCE, body)
    assert len(first) == len(again) >= len(cut_as_server(body))
    assert all(isinstance(each, Receipt) and not each.created for each in again)


async def test_the_id_of_a_record_may_be_made_of_values_of_it(
    client: AsyncClient, log: Log
) -> None:
    created = google_event("CREATE_USER", USER_EMAIL="a@b.c")
    several = activity(created, google_event("SUSPEND_USER", USER_EMAIL="a@b.c"))
    several["id"] |= {"uniqueQualifier": 77}
    records = [flattened(activity(created)), several, {"id": 7, "name": "x"}]
    body = json.dumps({"kind": "admin#reports#activities", "items": records}).encode()
    first = await client.submit_records("google", SOURCE, body)
    again = await client.submit_records("google", SOURCE, json.dumps(records).encode())
    nested = json.dumps(activity(created)).encode()
    known = await client.submit_records("google", SOURCE, nested)
    assert [created_of(each) for each in (first, again, known)] == [
        [True] * 4,
        [False] * 4,
        [False],
    ]


def created_of(results: Sequence[Any]) -> list[bool]:
    return [each.created for each in results if isinstance(each, Receipt)]


def test_an_id_made_of_values_that_are_not_all_the_record_s(log: Log) -> None:
    data = record("a/b", USER, published="2026-11-21 08:00:00Z")
    [event] = events(data)
    for name, named in (
        ("a/b", True),
        ("u1/00u9", False),
        ("00u9/Ann", True),
        ("00u9/2026-11-21T08:00:00.000Z", True),
        ("00u9/2026-11-21T08:00:00.001Z", False),
        ("00u9/", False),
        ("/", False),
        ("00u9/x", False),
    ):
        index = log.log_entry(replace(event, id=name))
        check = log.check if named else log.refuses
        check([data], *new(index))


async def test_a_record_sent_again_in_another_form_is_known(
    client: AsyncClient, log: Log
) -> None:
    # With other details, with a target more, and both forms in one body.
    forms = [
        record("u3", USER, OTHER_USER, severity="INFO"),
        record("u3", USER, OTHER_USER, severity="WARN"),
        record("u3", USER, OTHER_USER, APP, {**USER, "id": "00u7"}),
    ]
    for body in (forms[0], forms[1], b"\n".join([*forms, ONE])):
        results = await client.submit_records("okta", SOURCE, body)
    created = [each.created for each in results if isinstance(each, Receipt)]
    assert created == [False, False, False, False, False, False, True, True]


async def test_another_record_under_a_taken_id_has_the_id_of_its_bytes(
    client: AsyncClient, log: Log
) -> None:
    other = record("u3", {**USER, "displayName": "Eve"}, {**USER, "id": "00u5"})
    body = b"\n".join([THREE, other, THREE, other])
    results = await client.submit_records("okta", SOURCE, body)
    ids = [
        each.verified.disclosures["event"].value["id"]  # type: ignore[index,call-overload]
        for each in results
        if isinstance(each, Receipt)
    ]
    digest = sha256(other).hexdigest()[:16]
    assert ids[:4] == ["u3#1", "u3#2", f"u3#1~{digest}", f"u3#2~{digest}"]
    assert ids[4:] == ids[:4]


def test_an_id_of_the_whole_digest_is_the_records(log: Log) -> None:
    digest = sha256(TWO).hexdigest()
    for suffix, fine in ((digest, True), (sha256(ONE).hexdigest(), False)):
        [event] = events(TWO)
        index = log.log_entry(replace(event, id=f"u2~{suffix}"))
        for outcome in (*new(index), *old(index)):
            if fine:
                log.check([TWO], outcome)
            else:
                log.refuses([TWO], outcome)


def test_refused_events_stand_for_a_record_or_a_part_of_it(log: Log) -> None:
    one, first, second, two = log.log_records(ONE, THREE, TWO)
    sent = [ONE, THREE, TWO]
    log.check(sent, (201, one), (410, 9), (201, second), (201, two))
    log.check(sent, (201, one), (410, 9), (410, 9), (201, two))
    log.check(sent, (410, 9), (201, first), (410, 9), (410, 9))
    log.check(sent, (410, 9), (410, 9), (410, 9), (410, 9))
    log.refuses(sent, (410, 9), (410, 9))
    log.refuses(sent, (201, one), (201, two), (410, 9))


def test_results_are_in_order_and_complete(log: Log) -> None:
    one, two = log.log_records(ONE, TWO)
    log.check([ONE, TWO], *new(one, two))
    for outcomes in ((), (one,), (two,), (two, one), (one, one), (one, two, one)):
        log.refuses([ONE, TWO], *new(*outcomes))
        log.refuses([ONE, TWO], *old(*outcomes))
    log.check([ONE, ONE], *new(one), *old(one))


def test_more_results_than_a_batch_can_have(log: Log) -> None:
    problem = RefusedError("erased", status=410)
    require_records([problem] * 1000, SOURCE, [ONE])
    with pytest.raises(ContentError, match="more results"):
        require_records([problem] * 1001, SOURCE, [ONE])


@pytest.mark.parametrize(
    "kept", ['{"', '"}', "{", "u1", '{"uuid":"u1"}', ONE.decode() + " ", "", "[]"]
)
def test_an_original_that_is_not_the_record(kept: str, log: Log) -> None:
    [event] = events(ONE)
    text: JsonValue = {"media_type": "application/json", "body": kept}
    encoded: JsonValue = {
        "media_type": "application/octet-stream",
        "body_base64": encode_base64(kept.encode()),
    }
    for event_id in ("u1", f"sha256:{sha256(ONE).hexdigest()}"):
        for original in (text, encoded):
            index = log.log_entry(replace(event, id=event_id), original=original)
            log.refuses([ONE], *new(index))


def test_a_new_entry_without_the_record(log: Log) -> None:
    [event] = events(ONE)
    digest: JsonValue = {"id": "u1", "record_sha256": sha256(ONE).hexdigest()}
    bare = log.log_entry(event, original=None)
    hashed = log.log_entry(event, original=None, event=digest)
    log.refuses([ONE], *new(bare))
    log.refuses([ONE], *new(hashed))


def test_the_second_event_of_a_record_does_not_stand_for_the_first(log: Log) -> None:
    first, second = log.log_records(THREE)
    log.check([THREE], *new(first, second))
    log.refuses([THREE], *new(second))
    log.refuses([THREE], *new(second, first))
    log.refuses([THREE], *old(second))
    wrong: JsonValue = {"id": "u3#2", "record_sha256": sha256(ONE).hexdigest()}
    false = log.log_entry(events(THREE)[1], event=wrong)
    log.refuses([THREE], *new(first, false))


def test_a_large_record_is_proved_by_its_digest_alone(log: Log) -> None:
    first, second = log.log_records(LARGE)
    log.check([LARGE], *new(first, second))
    other = LARGE.replace(b"xx", b"xy", 1)
    log.refuses([other], *new(first, second))
    log.check([other], *old(first, second))


@pytest.mark.parametrize("created", [True, False])
def test_an_entry_of_the_record_under_an_id_that_is_not_its(
    created: bool, log: Log
) -> None:
    [event] = events(ONE)
    status = 201 if created else 200
    for false in (
        "u2",
        "uuid",
        "u",
        "1",
        "u1#1#1",
        f"u1~{'0' * 16}",
        "sha256:",
        "None",
    ):
        index = log.log_entry(replace(event, id=false))
        log.refuses([ONE], (status, index))
    named = log.log_entry(replace(event, id=f"sha256:{sha256(ONE).hexdigest()}"))
    log.check([ONE], (status, named))


def test_an_unrelated_entry_of_old(log: Log) -> None:
    one, _ = log.log_records(ONE, TWO)
    log.refuses([TWO], *old(one))
    log.refuses([ONE, TWO], *old(one, one))
    log.refuses([BROKEN], *old(one))
    log.refuses([b"\xff" + ONE], *old(one))
    log.refuses([ONE], *old(0))


def test_the_entry_of_a_record_that_another_one_mentions(log: Log) -> None:
    [one] = log.log_records(ONE)
    log.check([ONE], *old(one))
    log.refuses([MENTIONS], *old(one))
    log.refuses([ONE, MENTIONS], *new(one), *old(one))


def test_an_entry_of_another_source(log: Log) -> None:
    [one] = log.log_records(ONE)
    with pytest.raises(ContentError, match="that source"):
        log.check([ONE], *new(one), source="urn:okta:other")


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("name", ["event", "original", "target_details"])
def test_a_member_withheld_of_a_record(name: str, status: int, log: Log) -> None:
    [one] = log.log_records(ONE)
    names = list(split_members(events(ONE)[0], NS, {}))
    del log.disclosures[one][names.index(name)]
    log.refuses([ONE], (status, one))


def test_an_entry_whose_id_is_no_text(log: Log) -> None:
    [event] = events(ONE)
    for value in (None, 1, True, ["u1"]):
        index = log.log_entry(event, event={"id": value})  # type: ignore[dict-item]
        log.refuses([ONE], *new(index))
        log.refuses([ONE], *old(index))


async def test_a_lie_about_records_reaches_the_caller(
    client: AsyncClient, log: Log
) -> None:
    def shorten(path: str, body: Any) -> None:  # noqa: ANN401
        del body["results"][1]

    log.rewrite = shorten
    with pytest.raises(ContentError, match="the record sent"):
        await client.submit_records("okta", SOURCE, b"\n".join([ONE, TWO, THREE]))
    with pytest.raises(ContentError, match="every record"):
        await client.submit_records("okta", SOURCE, b"\n".join([ONE, TWO]))
