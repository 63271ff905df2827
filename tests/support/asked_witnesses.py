"""A witness within the test and a client that asks it over HTTP; and a clock to set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from provlog.server.clock import Clock
from support.witnesses import ServedWitness, serve_witness


@dataclass
class Asking:
    """Asks a witness."""

    served: ServedWitness
    session: aiohttp.ClientSession

    async def post(
        self, body: bytes, call: str = "add-checkpoint"
    ) -> tuple[int, str, str]:
        """Return status, media type and text of an answer."""
        url = f"{self.served.url}/{call}"
        async with self.session.post(url, data=body) as answer:
            return answer.status, answer.content_type, await answer.text()

    async def status(self, body: bytes) -> int:
        return (await self.post(body))[0]

    async def get(self, path: str) -> tuple[int, bytes]:
        async with self.session.get(f"{self.served.url}{path}") as answer:
            return answer.status, await answer.read()


class SetClock(Clock):
    """A clock that a test sets; `ms` is the wall's time."""

    def __init__(self, ms: int) -> None:
        self.ms, self.steady = ms, 0
        super().__init__(lambda: self.ms, lambda: self.steady)

    def pass_time(self, ms: int) -> None:
        self.ms += ms
        self.steady += ms


@asynccontextmanager
async def asked_witness(
    folder: Path,
    *vkeys: str,
    **options: Any,  # noqa: ANN401  those of `serve_witness`
) -> AsyncIterator[Asking]:
    """Serve a witness as `serve_witness` does, to be asked."""
    async with (
        serve_witness(folder, *vkeys, **options) as served,
        aiohttp.ClientSession() as session,
    ):
        yield Asking(served, session)
