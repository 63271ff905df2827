"""What every delivery goes through, whatever its answer: room, rates and the log."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from provlog.merkle.encoding import JsonValue
from provlog.server.delivery import Delivered, deliver
from provlog.server.http.auth import (
    Caller,
    charge_rate,
    require_any_rate,
    require_rate,
)
from provlog.server.http.context import CROWD, SERVICE
from provlog.server.http.requests import read_body
from provlog.server.http.signed_hooks import (
    AUTHENTICATION,
    require_signature,
    signed_settings,
)
from provlog.server.intake.connectors import Connector
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord


@asynccontextmanager
async def received(
    request: web.Request, caller: Caller, limit: int
) -> AsyncIterator[bytes]:
    """Yield the body of a delivery, signed where that was agreed, in the room it has.

    Raises the problem of what stands in the way.
    """
    require_any_rate(request.app[SERVICE], caller)
    crowd, token = request.app[CROWD], caller.token.id
    with crowd.place(caller.log, token, request.content_length, limit):
        body = await read_body(request, limit)
        settings = signed_settings(request)
        if settings is not None:
            require_signature(request, settings, body)
        yield body


async def log_records(
    request: web.Request,
    caller: Caller,
    source: SourceRecord,
    records: Sequence[bytes],
    connector: Connector | None = None,
    more: dict[str, JsonValue] | None = None,
) -> Delivered:
    """Return once the records are durable entries, and paid for by the rates.

    `connector` reads them where it is another than the source's; `more` is what else is
    known of how they came.
    """
    service, token = request.app[SERVICE], caller.token.id
    require_rate(service, caller, len(records))
    return await deliver(
        service,
        caller.log,
        source,
        records,
        {**_ingest(request, token), **(more or {})},
        token,
        _charging(service, caller, len(records)),
        connector,
    )


def _ingest(request: web.Request, token: str) -> dict[str, JsonValue]:
    if signed_settings(request) is not None:
        return {"authentication": AUTHENTICATION}
    return {"token": token, "authentication": "shared_secret"}


def _charging(service: Service, caller: Caller, paid: int) -> Callable[[int], None]:
    """Return what takes from the rates what events there are beyond the paid ones.

    A record may make many events, and some are durable also where the time runs out.
    """

    def count(events: int) -> None:
        nonlocal paid
        charge_rate(service, caller, max(0, events - paid))
        paid = max(0, paid - events)

    return count
