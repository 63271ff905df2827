"""Generated calls over HTTP: each is answered as the API's description says.

A real service on a real SQLite file listens on the loopback; schemathesis makes up the
calls, right ones and wrong ones, under every role's token and without one.
"""

import logging
from collections.abc import Callable, Iterator

import pytest
from schemathesis import CheckContext, GenerationMode, Response
from schemathesis.specs.openapi.checks import negative_data_rejection

from provlog.server.http.app import HttpSettings
from provlog.server.instance import Instance
from provlog.server.selfcheck.passes import Pass
from provlog.server.storage.base import SourceRecord
from provlog.server.tokens import mint_token
from support.generated_calls import (
    AnyCase,
    Caller,
    aimed,
    described,
    of_one_event,
    operations,
)
from support.instances import SOURCE, Served
from support.loopback import Loopback, serving

EXAMPLES = 22
LEAST_CALLS = 900
ENTRIES = 300
TILES = ("0/000", "0/001.p/20", "1/000", "1/000.p/1", "entries/000", "entries/001.p/9")
HOOKED = "urn:okta:hooked"


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    folder = tmp_path_factory.mktemp("contract")
    # A long-poll answers at once: what it waits for has tests of its own.
    with serving(folder, settings=HttpSettings(poll_seconds=0)) as running:
        yield running


@pytest.fixture(scope="module")
def held(loopback: Loopback) -> dict[str, tuple[str, ...]]:
    """Put into the instance what aimed calls ask for; return its names."""
    spare = loopback.run(_fill(loopback.served))
    return {
        "log": ("main", "other"),
        "path": TILES,
        "source": (SOURCE, HOOKED, "urn:nothing"),
        "id": ("filler-1", "filler-2", *spare),
    }


async def _fill(served: Served) -> list[str]:
    service, log = served.service, served.log
    await service.create_log("other", "log.example.com/other", public=True)
    await served.fill(ENTRIES)
    await service.register_source(log, SourceRecord(HOOKED, HOOKED, "okta"), "test")
    ids = []
    for _ in range(3):
        minted = mint_token(logs=[log.id], roles=["monitor"], now=service.clock.now())
        await service.store_token(log, minted.record, "test")
        ids.append(minted.record.id)
    return ids


async def _hook_token(served: Served) -> str:
    service, log = served.service, served.log
    minted = mint_token(
        logs=[log.id], roles=["hook"], sources=[HOOKED], now=service.clock.now()
    )
    await service.store_token(log, minted.record, "test")
    return minted.text


@pytest.fixture
def caller(loopback: Loopback) -> Iterator[Caller]:
    roles = loopback.served.made.tokens
    bearers = {role: loopback.bearer(role) for role in roles}
    hook = loopback.run(_hook_token(loopback.served))
    bearers |= {"hook": {"Authorization": f"Bearer {hook}"}, "nobody": {}}
    calling = Caller(loopback.url, bearers)
    yield calling
    calling.close()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("profile", ["described", "aimed"])
def test_generated_calls_are_answered_as_described(
    loopback: Loopback,
    held: dict[str, tuple[str, ...]],
    caller: Caller,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
    profile: str,
    mode: GenerationMode,
) -> None:
    document = described()
    if profile == "aimed":
        document = aimed(held, ENTRIES + 20)
        caller.checks.remove(negative_data_rejection)
    before = _findings(loopback.served.made.instance)
    for operation in operations(document):
        caller.call(operation, mode, EXAMPLES)
    record_property("calls", caller.count)
    print(f"{caller.count} calls: {sorted(caller.statuses.items())}")
    assert caller.count >= LEAST_CALLS
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
    assert _findings(loopback.served.made.instance) == before


def test_what_the_description_calls_an_event_is_taken(
    loopback: Loopback, caller: Caller
) -> None:
    caller.bearers = {"submitter": loopback.bearer("submitter")}
    caller.checks.append(_taken)
    [submit] = operations(of_one_event(aimed({"log": ["main"]}, 0)))
    caller.call(submit, GenerationMode.POSITIVE, 200)
    assert caller.statuses[201] >= 50


def _taken(ctx: CheckContext, response: Response, case: AnyCase) -> None:
    """Fail where an event was refused for something that a schema can say."""
    if response.status_code == 422:
        # JSON Schema takes 3.0 for an integer, and cannot compare text with 2^53.
        assert isinstance(case.body, dict)
        sent = case.body.get(response.json()["pointer"].removeprefix("/"))
        too_large = str(sent).isdecimal() and int(str(sent)) >= 2**53
        assert isinstance(sent, float) or too_large, response.text
    else:
        # 409 where two events were given one id.
        assert response.status_code in (200, 201, 409), response.text


def _findings(instance: Instance) -> list[str]:
    """Return what recomputing everything that is stored finds.

    The tokens that the fixture stored without an entry are among it.
    """
    check = Pass(instance)
    for _ in check.steps():
        pass
    return [finding.text() for finding in check.findings.kept]
