"""What a monitor and an auditor read from a log over HTTP.

Everything but `part` and `checkpoint_unverified` has been verified as far as one answer
goes; what it means beside earlier answers is the caller's to find out (`heads`).
"""

from dataclasses import dataclass, replace
from functools import partial

from provlog.client.answers import (
    ClaimedInclusion,
    read_consistency,
    read_inclusion,
)
from provlog.client.auditing_parts import MAX_BUNDLE, MAX_TILE, Part
from provlog.client.chain import split_entries
from provlog.client.errors import RefusedError
from provlog.client.log_keys import LogKeys
from provlog.client.transport import Request, Transport
from provlog.merkle.announcements import MAX_DOCUMENT
from provlog.merkle.consistency import build_consistency, consistency_nodes
from provlog.merkle.errors import ContentError, MalformedError, ProofError
from provlog.merkle.hashing import HASH_SIZE
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.merkle.tiles import TILE_WIDTH, Tile, nodes_from_tiles, tiles_for
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

MAX_PROOF_ANSWER = (64 << 10) + MAX_NOTE_SIZE
MAX_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """A tile or bundle as the log serves it: None, and why, where it does not."""

    data: bytes | None
    trouble: str = ""


class LogReader:
    """The public parts of one log. Raises as `Transport.send` does.

    `timeout` is what one attempt may take, in seconds. `keys` says whom it believes.
    """

    def __init__(
        self, transport: Transport, trust: Trust, timeout: float = 30.0
    ) -> None:
        self._transport = transport
        self._timeout = timeout
        self.keys = LogKeys(trust, self.announcements_unverified)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def checkpoint_unverified(
        self, newer_than: int | None = None, wait: float = 30.0
    ) -> bytes:
        """Return what the log serves as its checkpoint; nobody has looked at it.

        With `newer_than` the log answers when its size is above that, or after `wait`
        seconds (60 at most) with what it has.
        """
        query: dict[str, str] = {}
        seconds = 0.0
        if newer_than is not None:
            seconds = max(0.0, min(wait, MAX_WAIT))
            query = {"newer_than": str(newer_than), "timeout": f"{seconds:.0f}"}
        request = Request(
            "GET",
            "checkpoint",
            MAX_NOTE_SIZE,
            self._timeout + seconds,
            query=query,
            accept="text/plain",
        )
        return (await self._transport.send(request)).body

    async def checkpoint(self) -> SignedCheckpoint:
        """Return the checkpoint that the log serves now."""
        note = await self.checkpoint_unverified()
        return await self.keys.believe(partial(verify_checkpoint, note))

    async def announcements_unverified(self) -> bytes:
        """Return what the log announces of its keys and its end; nobody looked at it.

        A log that serves no such document refuses with status 404.
        """
        request = Request("GET", "announcements", MAX_DOCUMENT, self._timeout)
        return (await self._transport.send(request)).body

    async def consistency(self, older: int, newer: int) -> tuple[bytes, ...]:
        """Return the log's consistency proof of two sizes, for verification.

        A static mirror answers no questions: there the proof is made of its tiles.
        Raises `ProofError` if the log gives neither.
        """
        query = {"from": str(older), "to": str(newer)}
        try:
            data = await self._get("proofs/consistency", query)
        except RefusedError as error:
            if error.status in (401, 403):
                raise
            proof = await self._consistency_of_tiles(older, newer)
            if proof is not None:
                return proof
            raise ProofError(
                f"the log does not prove that its tree of {newer} leaves begins with "
                f"that of {older}, both of which it signed: {error}"
            ) from None
        return read_consistency(data, older, newer)

    async def _consistency_of_tiles(
        self, older: int, newer: int
    ) -> tuple[bytes, ...] | None:
        """Return the proof that a log's tiles make, None where they make none.

        It is as good as one that the log makes: whoever verifies it has both roots.
        """
        nodes = consistency_nodes(older, newer)
        tiles: dict[Tile, bytes] = {}
        try:
            for tile in tiles_for(nodes, newer):
                served = await self.part(tile)
                if served.data is None:
                    return None
                tiles[tile] = served.data
            hashes = nodes_from_tiles(nodes, newer, tiles)
        except (RefusedError, MalformedError):
            # A submitter's token does not reach tiles.
            return None
        return tuple(build_consistency(older, newer, hashes))

    async def inclusion(self, index: int, size: int) -> ClaimedInclusion:
        """Return the proof of one leaf in the tree of `size`, verified up to its root.

        Whether that root is the log's is for the caller to see.
        """
        query = {"index": str(index), "size": str(size)}
        data = await self._get("proofs/inclusion", query)
        claimed = await self.keys.believe(partial(read_inclusion, data))
        if (claimed.index, claimed.size) != (index, size):
            raise ContentError("answer: another proof than the one asked for")
        return claimed

    async def part(self, part: Part) -> Served:
        """Return a tile or an entry bundle, unverified: any bytes at all.

        What is not served, or larger than it can be, is none; a token that does not
        reach it is a `RefusedError`. A log may have only the full form of a partial
        tile or bundle (C2SP tlog-tiles), which then is cut to size.
        """
        served = await self._part(part)
        if served.data is not None or part.width == TILE_WIDTH:
            return served
        full = (await self._part(replace(part, width=TILE_WIDTH))).data
        if full is None:
            return served
        if isinstance(part, Tile):
            return Served(full[: part.width * HASH_SIZE])
        entries = split_entries(full, part.width)
        return Served(full[: sum(2 + len(each) for each in entries)])

    async def _part(self, part: Part) -> Served:
        most = MAX_TILE if isinstance(part, Tile) else MAX_BUNDLE
        request = Request(
            "GET", part.path(), most, self._timeout, accept="application/octet-stream"
        )
        try:
            return Served((await self._transport.send(request)).body)
        except RefusedError as error:
            if error.status in (401, 403):
                raise
            return Served(None, f"is not served (HTTP status {error.status})")
        except MalformedError as error:
            return Served(None, f"is not served as it must be ({error})")

    async def _get(self, path: str, query: dict[str, str]) -> bytes:
        request = Request("GET", path, MAX_PROOF_ANSWER, self._timeout, query=query)
        return (await self._transport.send(request)).body
