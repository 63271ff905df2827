"""The asynchronous client: submit events and have what comes back verified."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from provlog.client.accounting import require_records
from provlog.client.answers import Receipt, read_batch, read_receipt
from provlog.client.errors import RefusedError, UnavailableError
from provlog.client.events import Submission, join_batch, prepare, split_batches
from provlog.client.matching import require_event
from provlog.client.reading import Reader, asks_witnesses
from provlog.client.records import Records, cut_records
from provlog.client.transport import Answer, Request
from provlog.merkle.encoding import JsonValue
from provlog.merkle.receipts import MAX_RECEIPT

MAX_BATCH_ANSWER = 64 << 20

Event = Mapping[str, JsonValue]
Result = Receipt | RefusedError
OnResults = Callable[[Sequence[Result]], None]


class AsyncClient(Reader):
    """A log seen through its key: submit to it, ask it, and believe nothing unproved.

    `trust` comes from somewhere else than the log: `Trust.from_log_key(vkey)` or
    `Trust.from_policy(text)`. Everything that is returned was verified against it and
    is consistent with the newest checkpoint that `memory` holds of the log (by default
    a file in the user's state directory). Where the log replaced its key since, it is
    followed to the newer one by what it announced, which is remembered too.

    `timeout` is what one attempt may take and `patience` how long a request is tried,
    in seconds; only failed connections, 503 with `Retry-After` and 429 are tried again.
    A token is not sent over plain HTTP, other than to this machine, unless `insecure`.
    Under a policy with a quorum each submission waits until witnesses cosigned a
    checkpoint of it; with `wait_witnessed` it is an error to have no such policy.

    Every method raises `RefusedError`, `UnavailableError` or `UsageError`
    (`provlog.client.errors`), and where the log misbehaves a `MalformedError` or
    `VerificationError` (`provlog.merkle.errors`). One object serves many tasks of one
    event loop at a time.
    """

    async def submit(self, event: Event) -> Receipt:
        """Return the receipt of one event, a CloudEvent 1.0 as a mapping.

        An event without `id` gets one before the first attempt, so that no retry makes
        a second entry. The receipt is of an entry that holds exactly what was sent.
        `RefusedError` with status 409 says that its source and id are taken by other
        content, 410 that the event was logged and erased (or, with `kind` "frozen",
        that the log has ended). An `UnavailableError` holds the event with its id in
        `unsettled`: submit that one again.
        """
        await self._recall()
        submission = prepare(event)
        try:
            answer = await self._post(
                submission.body, "application/cloudevents+json", MAX_RECEIPT, {}
            )
            receipt = await self._keys.believe(
                partial(read_receipt, answer.body, created=answer.status == 201)
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
        await self._recall()
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
        registered one, `raw` a JSON array, lines of which the first is a JSON object,
        or one JSON object. Its records are sent as they are, also those that are not
        JSON. One record may become several events.

        Every record is accounted for, as far as that can be told without the
        connector's knowledge (`provlog.client.accounting` says how). Results are in the
        order of the records; a record that had to be sent twice has one more.
        `on_results` is as in `submit_batch`; to submit `raw` again makes no second
        entries.
        """
        await self._recall()
        results: list[Result] = []
        waiting = deque(cut_records(raw, format).batches())
        while waiting:
            records = waiting.popleft()
            try:
                done = await self._submit_records(format, source, records)
            except RefusedError as error:
                # Only the server knows how many events come of them: too many here.
                halves = records.halves() if error.status == 413 else None
                if halves is None:
                    raise
                waiting.extendleft(reversed(halves))
                continue
            results += done
            if on_results is not None:
                on_results(done)
        return results

    async def _submit_batch(self, batch: Sequence[Submission]) -> list[Result]:
        answer = await self._post(
            join_batch(each.body for each in batch),
            "application/cloudevents-batch+json",
            MAX_BATCH_ANSWER,
            {},
        )
        results = await self._keys.believe(partial(read_batch, answer.body, len(batch)))
        for submission, result in zip(batch, results, strict=True):
            if isinstance(result, Receipt):
                _require_submitted(result, submission)
        await self._accept_first(results)
        return results

    async def _submit_records(
        self, format_: str, source: str, records: Records
    ) -> list[Result]:
        answer = await self._post(
            records.body,
            records.content_type,
            MAX_BATCH_ANSWER,
            {"format": format_, "source": source},
        )
        results = await self._keys.believe(partial(read_batch, answer.body, None))
        require_records(results, source, records.items)
        await self._accept_first(results)
        return results

    async def _post(
        self, body: bytes, content_type: str, most: int, query: Mapping[str, str]
    ) -> Answer:
        if asks_witnesses(self._trust):
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

    async def _accept_first(self, results: Sequence[Result]) -> None:
        # All of them lead to one checkpoint; the lowest index reaches furthest back.
        receipts = [each for each in results if isinstance(each, Receipt)]
        new = [each for each in receipts if each.created]
        if receipts:
            await self._accept(min(new or receipts, key=lambda each: each.index))


def _require_submitted(receipt: Receipt, submission: Submission) -> None:
    # An id that was made a moment ago can be known to the log only from this very call.
    fresh = receipt.created or submission.minted
    require_event(receipt.verified, submission.event, fresh=fresh)
