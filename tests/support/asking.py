"""An instance whose log has witnesses, served as `serve` does, asking included."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp.test_utils import TestClient

from provlog.merkle.keys import VerifierKey
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint
from provlog.server.http.app import HttpSettings, create_app
from provlog.server.service import Service
from provlog.server.witnessing.writing import Wanted, write_witnesses
from support.api_contract import ApiContract
from support.instances import Client, Made, RunnerServer, Served


def configure(made: Made, policy: bytes, **members: str | bool) -> None:
    """Give the log `main` of an instance witnesses."""
    path = made.instance.folder / "given.policy"
    path.write_bytes(policy)
    origin = made.record.origin
    write_witnesses(made.instance.witnesses, "main", origin, Wanted(path, members))


@asynccontextmanager
async def asking(
    made: Made, settings: HttpSettings | None = None, *, follow: bool = True
) -> AsyncIterator[Served]:
    """Serve an instance, and ask its witnesses meanwhile if `follow`."""
    async with Service.of(made.instance) as service:
        log = await service.log("main")
        assert log is not None
        app, contract = create_app(service, settings), ApiContract()
        app.middlewares.insert(0, contract.middleware())
        client: Client
        async with TestClient(RunnerServer(app)) as client, following(service, follow):
            yield Served(made, service, log, app, client)
        assert contract.violations == []


@asynccontextmanager
async def following(service: Service, follow: bool = True) -> AsyncIterator[None]:
    """Ask a service's witnesses meanwhile."""
    if not follow:
        yield
        return
    task = asyncio.create_task(service.witnessing.follow())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once a condition holds; fail if it does not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "did not come about"
        await asyncio.sleep(0.01)


def keys_of(made: Made) -> tuple[VerifierKey, ...]:
    """Return the keys that verify the log `main`."""
    return (VerifierKey.parse(made.record.log_key),)


def trust_by(made: Made, policy: bytes) -> Trust:
    """Return trust in the log `main` under a policy that names no log."""
    plain = f"log {made.record.log_key}\n".encode() + policy
    return Trust.from_policy(plain, made.record.origin)


async def served_checkpoint(served: Served, trust: Trust) -> SignedCheckpoint:
    """Return what `/checkpoint` serves, verified."""
    reply = await served.get("checkpoint")
    assert reply.status == 200, reply.body
    return verify_checkpoint(reply.body, trust)


def metric(served: Served, name: str, **labels: str) -> float:
    """Return a sample of the service's metrics; 0 where there is none."""
    value = served.service.metrics.registry.get_sample_value(name, labels)
    return 0.0 if value is None else value
