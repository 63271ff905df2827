"""How rows become records and records rows: alike in both engines."""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from provlog.merkle.hashing import EMPTY_ROOT
from provlog.merkle.labels import LABEL_SIZE, LabelKind
from provlog.merkle.receipts import Openings
from provlog.server.storage.base import (
    Cursor,
    DamagedCursorError,
    Head,
    LogRecord,
    Private,
    StorageError,
    TokenRecord,
)

EMPTY_HEAD = Head(0, EMPTY_ROOT, 0, 1, 0)
# The tables' columns are typed: the engine has checked each value.
Row: TypeAlias = Sequence[Any]


def single_column(rows: Sequence[Row], expected: int, table: str) -> list[bytes]:
    """Return the one column of rows; `StorageError` unless all of them are there."""
    if len(rows) != expected:
        raise StorageError(f"{expected - len(rows)} rows of {table} are missing")
    return [row[0] for row in rows]


def log_record(row: Row) -> LogRecord:
    """Return the log of a row."""
    number, name, origin, log_key, public, created = row
    return LogRecord(
        number,
        name,
        origin,
        log_key,
        bool(public),
        created,
    )


def private_record(row: Sequence[Any]) -> Private:
    """Return the private side of a row."""
    disclosures, compare_key, compare_digest = row
    texts = tuple(disclosures.split("~")) if disclosures else ()
    return Private(texts, compare_key, compare_digest)


def private_row(log: int, index: int, private: Private) -> tuple[object, ...]:
    """Return the row of an entry's private side."""
    return (
        log,
        index,
        "~".join(private.disclosures),
        private.compare_key,
        private.compare_digest,
    )


def openings_record(row: Row) -> Openings:
    """Return the openings of a row."""
    nonce, packed = row
    size = 1 + LABEL_SIZE
    items = (packed[at : at + size] for at in range(0, len(packed), size))
    return Openings(nonce, tuple((LabelKind(item[0]), item[1:]) for item in items))


def opening_row(
    log: int, index: int, epoch: int, openings: Openings
) -> tuple[object, ...]:
    """Return the row of an entry's openings."""
    packed = b"".join(bytes((kind,)) + label for kind, label in openings.labels)
    return log, index, epoch, openings.nonce, packed


@lru_cache(maxsize=1024)
def token_record(row: tuple[Any, ...]) -> TokenRecord:
    """Return the token of a row."""
    # Every request reads its token's row; one that has not changed is not decoded anew.
    logs = row[2]
    return TokenRecord(
        id=row[0],
        digest=row[1],
        logs=None if logs == "*" else frozenset(json.loads(logs)),
        roles=frozenset(json.loads(row[3])),
        sources=tuple(json.loads(row[4])),
        note=row[5],
        rate=row[6],
        created=row[7],
        expires=row[8],
        revoked=row[9],
    )


def token_row(token: TokenRecord) -> tuple[object, ...]:
    """Return the row of a token."""
    return (
        token.id,
        token.digest,
        "*" if token.logs is None else _array(token.logs),
        _array(token.roles),
        _array(token.sources),
        token.note,
        token.rate,
        token.created,
        token.expires,
        token.revoked,
    )


def cursor_record(log: int, source: str, row: Row) -> Cursor:
    """Return the cursor of a row; `DamagedCursorError` if it was not so written."""
    position, updated, digest = row
    cursor = Cursor(source, position, updated)
    if digest != cursor.digest(log):
        raise DamagedCursorError(f"the cursor of {source} is damaged")
    return cursor


def head_row(head: Head) -> tuple[int, bytes, int, int, int]:
    """Return the changing columns of a head row."""
    return head.size, head.root, head.events, head.epoch, head.recorded


def cursor_row(log: int, cursor: Cursor) -> tuple[object, ...]:
    """Return the row of a cursor."""
    return log, cursor.source, cursor.position, cursor.updated, cursor.digest(log)


def _array(items: Iterable[int | str]) -> str:
    return json.dumps(sorted(items, key=str))
