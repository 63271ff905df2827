"""One batch of an outbox taken to its log, and what the answer settles.

Nothing in here changes the spool. What is returned as settled was verified, or refused
for good; whatever raises, or comes back as `error`, settles nothing.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Final

from provlog.client.aio import AsyncClient, Result
from provlog.client.answers import Receipt
from provlog.client.errors import ClientError, RefusedError, UnavailableError
from provlog.client.matching import event_member
from provlog.client.memory import write_private
from provlog.client.outbox.items import Failure, Item, Settled, StoredReceipt
from provlog.client.records import cut_records
from provlog.client.transport import Answer
from provlog.merkle.encoding import JsonValue, loads_json
from provlog.merkle.errors import MerkleError

_OF_THE_BODY: Final = frozenset({400, 413, 422})
"""Refusals of a whole request that something in its body brings about.

The others (401, 404, mostly 403 and so on) are about the token or the log, and are to
be mended there: no item is to be given up for them.
"""


class OutboxClient(AsyncClient):
    """A client that still has the last exchange when an answer does not verify."""

    exchange: tuple[bytes, bytes] | None = None

    async def _post(
        self, body: bytes, content_type: str, most: int, query: Mapping[str, str]
    ) -> Answer:
        self.exchange = None
        answer = await super()._post(body, content_type, most, query)
        self.exchange = body, answer.body
        return answer


@dataclass(slots=True)
class Delivered:
    """What became of a batch.

    `settled` may be fewer than the batch; `error` then says what became of the rest.
    """

    settled: list[Settled] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    error: ClientError | MerkleError | None = None

    def take(self, item: Item, results: Sequence[Result]) -> None:
        """Take the results of one item."""
        receipts = [each for each in results if isinstance(each, Receipt)]
        failures = [
            Failure.of(each) for each in results if isinstance(each, RefusedError)
        ]
        for failure in failures:
            if not failure.is_final:
                self.error = UnavailableError(failure.detail, status=failure.status)
                return
        stored = tuple(stored_receipt(each) for each in receipts)
        first = failures[0] if failures else None
        self.settled.append(Settled(item.number, stored, first))
        self.receipts += receipts


class Delivery:
    """Takes batches of a spool to the log of `client`.

    An answer that does not verify is kept in a file beside `path`, with what was sent,
    and named in a note of the error. It holds personal data, and has mode 0600.
    """

    def __init__(self, client: OutboxClient, origin: str, path: Path) -> None:
        self.origin = origin
        self._client = client
        self._path = path

    async def deliver(self, batch: Sequence[Item]) -> Delivered:
        """Send a batch as `Spool.batch` returns it; raises nothing but cancellation."""
        done = Delivered()
        send = self._events if batch[0].format is None else self._records
        try:
            await send(batch, done)
        except MerkleError as error:
            self._keep_evidence(error)
            done.error = error
        except ClientError as error:
            done.error = error
        return done

    async def close(self) -> None:
        """Write down the newest checkpoint and close all connections."""
        await self._client.close()

    async def _events(self, batch: Sequence[Item], done: Delivered) -> None:
        # Lines of a file that are no events wait only if somebody retried them.
        for item in (each for each in batch if not each.source):
            failure = Failure(0, "not an event in JSON", "not-an-event")
            done.settled.append(Settled(item.number, (), failure))
        sent = [each for each in batch if each.source]
        if not sent:
            return
        try:
            results = await self._client.submit_batch(map(_event, sent))
        except RefusedError as error:
            if not _is_of_the_body(error):
                raise
            await self._halve(sent, error, done)
            return
        for item, result in zip(sent, results, strict=True):
            done.take(item, [result])

    async def _halve(
        self, sent: Sequence[Item], error: RefusedError, done: Delivered
    ) -> None:
        """Find the item for which the whole body was refused; the others get in."""
        if len(sent) == 1:
            done.take(sent[0], [error])
            return
        middle = len(sent) // 2
        await self._events(sent[:middle], done)
        if done.error is None:
            await self._events(sent[middle:], done)

    async def _records(self, batch: Sequence[Item], done: Delivered) -> None:
        for are_lines, group in groupby(batch, lambda each: _is_lines(each.body)):
            items = list(group)
            results = None
            if are_lines and len(items) > 1:
                results = await self._joined(items)
            if results is not None:
                # Every record has its entries; which are whose is of no interest here.
                done.take(items[0], results)
                done.settled += [Settled(each.number) for each in items[1:]]
                continue
            for item in items:
                await self._one_body(item, done)
                if done.error is not None:
                    return

    async def _joined(self, batch: Sequence[Item]) -> list[Result] | None:
        """Return the receipts of all items in one body, None if one was refused.

        Then they are sent again one by one: those that got in are known.
        """
        try:
            results = await self._submit(batch[0], b"\n".join(e.body for e in batch))
        except RefusedError as error:
            if not _is_of_the_body(error):
                raise
            return None
        whole = all(isinstance(each, Receipt) for each in results)
        return results if whole else None

    async def _one_body(self, item: Item, done: Delivered) -> None:
        try:
            done.take(item, await self._submit(item, item.body))
        except RefusedError as error:
            if not _is_of_the_body(error):
                raise
            done.take(item, [error])

    async def _submit(self, item: Item, raw: bytes) -> list[Result]:
        return await self._client.submit_records(item.format or "", item.source, raw)

    def _keep_evidence(self, error: MerkleError) -> None:
        exchange = self._client.exchange
        if exchange is None:
            return
        value: dict[str, JsonValue] = {"v": 1, "origin": self.origin}
        value["error"] = str(error)
        for name, data in zip(("request", "answer"), exchange, strict=True):
            value[f"{name}_base64"] = base64.b64encode(data).decode()
        data = json.dumps(value).encode()
        name = f"{self._path.name}.{sha256(data).hexdigest()[:16]}.evidence.json"
        path = self._path.with_name(name)
        try:
            write_private(path, data)
            error.add_note(f"What was sent and what came back is kept: {path}")
        except OSError as trouble:
            error.add_note(f"The answer could not be kept: {trouble.strerror}")


def stored_receipt(receipt: Receipt) -> StoredReceipt:
    """Return a verified receipt in the form in which it is kept."""
    named = event_member(receipt.verified).get("id")
    return StoredReceipt(
        receipt.index,
        str(receipt.verified.entry.body["source"]),
        named if isinstance(named, str) else None,
        json.dumps(receipt.json).encode(),
    )


def _is_of_the_body(error: RefusedError) -> bool:
    """Tell whether a refusal of a whole request is one of its items alone.

    Records have one source for all: that the token may not write it says nothing of
    other items.
    """
    of_its_source = error.status == 403 and error.pointer == "/source"
    return error.status in _OF_THE_BODY or of_its_source


def _event(item: Item) -> Mapping[str, JsonValue]:
    event = loads_json(item.body, "event")
    assert isinstance(event, dict)  # noqa: S101  it was one when it was put
    return event


def _is_lines(body: bytes) -> bool:
    """Tell whether a body can be put before others: each of its lines is a record."""
    records = cut_records(body)
    return records.lines and not any(b"\n" in each for each in records.items)
