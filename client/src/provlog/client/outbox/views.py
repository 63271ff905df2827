"""Looking into a spool, and deciding about what failed."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from provlog.client.errors import SpoolError, UsageError
from provlog.client.memory import write_private
from provlog.client.outbox.files import as_usage, sync_folder
from provlog.client.outbox.items import Item, Status, StoredReceipt
from provlog.client.outbox.spool import COLUMNS, Spool

PAGE = 500


def read_status(spool: Spool) -> Status:
    """Return what is in the file."""
    oldest = "SELECT queued FROM items WHERE failure IS NULL ORDER BY number LIMIT 1"

    def look(db: sqlite3.Connection) -> tuple[dict[str, object], int | None]:
        row = db.execute(oldest).fetchone()
        state = dict(db.execute("SELECT name, value FROM state"))
        return state, None if row is None else row[0]

    state, queued = spool.read(look)
    items, failed = _whole(state["items"]), _whole(state["failed"])
    return Status(
        waiting=items - failed,
        failed=failed,
        receipts=_whole(state["receipts"]),
        bytes=_whole(state["bytes"]),
        oldest=queued,
        sent=_whole(state["sent"]),
        refused=_whole(state["refused"]),
        dropped=_whole(state["dropped"]),
        trouble=_text(state["trouble"]),
        sending=not spool.lease.is_free(),
        origin=_text(state["origin"]),
    )


def last_waiting(spool: Spool) -> int | None:
    """Return the number of the newest waiting item, None if none waits."""
    query = "SELECT max(number) FROM items WHERE failure IS NULL"
    number: int | None = spool.read(lambda db: db.execute(query).fetchone()[0])
    return number


def is_waiting(spool: Spool, until: int) -> bool:
    """Tell whether any item up to this number waits."""
    query = "SELECT 1 FROM items WHERE failure IS NULL AND number <= ? LIMIT 1"
    found = spool.read(lambda db: db.execute(query, (until,)).fetchone())
    return found is not None


def read_failed(spool: Spool, most: int = PAGE, after: int = 0) -> list[Item]:
    """Return failed items in their order, at most so many, behind a number."""
    query = (
        f"SELECT {COLUMNS} FROM items WHERE failure IS NOT NULL AND number > ?"  # noqa: S608  a constant
        " ORDER BY number LIMIT ?"
    )
    return spool.read(
        lambda db: [spool.item(row) for row in db.execute(query, (after, most))]
    )


def retry(spool: Spool, numbers: Sequence[int] | None = None) -> int:
    """Let failed items wait again, all or those of these numbers; return how many.

    They keep their place: they go before what was put after them.
    """
    with spool.transaction() as db:
        if numbers is None:
            query = "UPDATE items SET failure = NULL WHERE failure IS NOT NULL"
            return db.execute(query).rowcount
        _require_failed(db, numbers)
        query = "UPDATE items SET failure = NULL WHERE number = ?"
        return sum(db.execute(query, (each,)).rowcount for each in set(numbers))


def drop(spool: Spool, numbers: Sequence[int] | None = None) -> int:
    """Remove failed items for good, all or those of these numbers; return how many.

    What waits cannot be dropped.
    """
    with spool.transaction() as db:
        if numbers is None:
            count = db.execute("DELETE FROM items WHERE failure IS NOT NULL").rowcount
        else:
            _require_failed(db, numbers)
            query = "DELETE FROM items WHERE number = ?"
            count = sum(db.execute(query, (each,)).rowcount for each in set(numbers))
        db.execute(
            "UPDATE state SET value = value + ? WHERE name = 'dropped'", (count,)
        )
    return count


def find_receipts(spool: Spool, source: str, event_id: str) -> list[StoredReceipt]:
    """Return the kept receipts of a source and id, verified when they were stored."""
    query = (
        "SELECT entry, source, id, receipt FROM receipts"
        " WHERE source = ? AND id = ? ORDER BY entry"
    )
    rows = spool.read(lambda db: db.execute(query, (source, event_id)).fetchall())
    return [StoredReceipt(*row) for row in rows]


def read_receipts(spool: Spool) -> Iterator[StoredReceipt]:
    """Yield all kept receipts by their index; more may come meanwhile."""
    after = -1
    while page := receipts_after(spool, after):
        yield from page
        after = page[-1].index


def receipts_after(spool: Spool, index: int) -> list[StoredReceipt]:
    """Return the next receipts behind an index, one page of them."""
    query = (
        "SELECT entry, source, id, receipt FROM receipts"
        " WHERE entry > ? ORDER BY entry LIMIT ?"
    )
    rows = spool.read(lambda db: db.execute(query, (index, PAGE)).fetchall())
    return [StoredReceipt(*row) for row in rows]


def move_receipts(spool: Spool, folder: Path, *, remove: bool) -> int:
    """Write the kept receipts into files of a folder; return how many.

    Each is ``<index>.receipt.json``, of mode 0600. With `remove` they leave the spool,
    page by page, once their files are on disk: a crash in between leaves them in both.
    Raises `UsageError` rather than write over a receipt of another log.
    """
    with as_usage(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    count, after = 0, -1
    while page := receipts_after(spool, after):
        for each in page:
            _write(folder / f"{each.index}.receipt.json", each.data)
        with as_usage(folder):
            sync_folder(folder)
        if remove:
            with spool.transaction() as db:
                query = "DELETE FROM receipts WHERE entry = ?"
                db.executemany(query, [(each.index,) for each in page])
        count, after = count + len(page), page[-1].index
    return count


def check(spool: Spool) -> None:
    """Read the whole file and return if nothing in it is damaged, or raise."""
    [found] = spool.read(lambda db: db.execute("PRAGMA quick_check(1)").fetchone())
    if found != "ok":
        raise SpoolError(f"{spool.path}: damaged, and left as it is")
    query = f"SELECT {COLUMNS} FROM items"  # noqa: S608  a constant

    def read_all(db: sqlite3.Connection) -> None:
        for row in db.execute(query):
            spool.item(row)

    spool.read(read_all)


def _write(path: Path, data: bytes) -> None:
    if path.exists():
        with as_usage(path):
            there = _origin(path.read_bytes())
        if there is None or there != _origin(data):
            raise UsageError(
                f"{path} is not a receipt of this log, and is not overwritten: give "
                "each log a folder of its own"
            )
    with as_usage(path):
        write_private(path, data + b"\n")


def _origin(data: bytes) -> object:
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value.get("origin") if isinstance(value, dict) else None


def _require_failed(db: sqlite3.Connection, numbers: Sequence[int]) -> None:
    query = "SELECT 1 FROM items WHERE number = ? AND failure IS NOT NULL"
    for each in numbers:
        if db.execute(query, (each,)).fetchone() is None:
            raise UsageError(f"no failed item has the number {each}")


def _whole(value: object) -> int:
    assert isinstance(value, int)  # noqa: S101  from our own schema
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
