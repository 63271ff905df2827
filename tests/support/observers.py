"""An outsider who keeps everything a log ever showed and holds all of it together.

Nothing is taken from the server but its key: leaves are downloaded, the tree over them
is computed here, and each receipt and checkpoint is held against that tree.
"""

import base64
import itertools
import json
import random
from bisect import bisect_right
from collections.abc import Sequence

import aiohttp

from provlog.client.answers import Receipt, read_batch, read_receipt
from provlog.merkle.compact import CompactRange
from provlog.merkle.consistency import verify_consistency
from provlog.merkle.encoding import JsonValue
from provlog.merkle.entries import Entry, parse_entry
from provlog.merkle.errors import ProofError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.tiles import TILE_WIDTH, Bundle, Tile, decode_bundle
from provlog.merkle.trust import SignedCheckpoint, verify_checkpoint
from support.servers import Server

JSON = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


class LostError(AssertionError):
    """Acknowledged events do not stand where their receipts say."""

    def __init__(self, ids: Sequence[str], why: str) -> None:
        super().__init__(f"{len(ids)} acknowledged lost ({', '.join(ids[:5])}): {why}")
        self.ids = frozenset(ids)


class ForkError(AssertionError):
    """Two signed checkpoints cannot both be of one log that only grows."""


class Observer:
    """What was seen of one log. Every method raises `AssertionError` at a lie.

    Of these, `LostError` and `ForkError` are the two that must never be.

    `acknowledged` holds index and leaf by event id, `checkpoints` one of each size,
    `leaves` everything downloaded, `indexes` which events were answered as new.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.checkpoints: dict[int, SignedCheckpoint] = {}
        self.acknowledged: dict[str, tuple[int, bytes]] = {}
        self.created: set[str] = set()
        self.leaves: list[bytes] = []
        self.entries: list[Entry] = []
        self._trust = server.trust
        self._notes: set[bytes] = set()
        self._tree = CompactRange.empty()
        self._events: set[JsonValue] = set()
        self._unchecked: list[str] = []
        self._unchecked_sizes: set[int] = set()

    def see_note(self, note: bytes) -> SignedCheckpoint:
        """Verify a signed checkpoint; two of one size must have one root."""
        signed = verify_checkpoint(note, self._trust)
        self._see_checkpoint(signed)
        return signed

    def see_single(self, event_id: str, status: int, body: bytes) -> None:
        """Verify, offline, the receipt that answered one event."""
        receipt = read_receipt(body, self._trust, created=status == 201)
        self._see_receipt(event_id, receipt)

    def see_batch(self, event_ids: Sequence[str], body: bytes) -> None:
        """Verify, offline, the receipts that answered a batch of good events."""
        results = read_batch(body, len(event_ids), self._trust)
        for event_id, result in zip(event_ids, results, strict=True):
            assert isinstance(result, Receipt), f"{event_id}: {result}"
            self._see_receipt(event_id, result)

    def _see_receipt(self, event_id: str, receipt: Receipt) -> None:
        value = receipt.verified.disclosures["event"].value
        assert isinstance(value, dict)
        assert value["id"] == event_id, "the receipt is of another event"
        self._see_checkpoint(receipt.checkpoint)
        found = (receipt.index, receipt.verified.entry.data)
        self._unchecked.append(event_id)
        known = self.acknowledged.setdefault(event_id, found)
        if known != found:
            raise LostError([event_id], f"it stands at {known[0]} and at {found[0]}")
        if receipt.created:
            assert event_id not in self.created, f"{event_id} was logged twice"
            self.created.add(event_id)

    def _see_checkpoint(self, signed: SignedCheckpoint) -> None:
        if signed.note in self._notes:
            return
        self._notes.add(signed.note)
        size, root = signed.checkpoint.size, signed.checkpoint.root
        self._unchecked_sizes.add(size)
        known = self.checkpoints.setdefault(size, signed)
        if known.checkpoint.root != root:
            raise ForkError(f"the log forked: two roots of size {size}")

    async def follow(
        self, session: aiohttp.ClientSession, server: Server | None = None
    ) -> SignedCheckpoint:
        """Download what is new, and hold everything seen so far against it.

        The tree goes on from the leaves downloaded before, so the roots hold only if
        none of those has changed either. Another server of the same log may be asked.
        """
        self.server = server or self.server
        signed = self.see_note(await self._get(session, "checkpoint"))
        size = signed.checkpoint.size
        if size != max(self.checkpoints):
            raise ForkError(f"{max(self.checkpoints)} entries were shown, now {size}")
        for index in range(len(self.leaves) // TILE_WIDTH, -(-size // TILE_WIDTH)):
            fresh = await self._bundle(session, index, size)
            for leaf in fresh[len(self.leaves) - index * TILE_WIDTH :]:
                self._append(leaf)
        self._check_roots()
        self._check_acknowledged()
        return signed

    def _append(self, leaf: bytes) -> None:
        entry = parse_entry(leaf)
        if not self.entries:
            assert (entry.kind, entry.n) == ("params", 0)
        else:
            last = self.entries[-1]
            assert entry.n == last.n + (last.kind == "event"), f"n is {entry.n}"
            assert entry.recorded >= last.recorded, "recorded went back"
        if entry.kind == "event":
            blinded = entry.body["id"]
            assert blinded not in self._events, "one event stands twice"
            self._events.add(blinded)
        self.leaves.append(leaf)
        self.entries.append(entry)

    def _check_roots(self) -> None:
        sizes, self._unchecked_sizes = sorted(self._unchecked_sizes), set()
        for size in sizes:
            root = self.checkpoints[size].checkpoint.root
            if size < self._tree.end:
                tree = CompactRange.empty().extend(self._hashes(0, size))
            else:
                tree = self._tree = self._tree.extend(
                    self._hashes(self._tree.end, size)
                )
            if tree.root() != root:
                raise ForkError(f"the entries have another root of size {size}")

    def _hashes(self, start: int, end: int) -> list[bytes]:
        return [leaf_hash(leaf) for leaf in self.leaves[start:end]]

    def _check_acknowledged(self) -> None:
        ids, self._unchecked = self._unchecked, []
        wrong = [each for each in ids if not self._stands(*self.acknowledged[each])]
        if wrong:
            raise LostError(wrong, "the log shows other entries, or none")

    def _stands(self, index: int, leaf: bytes) -> bool:
        return self.leaves[index : index + 1] == [leaf]

    async def require_consistent(
        self, session: aiohttp.ClientSession, older: int, newer: int
    ) -> None:
        """Have the log prove that one seen checkpoint extends another."""
        body = json.loads(
            await self._get(session, f"proofs/consistency?from={older}&to={newer}")
        )
        hashes = [base64.b64decode(each, validate=True) for each in body["hashes"]]
        roots = [self.checkpoints[size].checkpoint.root for size in (older, newer)]
        try:
            verify_consistency(older, roots[0], newer, roots[1], hashes)
        except ProofError as error:
            raise ForkError(f"{older} and {newer} do not connect: {error}") from error

    async def require_chain(
        self,
        session: aiohttp.ClientSession,
        chance: random.Random,
        count: int,
        around: int,
    ) -> None:
        """Have the log prove steps between neighbouring checkpoints.

        `count` of them at random, and the step over the size `around`.
        """
        sizes = sorted(self.checkpoints)
        steps = list(itertools.pairwise(sizes))
        if not steps:
            return
        over = min(max(bisect_right(sizes, around) - 1, 0), len(steps) - 1)
        for older, newer in {steps[over], *chance.choices(steps, k=count)}:
            await self.require_consistent(session, older, newer)

    async def download_again(self, session: aiohttp.ClientSession) -> int:
        """Fetch and recompute every bundle and every tile; return how many."""
        signed = await self.follow(session)
        size = signed.checkpoint.size
        leaves: list[bytes] = []
        for index in range(-(-size // TILE_WIDTH)):
            leaves += await self._bundle(session, index, size)
        assert leaves == self.leaves[:size], "a leaf has changed"
        fetched = -(-size // TILE_WIDTH)
        row, level = [leaf_hash(leaf) for leaf in leaves], 0
        while row:
            for start in range(0, len(row), TILE_WIDTH):
                hashes = row[start : start + TILE_WIDTH]
                tile = Tile(level, start // TILE_WIDTH, len(hashes))
                assert await self._get(session, tile.path()) == b"".join(hashes)
                fetched += 1
            row, level = _roots_of_full_tiles(row), level + 1
        return fetched

    async def _bundle(
        self, session: aiohttp.ClientSession, index: int, size: int
    ) -> list[bytes]:
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        data = await self._get(session, Bundle(index, width).path())
        return decode_bundle(data, width)

    async def _get(self, session: aiohttp.ClientSession, path: str) -> bytes:
        url = f"{self.server.url}/logs/main/{path}"
        async with session.get(url, headers=bearer(self.server, "monitor")) as answer:
            body = await answer.read()
            assert answer.status == 200, f"{path}: {answer.status} {body!r}"
            return body


def bearer(server: Server, role: str) -> dict[str, str]:
    """Return the header that presents a role's token."""
    return {"Authorization": f"Bearer {server.tokens[role]}"}


def _roots_of_full_tiles(row: Sequence[bytes]) -> list[bytes]:
    full = len(row) - len(row) % TILE_WIDTH
    return [
        CompactRange.empty().extend(row[start : start + TILE_WIDTH]).root()
        for start in range(0, full, TILE_WIDTH)
    ]
