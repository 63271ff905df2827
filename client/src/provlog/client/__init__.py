"""The client of provlog: submit events, and verify what a log answers.

::

    from provlog.client import Client, Trust

    with Client("https://log.example", Trust.from_log_key(LOG_KEY), token=T) as log:
        receipt = log.submit({"source": "urn:okta:acme", "type": "role.assign", …})

What is returned has been verified against the log key (or policy) that the caller
gave; a log that lies raises an error of `provlog.merkle.errors`.

The names below are loaded on first use: verifying a receipt offline needs no HTTP.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provlog.client.aio import AsyncClient
    from provlog.client.answers import ConsistencyProof, InclusionProof, Receipt
    from provlog.client.errors import (
        ClientError,
        OutboxFullError,
        RefusedError,
        SpoolError,
        UnavailableError,
        UsageError,
    )
    from provlog.client.logging_handler import OutboxHandler
    from provlog.client.memory import Evidence, FileMemory, Memory, VolatileMemory
    from provlog.client.outbox.awaited import AsyncOutbox
    from provlog.client.outbox.box import Outbox
    from provlog.client.recording import recorded
    from provlog.client.sync import Client
    from provlog.merkle.trust import SignedCheckpoint, Trust

__all__ = [
    "AsyncClient",
    "AsyncOutbox",
    "Client",
    "ClientError",
    "ConsistencyProof",
    "Evidence",
    "FileMemory",
    "InclusionProof",
    "Memory",
    "Outbox",
    "OutboxFullError",
    "OutboxHandler",
    "Receipt",
    "RefusedError",
    "SignedCheckpoint",
    "SpoolError",
    "Trust",
    "UnavailableError",
    "UsageError",
    "VolatileMemory",
    "recorded",
]

_HOMES = {
    "AsyncClient": "provlog.client.aio",
    "AsyncOutbox": "provlog.client.outbox.awaited",
    "Client": "provlog.client.sync",
    "ClientError": "provlog.client.errors",
    "ConsistencyProof": "provlog.client.answers",
    "Evidence": "provlog.client.memory",
    "FileMemory": "provlog.client.memory",
    "InclusionProof": "provlog.client.answers",
    "Memory": "provlog.client.memory",
    "Outbox": "provlog.client.outbox.box",
    "OutboxFullError": "provlog.client.errors",
    "OutboxHandler": "provlog.client.logging_handler",
    "Receipt": "provlog.client.answers",
    "RefusedError": "provlog.client.errors",
    "SignedCheckpoint": "provlog.merkle.trust",
    "SpoolError": "provlog.client.errors",
    "Trust": "provlog.merkle.trust",
    "UnavailableError": "provlog.client.errors",
    "UsageError": "provlog.client.errors",
    "VolatileMemory": "provlog.client.memory",
    "recorded": "provlog.client.recording",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
