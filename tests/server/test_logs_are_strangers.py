"""Whoever has a token of one log learns nothing of another, nor that there is one.

Every route is asked for a log that the token does not reach and for one that does not
exist: the answers are the same byte for byte, and so is what was read for them.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from provlog.server.http.routes import routes
from provlog.server.log import Log
from provlog.server.tokens import mint_token
from support.events import event_json
from support.instances import SOURCE, Reply, Served, served
from support.services import statements

ROLES: Mapping[str, dict[str, Any]] = {
    "submitter": {"roles": ["submitter"], "sources": ["*"]},
    "monitor": {"roles": ["monitor"]},
    "auditor": {"roles": ["auditor", "monitor"]},
    "privacy": {"roles": ["privacy"]},
    "admin": {"roles": ["admin"]},
    "hook": {"roles": ["hook"], "sources": [SOURCE]},
    "everything": {
        "roles": ["submitter", "monitor", "auditor", "privacy", "admin"],
        "sources": ["*"],
    },
}
QUERIES = {
    "/logs/{log}/checkpoint": "?newer_than=0",
    "/logs/{log}/proofs/inclusion": "?index=1",
    "/logs/{log}/proofs/consistency": "?from=1&to=2",
    "/logs/{log}/proofs/range": "?start=0&end=1",
    "/logs/{log}/entries": f"?source={SOURCE}&id=9f2c",
}
BODIES: Mapping[str, Any] = {
    "/logs/{log}/events": event_json(),
    "/logs/{log}/hooks/{source}": {"uuid": "u"},
    "/logs/{log}/tokens": {"roles": ["monitor"]},
    "/logs/{log}/sources": {"uri": SOURCE},
}
CHANGING = {"date", "x-request-id"}


class Strangers:
    """Two logs of one server, `main` and `other`, and a token of `main` by role."""

    def __init__(self, log: Served, other: Log, hidden: str) -> None:
        self.log = log
        self.other = other
        self.hidden_token = hidden
        self.tokens: dict[str, str] = {}

    async def ask(
        self, method: str, path: str, role: str | None, body: object = None
    ) -> tuple[int, dict[str, str], bytes, list[str]]:
        """Return an answer without what differs each time, and what was read for it."""
        headers = {}
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        said = statements(self.log.service.storage)
        async with self.log.client.request(
            method, URL(path, encoded=True), json=body, headers=headers
        ) as answer:
            text = re.sub(rb'"request_id":"[^"]*"', b"", await answer.read())
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in CHANGING
            }
            return answer.status, kept, text, said.copy()


@pytest.fixture
async def strangers(tmp_path: Path) -> AsyncIterator[Strangers]:
    async with served(tmp_path, sources=("*",)) as log:
        service = log.service
        other = await service.create_log("other", "log.example.com/o", public=False)
        hidden = mint_token(logs=[other.id], roles=["submitter"], sources=["*"], now=0)
        await service.store_token(other, hidden.record, "test")
        made = Strangers(log, other, hidden.record.id)
        assert (await _submit(log, hidden.text, event_json())).status == 201
        for role, options in ROLES.items():
            minted = mint_token(logs=[log.log.id], now=0, **options)
            await service.store_token(log.log, minted.record, "test")
            made.tokens[role] = minted.text
        yield made


async def _submit(log: Served, token: str, event: Any) -> Reply:  # noqa: ANN401
    headers = {"Authorization": f"Bearer {token}"}
    async with log.client.post(
        "/logs/other/events", json=event, headers=headers
    ) as answer:
        return Reply(answer.status, answer.headers, await answer.read())


def paths_of(name: str, hidden: str) -> Iterable[tuple[str, str, Any]]:
    """Yield method, path and body of every route below a log."""
    fields = {"log": name, "source": SOURCE, "id": hidden, "index": "1"}
    for route in routes():
        if "{log}" not in route.path:
            continue
        template = route.path.replace("{path:.+}", "entries/000.p/2")
        query = QUERIES.get(route.path, "")
        body = BODIES[route.path] if route.method == "POST" else None
        yield route.method, template.format_map(fields) + query, body


@pytest.mark.parametrize("role", [*ROLES, None], ids=str)
async def test_a_log_out_of_reach_answers_as_one_that_does_not_exist(
    strangers: Strangers, role: str | None
) -> None:
    asked, size = 0, strangers.other.released.size
    for there, nowhere in zip(
        paths_of("other", strangers.hidden_token),
        paths_of("nowhere", strangers.hidden_token),
        strict=True,
    ):
        method, path, body = there
        answer = await strangers.ask(method, path, role, body)
        assert answer == await strangers.ask(nowhere[0], nowhere[1], role, nowhere[2])
        assert (path, answer[0]) == (path, 401 if role is None else 404)
        asked += 1
    assert asked >= 15
    assert strangers.other.released.size == size


async def test_a_token_of_another_log_is_revoked_as_one_that_does_not_exist(
    strangers: Strangers,
) -> None:
    answers = [
        (await strangers.ask("DELETE", f"/logs/main/tokens/{token}", "admin"))[:3]
        for token in (strangers.hidden_token, "000000000000")
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


async def test_an_event_and_a_source_of_another_log_are_unknown_here(
    strangers: Strangers,
) -> None:
    for path in ("entries", "proofs/inclusion"):
        answers = [
            (
                await strangers.ask(
                    "GET", f"/logs/main/{path}?source={SOURCE}&id={name}", role
                )
            )[:3]
            for name in ("9f2c", "unknown")
            for role in ("submitter", "auditor")
        ]
        assert {answer[0] for answer in answers} == {404}
        assert len({answer[2] for answer in answers}) == 1
    body = {"uri": SOURCE, "ns": "of.its.own"}
    status, *_ = await strangers.ask("POST", "/logs/main/sources", "admin", body)
    assert status == 201


async def test_lists_hold_one_s_own_log_only(strangers: Strangers) -> None:
    _, _, logs, _ = await strangers.ask("GET", "/logs", "admin")
    assert b"main" in logs
    for path in ("/logs", "/logs/main/tokens", "/logs/main/sources", "/readyz"):
        status, _, text, _ = await strangers.ask("GET", path, "admin")
        assert status == 200
        assert b"other" not in text
        assert b"log.example.com/o" not in text
        assert strangers.hidden_token.encode() not in text
        assert SOURCE.encode() not in text or path == "/logs/main/tokens"


@pytest.mark.parametrize("role", list(ROLES))
async def test_nobody_of_one_log_finds_out_a_name_by_creating_it(
    strangers: Strangers, role: str
) -> None:
    answers = [
        await strangers.ask(
            "POST", "/logs", role, {"name": name, "origin": f"log.example.com/{name}"}
        )
        for name in ("o", "other", "nowhere")
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 403


async def test_what_is_wrong_with_another_log_is_not_told(
    strangers: Strangers,
) -> None:
    strangers.other.halt("for a test")
    there = await strangers.ask("GET", "/logs/other", "monitor")
    nowhere = await strangers.ask("GET", "/logs/nowhere", "monitor")
    assert there == nowhere
    status, *_ = await strangers.ask("GET", "/logs/main/checkpoint", "monitor")
    assert status == 200
