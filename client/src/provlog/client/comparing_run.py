"""One comparison: look at all places, hold everything together, say what came out."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from provlog.client.comparing import Board, Head, Sighting
from provlog.client.comparing_files import FileSource
from provlog.client.comparing_mirrors import FolderMirror
from provlog.client.comparing_places import MANY, Caller, Place, look
from provlog.client.comparing_proofs import Connector, Unproved
from provlog.client.cosigned import verify_gossip
from provlog.client.errors import ClientError, printable
from provlog.merkle.errors import MerkleError
from provlog.merkle.trust import Trust

Verdict = Literal["split", "not proved", "refused", "not compared", "consistent"]

MAX_PLACES: Final = 200
MAX_TOLD: Final = 10
"""What is told of one source that does not verify; the rest is counted."""


@dataclass
class Source:
    """What one source showed.

    `trouble` says why a place showed nothing; `refused` what does not verify, and why;
    `forged` names witnesses in whose name there is a line that they did not write.
    `recorded` is when the log recorded the newest entry in it (Unix milliseconds).
    """

    place: str
    heads: list[Head] = field(default_factory=list)
    trouble: str | None = None
    refused: list[str] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    recorded: int | None = None
    others: int = 0

    @property
    def newest(self) -> Head | None:
        """The largest head that it showed."""
        return max(self.heads, key=lambda head: head.size, default=None)


@dataclass
class Comparison:
    """What came of it. `unproved` are heads that nobody proved, and why not."""

    board: Board
    sources: list[Source]
    unproved: list[Unproved] = field(default_factory=list)

    @property
    def newest(self) -> Head | None:
        """The largest head that anybody showed."""
        return self.board.newest if self.board.heads else None

    @property
    def unconnected(self) -> list[Head]:
        """The heads that nothing connects with the newest, and nothing contradicts."""
        split = {each.top() for each in self.board.contradicted}
        return [each for each in self.board.tops()[1:] if each not in split]

    @property
    def is_alone(self) -> bool:
        """Whether there is one checkpoint of one source at most: nothing to compare."""
        return sum(len(each.heads) for each in self.sources) < 2

    @property
    def verdict(self) -> Verdict:
        """The worst of what was found."""
        if self.board.splits:
            return "split"
        if any(each.owed for each in self.unproved):
            return "not proved"
        if any(each.refused for each in self.sources):
            return "refused"
        troubled = any(each.trouble for each in self.sources)
        if self.is_alone or troubled or self.unconnected:
            return "not compared"
        return "consistent"

    def relation(self, head: Head) -> str:
        """Return how a head is related to the newest one, in a word or two."""
        if head.top() is self.board.newest.top():
            return "consistent"
        if any(head.top() is each.top() for each in self.board.contradicted):
            return "other history"
        return "not compared"


async def compare(
    urls: Sequence[str],
    read: Callable[[Trust], Sequence[FileSource]],
    caller: Caller,
    on_asked: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Return what places and files show of one log, held against each other.

    A place that cannot be reached, or shows something else, is told in its source and
    stops nothing. `read` returns what files show, under the newest of the log's keys
    that any place announced.
    """
    looked, trust = await _look_at_all(urls, caller)
    places = [each for each, _ in looked if each is not None]
    try:
        files = await asyncio.to_thread(read, trust)
        board = Board()
        sources = [source for _, source in looked]
        for place, source in looked:
            if place is not None:
                _add(board, source, [place.sighting])
        sources += [_file_source(board, each) for each in files]
        if not board.heads:
            return Comparison(board, sources)
        board.settle()
        connector = Connector(board, on_asked)
        for each in places:
            each.many = len(board.tops()) > MANY
        mirrors = [each.mirror for each in files if each.mirror is not None]
        provers: list[Place | FolderMirror] = [*mirrors, *places]
        await connector.connect([(each, _head(board, each)) for each in provers])
        await connector.convict_witnesses(provers)
        return Comparison(board, sources, connector.unproved)
    finally:
        await asyncio.gather(*(each.close() for each in places))


async def _look_at_all(
    urls: Sequence[str], caller: Caller
) -> tuple[list[tuple[Place | None, Source]], Trust]:
    """Look at all places; anew at some, where others announced further keys."""
    looked = await asyncio.gather(*(_look(url, caller) for url in urls))
    trust = _newest([place for place, _ in looked if place is not None], caller)
    if len(trust.log_keys) <= len(caller.trust.log_keys):
        return looked, caller.trust
    knowing = replace(caller, trust=trust)

    async def again(
        url: str, place: Place | None, source: Source
    ) -> tuple[Place | None, Source]:
        if not source.refused and (place is None or _is_believed(place, trust)):
            return place, source
        if place is not None:
            await place.close()
        return await _look(url, knowing)

    every = zip(urls, looked, strict=True)
    return list(
        await asyncio.gather(*(again(url, *each) for url, each in every))
    ), trust


def _newest(places: Sequence[Place], caller: Caller) -> Trust:
    """Return the newest keys that any place announced, beyond those of the log itself.

    Whoever stole a key that the log replaced can announce others in its place.
    """
    own = next((each.keys for each in places if each.is_log), caller.trust)
    known = set(own.replaced)
    later = [each.keys for each in places if known <= set(each.keys.replaced)]
    newest = max(later, key=lambda each: len(each.log_keys), default=caller.trust)
    return replace(newest, policy=caller.trust.policy)


def _is_believed(place: Place, trust: Trust) -> bool:
    try:
        verify_gossip(place.sighting.gossiped.signed.note, trust)
    except MerkleError:
        return False
    return True


async def _look(url: str, caller: Caller) -> tuple[Place | None, Source]:
    source = Source(url)
    try:
        return await look(url, caller), source
    except ClientError as error:
        source.trouble = printable(str(error))
    except MerkleError as error:
        notes = getattr(error, "__notes__", ())
        source.refused += [printable(str(each)) for each in (error, *notes)]
    return None, source


def _file_source(board: Board, found: FileSource) -> Source:
    source = Source(found.place, others=found.others, recorded=found.recorded)
    source.refused = found.refused[:MAX_TOLD]
    if len(found.refused) > MAX_TOLD:
        source.refused.append(f"and {len(found.refused) - MAX_TOLD} more")
    _add(board, source, found.sightings)
    if not found.sightings and not found.refused:
        source.trouble = "holds nothing of this log"
    return source


def _add(board: Board, source: Source, sightings: Sequence[Sighting]) -> None:
    heads: dict[int, Head] = {}
    for each in sightings:
        head = board.add(source.place, each)
        heads[id(head)] = head
        source.forged += [
            name for name in each.gossiped.forged if name not in source.forged
        ]
    source.heads = list(heads.values())


def _head(board: Board, prover: Place | FolderMirror) -> Head:
    checkpoint = prover.sighting.gossiped.signed.checkpoint
    return board.heads[checkpoint.size, checkpoint.root]
