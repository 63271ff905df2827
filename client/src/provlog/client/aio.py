"""The asynchronous client: what it returns has been verified."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from provlog.client.answers import (
    ClaimedInclusion,
    ConsistencyProof,
    InclusionProof,
    Receipt,
    read_batch,
    read_consistency,
    read_inclusion,
    read_receipt,
)
from provlog.client.errors import RefusedError, UnavailableError, UsageError
from provlog.client.events import (
    Submission,
    cut_records,
    join_batch,
    prepare,
    split_batches,
    split_records,
)
from provlog.client.heads import Heads
from provlog.client.matching import (
    original_bytes,
    require_event,
    require_identity,
    require_source,
)
from provlog.client.memory import FileMemory, Memory
from provlog.client.transport import Answer, Request, Transport
from provlog.merkle.consistency import verify_consistency
from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import ContentError, ProofError
from provlog.merkle.notes import MAX_NOTE_SIZE
from provlog.merkle.receipts import MAX_RECEIPT
from provlog.merkle.trust import SignedCheckpoint, Trust, verify_checkpoint

MAX_BATCH_ANSWER = 64 << 20
MAX_PROOF_ANSWER = (64 << 10) + MAX_NOTE_SIZE
MAX_WAIT = 60.0

Event = Mapping[str, JsonValue]
Result = Receipt | RefusedError
OnResults = Callable[[Sequence[Result]], None]


class AsyncClient:
    """A log seen through its key: submit to it, ask it, and believe nothing unproved.

    `trust` comes from somewhere else than the log: `Trust.from_log_key(vkey)` or
    `Trust.from_policy(text)`. Everything that is returned was verified against it and
    is consistent with the newest checkpoint that `memory` holds of the log (by default
    a file in the user's state directory).

    `timeout` is what one attempt may take and `patience` how long a request is tried,
    in seconds; only failed connections, 503 with `Retry-After` and 429 are tried again.
    A token is not sent over plain HTTP, other than to this machine, unless `insecure`.

    Every method raises `RefusedError`, `UnavailableError` or `UsageError`
    (`provlog.client.errors`), and where the log misbehaves a `MalformedError` or
    `VerificationError` (`provlog.merkle.errors`). One object serves many tasks of one
    event loop at a time.
    """

    def __init__(
        self,
        url: str,
        trust: Trust,
        *,
        log: str = "main",
        token: str | None = None,
        memory: Memory | None = None,
        timeout: float = 30.0,
        patience: float = 30.0,
        insecure: bool = False,
    ) -> None:
        self._trust = trust
        self._timeout = timeout
        self._transport = Transport(url, log, token, patience, insecure=insecure)
        self._heads = Heads(trust, memory or FileMemory(), self._fetch_consistency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Write down the newest checkpoint and close all connections."""
        try:
            await self._heads.save()
        except UnavailableError:
            # Another program remembered a checkpoint meanwhile, and nobody is there to
            # say how it relates: the memory stays as it is, which is merely older.
            pass
        finally:
            await self._transport.close()

    async def submit(self, event: Event) -> Receipt:
        """Return the receipt of one event, a CloudEvent 1.0 as a mapping.

        An event without `id` gets one before the first attempt, so that no retry makes
        a second entry. The receipt is of an entry that holds exactly what was sent.
        `RefusedError` with status 409 says that its source and id are taken by other
        content, 410 that the event was logged and erased. An `UnavailableError` holds
        the event with its id in `unsettled`: submit that one again.
        """
        await self._heads.recall()
        submission = prepare(event)
        try:
            answer = await self._post(
                submission.body, "application/cloudevents+json", MAX_RECEIPT, {}
            )
            receipt = read_receipt(
                answer.body, self._trust, created=answer.status == 201
            )
            _require_submitted(receipt, submission)
            await self._accept(receipt)
        except UnavailableError as error:
            error.unsettled = (submission.event,)
            raise
        return receipt

    async def submit_batch(
        self, events: Iterable[Event], *, on_results: OnResults | None = None
    ) -> list[Result]:
        """Return for each event, in their order, its receipt or why it was refused.

        Any number of events; they travel in batches of at most 1,000 events and 8 MiB.
        `on_results` is called with the results of each batch as it is done: should a
        later batch raise, these are done for good. An `UnavailableError` holds in
        `unsettled` all events without a result, with their ids: submit these again.
        """
        await self._heads.recall()
        submissions = [prepare(event) for event in events]
        results: list[Result] = []
        for batch in split_batches(submissions):
            try:
                done = await self._submit_batch(batch)
            except UnavailableError as error:
                rest = submissions[len(results) :]
                error.unsettled = tuple(each.event for each in rest)
                raise
            results += done
            if on_results is not None:
                on_results(done)
        return results

    async def submit_records(
        self,
        format: str,  # noqa: A002  the API's name for it
        source: str,
        raw: bytes,
        *,
        on_results: OnResults | None = None,
    ) -> list[Result]:
        """Return receipts for a provider's records, which the server makes events of.

        `format` names the server's connector (such as ``okta``), `source` is a
        registered one, `raw` a JSON array, lines of JSON, or one record. One record may
        become several events. What can be checked without the connector's knowledge
        is: all entries are the source's, a new entry keeps a record of `raw` byte for
        byte, and no record is without a result. `on_results` is as in `submit_batch`;
        to submit `raw` again makes no second entries.
        """
        await self._heads.recall()
        results: list[Result] = []
        waiting = deque(split_records(cut_records(raw)))
        while waiting:
            records = waiting.popleft()
            try:
                done = await self._submit_records(format, source, records)
            except RefusedError as error:
                if error.status != 413 or len(records) == 1:
                    raise
                # Only the server knows how many events come of them: too many here.
                half = len(records) // 2
                waiting.extendleft((records[half:], records[:half]))
                continue
            results += done
            if on_results is not None:
                on_results(done)
        return results

    async def checkpoint(
        self, *, newer_than: int | None = None, wait: float = 30.0
    ) -> SignedCheckpoint:
        """Return the checkpoint that the log serves now.

        With `newer_than` the log answers when its size is above that, or after `wait`
        seconds (60 at most) with what it has. What it serves may be older than what
        this client has seen; it is consistent with it.
        """
        await self._heads.recall()
        query: dict[str, str] = {}
        seconds = 0.0
        if newer_than is not None:
            seconds = max(0.0, min(wait, MAX_WAIT))
            query = {"newer_than": str(newer_than), "timeout": f"{seconds:.0f}"}
        answer = await self._transport.send(
            Request(
                "GET",
                "checkpoint",
                MAX_NOTE_SIZE,
                self._timeout + seconds,
                query=query,
                accept="text/plain",
            )
        )
        signed = verify_checkpoint(answer.body, self._trust)
        await self._heads.accept(signed)
        return signed

    async def entry(
        self,
        index: int | None = None,
        *,
        source: str | None = None,
        event_id: str | None = None,
    ) -> Receipt:
        """Return the receipt of the entry at `index`, or of the event of a source.

        How much of the entry it opens depends on the token; one looked up by source and
        id opens the id at least, or it is not believed.
        """
        await self._heads.recall()
        if index is not None and source is None and event_id is None:
            receipt = await self._get_receipt(f"entries/{index}", {})
            if receipt.index != index:
                raise ContentError("answer: another entry than the one asked for")
        elif index is None and source is not None and event_id is not None:
            receipt = await self._get_receipt(
                "entries", {"source": source, "id": event_id}
            )
            require_identity(receipt.verified, source, event_id)
        else:
            raise UsageError("an entry is asked for by index, or by source and id")
        await self._accept(receipt)
        return receipt

    async def inclusion(self, index: int, *, size: int | None = None) -> InclusionProof:
        """Return the proof that a leaf stands at `index`, in the tree of `size` leaves.

        Without `size` it is the log's newest. A tree that no checkpoint is of is proved
        to be the beginning of one that a checkpoint is of.
        """
        await self._heads.recall()
        query = {"index": str(index)}
        if size is not None:
            query["size"] = str(size)
        claimed = read_inclusion(
            await self._get("proofs/inclusion", query), self._trust
        )
        if claimed.index != index or size not in (None, claimed.size):
            raise ContentError("answer: another proof than the one asked for")
        if claimed.checkpoint is None:
            return await self._vouch(claimed)
        await self._heads.accept(claimed.checkpoint)
        return _proved(claimed, claimed.checkpoint, ())

    async def consistency(
        self, older: SignedCheckpoint, newer: SignedCheckpoint | None = None
    ) -> ConsistencyProof:
        """Return the proof that the tree of `newer` begins with that of `older`.

        `newer` is the log's newest checkpoint unless given. Raises `InconsistencyError`
        if the log cannot prove it.
        """
        await self._heads.recall()
        if newer is None:
            newer = await self.checkpoint()
        if newer.checkpoint.size < older.checkpoint.size:
            older, newer = newer, older
        hashes = await self._heads.require_consistent(older, newer)
        return ConsistencyProof(older, newer, hashes)

    async def _submit_batch(self, batch: Sequence[Submission]) -> list[Result]:
        answer = await self._post(
            join_batch(each.body for each in batch),
            "application/cloudevents-batch+json",
            MAX_BATCH_ANSWER,
            {},
        )
        results = read_batch(answer.body, len(batch), self._trust)
        for submission, result in zip(batch, results, strict=True):
            if isinstance(result, Receipt):
                _require_submitted(result, submission)
        await self._accept_first(results)
        return results

    async def _submit_records(
        self, format_: str, source: str, records: Sequence[bytes]
    ) -> list[Result]:
        body = records[0] if len(records) == 1 else join_batch(records)
        answer = await self._post(
            body,
            "application/json",
            MAX_BATCH_ANSWER,
            {"format": format_, "source": source},
        )
        results = read_batch(answer.body, None, self._trust)
        _require_records(results, source, body, records)
        await self._accept_first(results)
        return results

    async def _post(
        self, body: bytes, content_type: str, most: int, query: Mapping[str, str]
    ) -> Answer:
        policy = self._trust.policy
        if policy is not None and policy.quorum is not None:
            query = {**query, "wait": "witnessed"}
        request = Request(
            "POST",
            "events",
            most,
            self._timeout,
            query=query,
            body=body,
            content_type=content_type,
        )
        return await self._transport.send(request)

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        request = Request("GET", path, MAX_PROOF_ANSWER, self._timeout, query=query)
        return (await self._transport.send(request)).body

    async def _get_receipt(self, path: str, query: Mapping[str, str]) -> Receipt:
        request = Request("GET", path, MAX_RECEIPT, self._timeout, query=query)
        answer = await self._transport.send(request)
        return read_receipt(answer.body, self._trust, created=False)

    async def _accept(self, receipt: Receipt) -> None:
        await self._heads.accept(receipt.checkpoint, receipt.prefixes())

    async def _accept_first(self, results: Sequence[Result]) -> None:
        # All of them lead to one checkpoint; the lowest index reaches furthest back.
        receipts = [each for each in results if isinstance(each, Receipt)]
        new = [each for each in receipts if each.created]
        if receipts:
            await self._accept(min(new or receipts, key=lambda each: each.index))

    async def _fetch_consistency(self, older: int, newer: int) -> tuple[bytes, ...]:
        query = {"from": str(older), "to": str(newer)}
        try:
            data = await self._get("proofs/consistency", query)
        except RefusedError as error:
            if error.status in (401, 403):
                raise
            raise ProofError(
                f"the log does not prove that its tree of {newer} leaves begins with "
                f"that of {older}, both of which it signed: {error}"
            ) from None
        return read_consistency(data, older, newer)

    async def _vouch(self, claimed: ClaimedInclusion) -> InclusionProof:
        """Connect a proof in a tree without checkpoint to one that has a checkpoint."""
        signed = self._heads.newest
        if signed is None or signed.checkpoint.size < claimed.size:
            signed = await self.checkpoint()
        newest = signed.checkpoint
        if newest.size < claimed.size:
            raise ContentError("answer: a proof in a tree larger than the log")
        hashes: tuple[bytes, ...] = ()
        if newest.size > claimed.size:
            hashes = await self._fetch_consistency(claimed.size, newest.size)
        verify_consistency(claimed.size, claimed.root, newest.size, newest.root, hashes)
        return _proved(claimed, signed, hashes)


def _proved(
    claimed: ClaimedInclusion, signed: SignedCheckpoint, hashes: tuple[bytes, ...]
) -> InclusionProof:
    return InclusionProof(
        claimed.index,
        claimed.size,
        claimed.leaf_hash,
        claimed.hashes,
        claimed.root,
        signed,
        hashes,
    )


def _require_submitted(receipt: Receipt, submission: Submission) -> None:
    # An id that was made a moment ago can be known to the log only from this very call.
    fresh = receipt.created or submission.minted
    require_event(receipt.verified, submission.event, fresh=fresh)


def _require_records(
    results: Sequence[Result], source: str, body: bytes, records: Sequence[bytes]
) -> None:
    """Hold the results of `records`, which were sent in `body`, against them.

    A record that was known before may be answered with an entry that keeps an earlier
    form of it, and a refused one with none: each of these stands for one record. What a
    connector finds inside a larger JSON value stands in `body` all the same.
    """
    sent = frozenset(records)
    originals = set()
    others = 0
    for result in results:
        original = None
        if isinstance(result, Receipt):
            require_source(result.verified, source)
            original = original_bytes(result.verified) if result.created else None
        if original is None:
            others += 1
        elif original in sent or original in body:
            originals.add(original)
        else:
            raise ContentError("receipt: its original record was not submitted")
    if len(originals) + others < len(sent):
        raise ContentError("answer: not a result for every record")
