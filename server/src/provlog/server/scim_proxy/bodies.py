"""Bodies: read as far as is kept, passed on whole, and what of them may be recorded."""

import asyncio
import hashlib
import hmac
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from aiohttp import StreamReader
from multidict import CIMultiDictProxy

from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.intake.connectors.scim_states import HIDDEN, is_secret

DOMAIN: Final = b"body\0"
"""What stands before a body in its digest: callers' digests are under the same key."""
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


@dataclass(slots=True)
class Body:
    """A body that is passing: its beginning, and the rest if that is not all.

    `size` and `digest` grow with what has been read; `whole` tells that `start` is all.
    The digest is keyed: a body may hold a password, and all else of it may be known.
    """

    start: bytes
    whole: bool
    size: int
    hash: "hmac.HMAC"
    source: StreamReader | None = field(default=None, repr=False)
    seconds: float = 30.0

    @property
    def digest(self) -> str:
        """Of what has been read so far."""
        return f"hmac-sha256:{self.hash.hexdigest()}"

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the whole body. `TimeoutError` if the next piece is too long in coming.

        What has been yielded is not kept.
        """
        yield self.start
        while self.source is not None and not self.whole:
            async with asyncio.timeout(self.seconds):
                piece = await self.source.readany()
            if not piece and self.source.at_eof():
                self.whole = True
            self.hash.update(piece)
            self.size += len(piece)
            if piece:
                yield piece


async def read_body(
    source: StreamReader, most: int, key: bytes, seconds: float
) -> Body:
    """Return a body of which at most about `most` bytes were read.

    Raises `TimeoutError` if the next piece is not there in `seconds`.
    """
    parts, size = list[bytes](), 0
    while size <= most:
        async with asyncio.timeout(seconds):
            piece = await source.readany()
        if not piece and source.at_eof():
            break
        parts.append(piece)
        size += len(piece)
    start = b"".join(parts)
    whole = size <= most
    digest = _keyed(key, start)
    return Body(start, whole, size, digest, None if whole else source, seconds)


def empty_body(key: bytes) -> Body:
    """Return a body that was announced and has nothing in it."""
    return Body(b"", whole=True, size=0, hash=_keyed(key, b""))


def coding_of(headers: CIMultiDictProxy[str]) -> str:
    """Return the Content-Encoding of a body; it may stand in several fields."""
    return ", ".join(headers.getall("Content-Encoding", ()))


def recorded(
    data: bytes, coding: str, most: int, secrets: frozenset[str] = frozenset()
) -> JsonValue:
    """Return a body's JSON without secrets, None where it has none that can be read.

    `coding` is its Content-Encoding. What unpacks to more than `most` bytes, or is no
    strict JSON, is not read: nobody could say what stands in it.
    """
    plain = _unpacked(data, coding.strip().lower(), most)
    if not plain:
        return None
    try:
        return without_secrets(loads_json(plain), secrets)
    except MalformedError:
        return None


def without_secrets(value: JsonValue, names: frozenset[str]) -> JsonValue:
    """Return SCIM's JSON with the values of secret attributes hidden.

    Also where an operation of a PATCH names the attribute by its path. `names` are in
    lower case. JSON is bounded in depth when it is read.
    """
    if isinstance(value, list):
        return [without_secrets(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    paths = (each for name, each in value.items() if name.lower() == "path")
    aimed = any(isinstance(path, str) and is_secret(path, names) for path in paths)
    return {
        name: HIDDEN
        if is_secret(name, names) or (aimed and name.lower() == "value")
        else without_secrets(each, names)
        for name, each in value.items()
    }


def _keyed(key: bytes, data: bytes) -> "hmac.HMAC":
    return hmac.new(key, DOMAIN + data, hashlib.sha256)


def _unpacked(data: bytes, coding: str, most: int) -> bytes | None:
    if coding in ("", "identity"):
        return data if len(data) <= most else None
    bits = _WINDOW_BITS.get(coding)
    if bits is None:
        return None
    unpacker = zlib.decompressobj(bits)
    try:
        plain = unpacker.decompress(data, most + 1)
    except zlib.error:
        return None
    # What comes after its end, another part or none, is read by some and not by others.
    whole = unpacker.eof and not unpacker.unused_data
    return plain if whole and len(plain) <= most else None
