"""An export read by a process of its own, so that checking and storing go on together.

The child has its end of a pipe and nothing else: when this process dies, its next
message fails and it ends; when the child dies, the pipe ends here.
"""

import asyncio
import gc
import multiprocessing
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import msgspec

from provlog.server.errors import ConfigurationError, DamagedError, UnavailableError
from provlog.server.moving.checking import Checked, read_export
from provlog.server.moving.digests import FileDigest

OWN_PROCESS: Final = 20_000
"""From how many entries on a process of its own is worth its start."""


class _Message(msgspec.Struct, frozen=True, tag=True):
    pass


class _Part(_Message, frozen=True):
    checked: Checked


class _Damaged(_Message, frozen=True):
    reason: str


class _Unreadable(_Message, frozen=True):
    reason: str


class _End(_Message, frozen=True):
    pass


async def checked_entries(
    folder: Path, size: int, expected: FileDigest
) -> AsyncIterator[Checked]:
    """Yield what `read_export` yields, and raise as it does."""
    if size < OWN_PROCESS:
        for checked in read_export(folder, size, expected):
            yield checked
        return
    decoder = msgspec.msgpack.Decoder(_Part | _Damaged | _Unreadable | _End)
    with _child(folder, size, expected) as pipe:
        while True:
            match decoder.decode(await asyncio.to_thread(_receive, pipe)):
                case _Part(checked):
                    yield checked
                case _Damaged(reason):
                    raise DamagedError(reason)
                case _Unreadable(reason):
                    raise ConfigurationError(reason)
                case _End():
                    return


@contextmanager
def _child(folder: Path, size: int, expected: FileDigest) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_run, args=(theirs, folder, size, expected), daemon=True
    )
    try:
        process.start()
        theirs.close()
        yield ours
    finally:
        ours.close()
        process.terminate()
        process.join()


def _receive(pipe: Connection) -> bytes:
    try:
        return pipe.recv_bytes()
    except EOFError:
        raise UnavailableError("the process that reads the export has ended") from None


def _run(pipe: Connection, folder: Path, size: int, expected: FileDigest) -> None:
    # Ctrl-C is for the process that was started; it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nothing that is made here refers to itself, and there is much of it.
    gc.disable()
    encoder = msgspec.msgpack.Encoder()
    last: _Message = _End()
    try:
        for checked in read_export(folder, size, expected):
            pipe.send_bytes(encoder.encode(_Part(checked)))
    except BrokenPipeError:
        return
    except DamagedError as error:
        last = _Damaged(str(error))
    except ConfigurationError as error:
        last = _Unreadable(str(error))
    pipe.send_bytes(encoder.encode(last))
