"""What one transaction adds to one log: outcomes, entries and the grown tree.

No I/O of its own but the look-ups it is given; the sequencer holds the lock and writes.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from provlog.merkle.edge import Growth, RightEdge
from provlog.merkle.encoding import JsonValue, encode_base64, format_time
from provlog.merkle.entries import build_entry
from provlog.merkle.errors import MalformedError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.inclusion import InclusionBuilder
from provlog.server.announced import FREEZE, KEY, Announced, announcement_id
from provlog.server.errors import ConfigurationError, FrozenError, HaltedError
from provlog.server.guard import ReleasedHead
from provlog.server.intake.draft import (
    AdminDraft,
    Draft,
    EventDraft,
    FreezeDraft,
    KeyDraft,
)
from provlog.server.storage.base import (
    Extension,
    Head,
    NewEntry,
    Private,
    Reads,
    SourceRecord,
    StoredKey,
    TokenRecord,
)


class Appended(msgspec.Struct, frozen=True):
    """A new entry at `index`."""

    index: int
    leaf: bytes
    draft: Draft


class Repeated(msgspec.Struct, frozen=True):
    """The event stands at `index` already; nothing was added."""

    index: int


class Conflicting(msgspec.Struct, frozen=True):
    """Another event stands at `index` under the same source and id."""

    index: int


class Erased(msgspec.Struct, frozen=True):
    """The event of this source and id stood at `index`; its content was erased."""

    index: int


class AlreadyRegistered(msgspec.Struct, frozen=True):
    """The source is registered already; no entry was made."""


class Unlogged(msgspec.Struct, frozen=True):
    """Tokens were revoked without an entry: the log has ended and takes none."""


Outcome: TypeAlias = (
    Appended | Repeated | Conflicting | Erased | AlreadyRegistered | Unlogged
)


class Batch:
    """Collects what goes into one log between taking its lock and writing.

    `head` is the locked head, `recorded` the time that all new entries get, `announced`
    what the log announced below that head; afterwards what it did with the new entries.
    """

    def __init__(
        self,
        log: int,
        head: Head,
        recorded: int,
        reads: Reads,
        announced: Announced,
    ) -> None:
        self.announced = announced
        self._log = log
        self._head = head
        self._recorded = recorded
        self._text = format_time(recorded)
        self._reads = reads
        self._events = head.events
        self._stored: dict[bytes, StoredKey] = {}
        self._entries: list[NewEntry] = []
        self._new: dict[bytes, tuple[int, EventDraft]] = {}
        self._sources: dict[str, tuple[int, SourceRecord]] = {}
        self._tokens: list[TokenRecord] = []
        self._revoked: dict[str, int] = {}

    async def look_up(self, drafts: Iterable[Draft]) -> None:
        """Read, all at once, which ids of the drafts are taken: before they are placed.

        Whoever is placed without finds nothing and takes all ids for free.
        """
        keys = [draft.key for draft in drafts if isinstance(draft, EventDraft)]
        self._stored = await self._reads.find_keys(self._log, keys)

    async def place(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Return what becomes of each draft, in order; new ones are added.

        Raises `FrozenError` for a new entry behind the last one, also where that is in
        this very batch, and `ConfigurationError` for an announcement that was overtaken
        by another one. Drafts before the one it is raised for may have been added: only
        events are submitted several at a time, and either all or none of them are.
        """
        return [await self._place(draft) for draft in drafts]

    @property
    def count(self) -> int:
        """How many entries were added."""
        return len(self._entries)

    def grow(self, edge: RightEdge) -> tuple[Growth, Extension] | None:
        """Return the grown tree and what to write, or None where no entry is new."""
        if not self._entries:
            return None
        growth = edge.grow([leaf_hash(entry.leaf) for entry in self._entries])
        head = Head(
            growth.edge.size,
            growth.root,
            self._events,
            self._head.epoch,
            self._recorded,
        )
        return growth, Extension(
            self._log,
            head,
            self._entries,
            growth.tiles,
            list(self._sources.values()),
            self._tokens,
            self._revoked,
        )

    def unlogged(self) -> Extension | None:
        """Return what to write where no entry is new: the revocations of tokens."""
        if not self._revoked:
            return None
        return Extension(self._log, self._head, [], [], revoked_tokens=self._revoked)

    async def _place(self, draft: Draft) -> Outcome:
        match draft:
            case EventDraft():
                return await self._place_event(draft)
            case KeyDraft():
                return self._place_key(draft)
            case FreezeDraft():
                return self._place_freeze(draft)
        return await self._place_admin(draft)

    async def _place_event(self, draft: EventDraft) -> Outcome:
        outcome = self._known(draft)
        while isinstance(outcome, Conflicting) and draft.variant is not None:
            # A connector never loses a record: another one under a taken id gets an id
            # of its own, made from its bytes.
            draft = draft.variant()
            self._stored |= await self._reads.find_keys(self._log, [draft.key])
            outcome = self._known(draft)
        return outcome or self._append_event(draft)

    def _known(self, draft: EventDraft) -> Repeated | Conflicting | Erased | None:
        """Compare with the entry that holds the draft's id, in this batch or before."""
        if draft.key in self._new:
            index, first = self._new[draft.key]
            same = first.comparison == draft.comparison
            return Repeated(index) if same else Conflicting(index)
        found = self._stored.get(draft.key)
        if found is None:
            return None
        private = found.private
        if private is None or not private.compare_key or not private.compare_digest:
            return Erased(found.index)
        same = draft.repeats(private.compare_key, private.compare_digest)
        return Repeated(found.index) if same else Conflicting(found.index)

    def _append_event(self, draft: EventDraft) -> Appended:
        if draft.epoch != self._head.epoch:
            raise HaltedError("the log has begun another epoch; restart the server")
        leaf = draft.template.finish(draft.epoch, self._events, self._text)
        private = Private(draft.disclosures, draft.compare_key, draft.compare_digest())
        index = self._append(leaf, draft.key, private, draft)
        self._new[draft.key] = (index, draft)
        self._events += 1
        return Appended(index, leaf, draft)

    def _place_key(self, draft: KeyDraft) -> Outcome:
        newest = self.announced.keys[-1]
        if newest.vkey == draft.log_key:
            return Repeated(newest.index)
        body: dict[str, JsonValue] = {
            "log_key": draft.log_key,
            "replaces": draft.replaces,
        }
        return self._announce(KEY, body, draft)

    def _place_freeze(self, draft: FreezeDraft) -> Outcome:
        frozen = self.announced.frozen
        if frozen is not None and frozen.successor == draft.successor:
            return Repeated(frozen.index)
        successor = draft.successor
        return self._announce(
            FREEZE, {"successor": successor} if successor else {}, draft
        )

    def _announce(self, kind: str, body: dict[str, JsonValue], draft: Draft) -> Outcome:
        """Add an announcement, under the id of its number: nobody else makes it too."""
        number = len(self.announced.entries)
        leaf = self._leaf(kind, body)
        index = self._append(leaf, announcement_id(number), None, draft)
        try:
            self.announced = self.announced.adding(index, leaf)
        except MalformedError as error:
            self._entries.pop()
            raise ConfigurationError(f"nothing was announced: {error}") from None
        return Appended(index, leaf, draft)

    async def _place_admin(self, draft: AdminDraft) -> Outcome:
        if self.announced.frozen is not None and draft.only_revokes:
            self._revoked |= draft.revoked_tokens
            return Unlogged()
        for source in draft.sources:
            known = await self._reads.source(self._log, source.uri)
            if known is not None or source.uri in self._sources:
                return AlreadyRegistered()
        members: dict[str, JsonValue] = {**draft.digests}
        leaf = self._leaf("admin", {"action": draft.action, "members": members})
        index = self._append(leaf, None, Private(draft.disclosures), draft)
        self._sources |= {source.uri: (index, source) for source in draft.sources}
        self._tokens += draft.tokens
        self._revoked |= draft.revoked_tokens
        return Appended(index, leaf, draft)

    def _leaf(self, kind: str, body: dict[str, JsonValue]) -> bytes:
        return build_entry(
            kind,
            epoch=self._head.epoch,
            n=self._events,
            recorded=self._text,
            body=body,
        )

    def _append(
        self, leaf: bytes, key: bytes | None, private: Private | None, draft: Draft
    ) -> int:
        frozen = self.announced.frozen
        if frozen is not None:
            raise FrozenError(frozen.successor)
        index = self._head.size + len(self._entries)
        openings = draft.openings if isinstance(draft, EventDraft) else None
        self._entries.append(NewEntry(index, leaf, key, private, openings))
        return index


def appended_sources(outcomes: Sequence[Sequence[Outcome]]) -> set[str]:
    """Return the sources of the events that were appended."""
    return {
        outcome.draft.source
        for unit in outcomes
        for outcome in unit
        if isinstance(outcome, Appended) and isinstance(outcome.draft, EventDraft)
    }


class Release:
    """A head that may leave the server, with the proofs of what it added.

    `growth` is None where the commit added nothing to the log.
    """

    def __init__(
        self, head: ReleasedHead, note: str, growth: Growth | None = None
    ) -> None:
        self.head = head
        self.note = note
        self._proofs = (
            None if growth is None else InclusionBuilder(head.size, growth.nodes)
        )
        self._encoded: dict[bytes, str] = {}

    def hashes(self, index: int) -> list[str]:
        """Return a new entry's inclusion proof, each hash in standard base64.

        Raises `KeyError` for an entry that was there before.
        """
        if self._proofs is None:
            raise KeyError(index)
        return [self._encode(item) for item in self._proofs.build(index)]

    def _encode(self, item: bytes) -> str:
        # The proofs of one batch share most of their hashes.
        text = self._encoded.get(item)
        if text is None:
            text = self._encoded[item] = encode_base64(item)
        return text
