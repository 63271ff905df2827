"""A relay between two ends of TCP, whose connections are cut when nobody expects it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Passes bytes on, both ways, to an address.

    `port` is where it listens on 127.0.0.1.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._answering = asyncio.Event()
        self._answering.set()

    def is_used(self) -> bool:
        """Tell whether there is a connection to be cut."""
        return bool(self._open)

    def hold_answers(self) -> None:
        """Pass on what is asked, and nothing that is answered, until the next cut."""
        self._answering.clear()

    def cut(self) -> int:
        """Reset every connection, on both sides; return how many ends there were."""
        ends, self._open = self._open, set()
        self._answering.set()
        for end in ends:
            # Not closed in order: what was on its way is gone.
            end.transport.abort()
        return len(ends)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take one connection and pass it on until either side ends it."""
        try:
            there, back = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        free = asyncio.Event()
        free.set()
        await asyncio.gather(
            _pass_on(reader, back, free), _pass_on(there, writer, self._answering)
        )
        self._open -= {writer, back}


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, open_: asyncio.Event
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            await open_.wait()
            # Into nothing, where the connection was cut meanwhile.
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def relay(target: tuple[str, int]) -> AsyncIterator[Relay]:
    """Yield a relay that listens; what it passes on is cut at the end."""
    made = Relay(target)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        made.cut()
        await listening.wait_closed()
