"""Lies in single members and answers, in their variations.

Those that a user would name are in the catalogue (`tests/hostile`), told to every tool.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from provlog.client import AsyncClient, RefusedError
from provlog.merkle.encoding import encode_base64
from provlog.merkle.errors import (
    ContentError,
    InconsistencyError,
    MalformedError,
    ProofError,
    VerificationError,
)
from provlog.merkle.hashing import leaf_hash
from provlog.server.intake.event import Event, parse_event
from provlog.server.intake.members import split_members
from support.lying_log import NOW, NS, Json, LyingLog, Served, event

Change = Callable[[Json], None]


def rewriting(path: str, change: Callable[[Any], None]) -> Callable[[str, Json], None]:
    def rewrite(found: str, body: Json) -> None:
        if found == path:
            change(body)

    return rewrite


ALTERATIONS: Mapping[str, Json] = {
    "type": event(type="role.revoke"),
    "source": event(source="urn:okta:other"),
    "time": event(time="2026-11-21T17:53:55.517Z"),
    "seq": event(sequence="18"),
    "no-seq": event(sequence=None),
    "extension": event(traceparent="00-ac"),
    "no-data": event(data=None),
    "more": event(data={**event()["data"], "target": {"id": "x"}}),  # type: ignore[dict-item]
    "less": event(
        data={k: v for k, v in event()["data"].items() if k != "outcome"}  # type: ignore[union-attr]
    ),
    "true-is-not-1": event(
        data={
            **event()["data"],  # type: ignore[dict-item]
            "changes": [{"op": "add", "path": "roles", "value": 1}],
        }
    ),
}


@pytest.mark.parametrize("name", ALTERATIONS)
async def test_an_entry_that_differs_from_what_was_sent(
    name: str, client: AsyncClient, log: LyingLog
) -> None:
    def alter(body: Any) -> None:  # noqa: ANN401
        log.leaves.pop()
        log.disclosures.pop()
        log.ids.clear()
        _, index = log.append(ALTERATIONS[name])
        body.update(log.receipt(index))

    log.rewrite = rewriting("events", alter)
    with pytest.raises(ContentError):
        await client.submit(event())


Members = Callable[[Event, Json], object]
MEMBER_LIES: Mapping[str, Members] = {
    "actor-moved": lambda event, members: members["actor"].update(ns="urn:x"),  # type: ignore[union-attr]
    "target-ns": lambda event, members: members["target"].update(ns="urn:x"),  # type: ignore[union-attr]
    "time-as-sent": lambda event, members: members["event"].update(time="2026"),  # type: ignore[union-attr]
    "id": lambda event, members: members["event"].update(id="e-2"),  # type: ignore[union-attr]
    "detail": lambda event, members: members["actor_details"].clear(),  # type: ignore[union-attr]
    "added": lambda event, members: members.update(note="x"),
    "dropped": lambda event, members: members.pop("context"),
}


@pytest.mark.parametrize("name", MEMBER_LIES)
async def test_an_entry_with_a_member_changed(
    name: str, client: AsyncClient, log: LyingLog
) -> None:
    def alter(body: Any) -> None:  # noqa: ANN401
        log.leaves.pop()
        log.disclosures.pop()
        parsed = parse_event(event(), now_ms=0)
        members = split_members(parsed, NS, {})
        MEMBER_LIES[name](parsed, members)
        body.update(log.receipt(log.append_members(parsed, members)))

    log.rewrite = rewriting("events", alter)
    with pytest.raises(ContentError):
        await client.submit(event())


@pytest.mark.parametrize(
    "time", ["2026-11-20T17:53:55.516Z", "2026-11-21T17:53:55.517Z"]
)
async def test_an_entry_backdated_beside_the_time_as_sent(
    time: str, client: AsyncClient, log: LyingLog
) -> None:
    def backdate(body: Any) -> None:  # noqa: ANN401
        log.leaves.pop()
        log.disclosures.pop()
        parsed = replace(parse_event(event(), now_ms=0), time=time)
        members = split_members(parsed, NS, {})
        body.update(log.receipt(log.append_members(parsed, members)))

    log.rewrite = rewriting("events", backdate)
    with pytest.raises(ContentError, match="time"):
        await client.submit(event())


async def test_an_entry_that_is_no_event(client: AsyncClient, log: LyingLog) -> None:
    log.rewrite = rewriting("events", lambda body: body.update(log.receipt(0)))
    with pytest.raises(ContentError, match="not an event"):
        await client.submit(event())


@pytest.mark.parametrize("members", [5, {"event": "x"}])
async def test_an_entry_of_a_version_to_come_is_not_taken_for_the_event(
    members: object, client: AsyncClient, log: LyingLog
) -> None:
    fields = {"epoch": 1, "kind": "event", "members": members, "n": 0, "recorded": NOW}

    def replace_leaf(request: web.Request) -> web.Response:
        log._add(json.dumps({**fields, "v": 2}, separators=(",", ":")).encode(), [])
        body: Json = {
            "checkpoint": log.note().decode(),
            "results": [log._result((201, len(log.leaves) - 1), len(log.leaves))],
        }
        return web.json_response(body)

    log.faults.extend([replace_leaf] * 2)
    with pytest.raises(ContentError, match="not an event"):
        await client.submit_batch([event()])
    with pytest.raises(ContentError, match="not an event"):
        await client.submit_records("okta", "urn:a", b"{}")


async def test_an_old_entry_claimed_for_an_id_that_is_new(
    client: AsyncClient, log: LyingLog
) -> None:
    # Claiming to know an event spares a log the comparison of what an older copy may
    # lack; for an id that the client has just made there is no older copy.
    def claim(request: web.Request) -> web.Response:
        sent = json.loads(log.bodies[-1])
        _, index = log.append({**sent, "traceparent": "changed"})
        return web.json_response(log.receipt(index), status=200)

    log.faults.append(claim)
    sent = {**event(), "id": None}
    with pytest.raises(ContentError):
        await client.submit(sent)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"\xff", b"[" * 9999])
async def test_answers_that_are_none(
    body: bytes, client: AsyncClient, log: LyingLog
) -> None:
    for _ in range(5):
        log.faults.append(lambda request: web.Response(body=body))
    with pytest.raises(MalformedError):
        await client.submit(event())
    with pytest.raises((MalformedError, VerificationError)):
        await client.submit_batch([event()])
    with pytest.raises(MalformedError):
        await client.checkpoint()
    with pytest.raises(MalformedError):
        await client.inclusion(0)
    with pytest.raises(MalformedError):
        await client.entry(0)


async def test_another_entry_than_the_one_asked_for(
    client: AsyncClient, log: LyingLog
) -> None:
    log.append(event(id="a"))
    log.append(event(id="b"))
    log.rewrite = rewriting("entry", lambda body: body.update(log.receipt(1)))
    with pytest.raises(ContentError):
        await client.entry(2)
    with pytest.raises(ContentError):
        await client.entry(source="urn:okta:acme", event_id="b")


async def test_an_entry_of_another_source_or_kind_with_its_id_withheld(
    client: AsyncClient, log: LyingLog
) -> None:
    log.append(event(id="a"))
    log.append(event(id="a", source="urn:b"))
    for index in (0, 2):
        bare = {**log.receipt(index), "disclosures": []}
        log.rewrite = rewriting("entry", lambda body, bare=bare: body.update(bare))  # type: ignore[misc]
        with pytest.raises(ContentError, match="of that source"):
            await client.entry(source="urn:okta:acme", event_id="a")


@pytest.mark.parametrize("value", [True, 1.0, "1"])
@pytest.mark.parametrize("name", ["status", "index"])
async def test_a_number_in_an_answer_that_is_none(
    name: str, value: object, client: AsyncClient, log: LyingLog
) -> None:
    log.rewrite = rewriting(
        "batch", lambda body: body["results"][0].update({name: value})
    )
    with pytest.raises(MalformedError):
        await client.submit_batch([event()])


async def test_an_inclusion_proof_of_another_place_or_tree(
    client: AsyncClient, log: LyingLog
) -> None:
    for place in range(6):
        log.append(event(id=f"e{place}"))
    fork = LyingLog()
    for place in range(7):
        fork.append(event(id=f"f{place}"))
    log.rewrite = rewriting("inclusion", lambda body: body.update(index=1))
    with pytest.raises((ContentError, ProofError)):
        await client.inclusion(2)

    def of_another_leaf(body: Any) -> None:  # noqa: ANN401
        body["index"] = 3
        body["hashes"] = [encode_base64(each) for each in log.inclusion(3, 7)]
        body["leaf_hash"] = encode_base64(leaf_hash(log.leaves[3]))

    log.rewrite = rewriting("inclusion", of_another_leaf)
    with pytest.raises(ContentError, match="another proof"):
        await client.inclusion(2)

    def from_fork(body: Any) -> None:  # noqa: ANN401
        body["hashes"] = [encode_base64(each) for each in fork.inclusion(2, 5)]

    log.rewrite = rewriting("inclusion", from_fork)
    with pytest.raises(ProofError):
        await client.inclusion(2, size=5)


@pytest.mark.parametrize("changed", ["leaf_hash", "checkpoint"])
async def test_an_inclusion_proof_that_is_not_of_the_checkpoint_beside_it(
    changed: str, client: AsyncClient, log: LyingLog
) -> None:
    log.append(event(id="a"))
    other: Json = {
        "leaf_hash": encode_base64(bytes(32)),
        "checkpoint": log.note(1).decode(),
    }
    log.rewrite = rewriting(
        "inclusion", lambda body: body.update({changed: other[changed]})
    )
    with pytest.raises(ContentError, match="checkpoint beside it"):
        await client.inclusion(1)


async def test_a_fork_told_to_a_submitter_one_entry_later(
    client: AsyncClient, log: LyingLog, served: Served
) -> None:
    # The new entry stands right behind the remembered head, so the receipt's own proof
    # is what has to give it away.
    fork = log.fork()
    await client.submit(event(id="a"))
    fork.append(event(id="b"))
    served.switch(fork)
    with pytest.raises(InconsistencyError):
        await client.submit(event(id="c"))
    with pytest.raises(InconsistencyError):
        await client.submit_batch([event(id="d")])
    with pytest.raises(InconsistencyError):
        await client.submit_records("okta", "urn:a", b'{"uuid":"1"}')
    with pytest.raises(InconsistencyError):
        await client.entry(1)
    with pytest.raises(InconsistencyError):
        await client.inclusion(1)


async def test_an_older_consistent_checkpoint_is_stale_and_replaces_nothing(
    client: AsyncClient, log: LyingLog
) -> None:
    for place in range(5):
        log.append(event(id=f"e{place}"))
    newest = await client.checkpoint()
    log.served_size = 3
    stale = await client.checkpoint()
    assert stale.checkpoint.size == 3
    assert client._heads.newest == newest


async def test_no_right_to_ask_is_not_a_lie(client: AsyncClient, log: LyingLog) -> None:
    log.append(event(id="a"))
    await client.checkpoint()
    log.append(event(id="b"))
    log.faults.extend([lambda request: None, lambda request: web.Response(status=403)])
    with pytest.raises(RefusedError):
        await client.checkpoint()
