"""An instance whose every table has rows of every sort, and bits turned in them."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from provlog.merkle.encoding import JsonValue
from provlog.server.initialise import Place, initialise
from provlog.server.instance import Instance
from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import Event
from provlog.server.log import Log
from provlog.server.selfcheck.findings import Finding
from provlog.server.selfcheck.passes import Pass
from provlog.server.service import Service
from provlog.server.storage.base import Cursor, SourceRecord
from provlog.server.tokens import mint_token
from support.events import NOW_MS, event_of
from support.services import ORIGIN, now_ms

SOURCE = "urn:okta:acme"
PROVIDER = "urn:okta:records"
NAMESPACE = "okta.example.com"
ENTRIES = 264

# What can be sent in more ways than the disclosures tell apart.
_PARTIES: list[dict[str, JsonValue]] = [
    {},
    {"actor": {}, "target": {"id": None, "type": None}},
    {"actor": {"id": "a", "ns": None}, "target": {"id": "b", "ns": SOURCE}},
    {"actor": {"id": "a", "ns": "elsewhere"}, "context": {}},
    {
        "target": {"id": "t", "name": "Zoë", "f": 1.5, "n": None},
        "context": {"ip": "::"},
    },
    {"context": {"ticket": "T", "x": [1e22, -0.0, 2**60, None, True]}},
    {"changes": [], "resource": {"id": "r", "ns": "n"}, "outcome": None},
]


async def make_checked_instance(
    folder: Path, database_url: str | None = None, grant_to: str | None = None
) -> Instance:
    """Return an instance of two logs; `main` has a full tile and some more entries."""
    made = await initialise(
        Place(folder / "data", folder / "guard", database_url, grant_to),
        origin=ORIGIN,
        sources=(SOURCE, "*"),
        now=now_ms(),
    )
    async with Service.of(made.instance) as service:
        main = await service.log("main")
        assert main is not None
        other = await service.create_log("other", "log.example.com/other", public=True)
        await _register(service, main, other)
        await _fill(service, main, ENTRIES)
        await _fill(service, other, 4)
        await _set_cursor(service, main, PROVIDER)
        await _set_cursor(service, other, SOURCE)
    return made.instance


async def _register(service: Service, main: Log, other: Log) -> None:
    await service.register_source(main, SourceRecord(PROVIDER, NAMESPACE, "okta"), "me")
    await service.register_source(other, SourceRecord(SOURCE, SOURCE, None), "me")
    now = service.clock.now()
    minted = mint_token(
        logs=[main.id, other.id],
        roles=["submitter", "auditor"],
        sources=[PROVIDER, "urn:later"],
        now=now,
        note="Zoë's",
        rate=12.5,
        expires=now + 86_400_000,
    )
    await service.store_token(main, minted.record, "me", [other])
    for logs in (None, [other.id]):
        minted = mint_token(logs=logs, roles=["monitor"], now=now)
        await service.store_token(other, minted.record, "me")
        if logs is not None:
            await service.revoke_token(other, minted.record.id, "me")


async def _set_cursor(service: Service, log: Log, uri: str) -> None:
    async with service.storage.transaction() as transaction:
        await transaction.set_cursor(log.id, Cursor(uri, "read up to here", now_ms()))
        await transaction.commit()


async def _fill(service: Service, log: Log, size: int) -> None:
    events = [event_of(id=f"case-{n}", data=data) for n, data in enumerate(_PARTIES)]
    events += [event_of(id="timeless", time=None), event_of(id="seq", sequence="7")]
    events += _records() if log.record.name == "main" else []
    while log.released.size < size:
        head = log.released.size
        events += [event_of(id=f"filler-{head + n}") for n in range(size)]
        chosen, events = events[: size - head], []
        drafts = [
            log.drafter.event(
                event,
                NAMESPACE if event.source == PROVIDER else SOURCE,
                {"token": "t", "authentication": "bearer"},
            )
            for event in chosen
        ]
        await service.sequencer.submit(log, drafts)


def _records() -> list[Event]:
    okta = CONNECTORS["okta"]
    records: list[dict[str, JsonValue]] = [
        {"uuid": "u1", "eventType": "user.lifecycle.create", "actor": {"id": "00u1"}},
        {
            "uuid": "u2",
            "eventType": "group.user_membership.add",
            "published": "2022-03-22 14:21:53.225",
            "actor": {"id": "00u1", "type": "User", "displayName": "Bob"},
            "outcome": {"result": "SKIPPED", "reason": "there"},
            "target": [
                {"id": "00u2", "type": "User"},
                {"id": "00u3", "type": "User"},
                {"id": "00g1", "type": "UserGroup", "displayName": "G"},
            ],
        },
        {"eventType": "unheard.of", "published": 7},
    ]
    return [
        event
        for record in records
        for event in okta.to_events(json.dumps(record).encode(), PROVIDER, NOW_MS)
    ]


def copy_of(instance: Instance, folder: Path) -> Instance:
    """Return a copy that can be damaged: the database; keys and guard are shared."""
    copied = Instance(folder, instance.guard)
    folder.mkdir()
    shutil.copy(instance.database, copied.database)
    copied.keys.symlink_to(instance.keys)
    return copied


@contextmanager
def unprotected(path: Path) -> Iterator[apsw.Connection]:
    """Open a database without its triggers and constraints, which come back after."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous=OFF; BEGIN")
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    triggers = list(connection.execute(query))
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA ignore_check_constraints=ON")
    yield connection
    for _, statement in triggers:
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.close()


def check(instance: Instance, only: str | None = None) -> list[Finding]:
    """Return what a pass over the instance finds."""
    run = Pass(instance, only, thorough=True)
    for _ in run.steps():
        pass
    return run.findings.kept
