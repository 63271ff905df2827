"""Bits turned in the columns of the tables, and what a check has to say of it.

Tables and columns come from the schema: a column that is added has to be checked, or
to be listed here with the reason why nothing can tell that it was changed.
"""

import random
import struct
from dataclasses import dataclass
from typing import TypeAlias

import apsw

from provlog.server.selfcheck.findings import Finding
from provlog.server.storage.sqlite_schema import apply_schema

Value: TypeAlias = int | float | str | bytes

UNDETECTABLE = {
    ("heads", "barrier"): "counts commits that changed nothing else",
    ("logs", "public"): "a setting that no entry records; a value but 0 and 1 is found",
    ("tokens", "digest"): "the digest of a secret that is kept nowhere",
}
"""Columns of which nothing else that is stored says what they were."""

SOME = {("tokens", "id"): "note <> 'init'"}
"""Rows that can be told to be changed: init makes random ids that it writes nowhere."""

COARSE = {("tokens", "created"), ("tokens", "revoked")}
"""Times set just before their entry's: changed by minutes they are found."""

ELSEWHERE = {("entries", "leaf"): "heads", ("logs", "log"): "heads"}
"""Where some findings stand: leaves after the last full tile are hashed in the head's
root alone, and a log under another number has no head."""

PRIVATE = ("bob@", "alice", "Zoë", "00u1", "192.0.2", "CHG-1")


def columns() -> list[tuple[str, str]]:
    """Return every table with every of its columns; they are the same in PostgreSQL."""
    connection = apsw.Connection(":memory:")
    apply_schema(connection)
    found = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' ORDER BY m.name, c.cid"
    )
    return [(table, column) for table, column in found]


@dataclass
class Damage:
    """One cell of a copy that was changed, and what was found then."""

    row: str
    before: Value
    after: Value | None
    found: list[Finding]


def flip(value: Value, rng: random.Random, lowest: int) -> Value:
    """Return a value with one bit turned, in an integer none below `lowest`."""
    if isinstance(value, int):
        return value ^ 1 << rng.randrange(lowest, 63)
    if isinstance(value, float):
        [bits] = struct.unpack("<q", struct.pack("<d", value))
        [changed] = struct.unpack(
            "<d", struct.pack("<q", bits ^ 1 << rng.randrange(52))
        )
        return float(changed)
    assert isinstance(value, bytes)
    place = rng.randrange(len(value))
    flipped = value[place] ^ 1 << rng.randrange(8)
    return value[:place] + bytes((flipped,)) + value[place + 1 :]


def require_found(table: str, column: str, damage: Damage) -> None:
    """Fail unless a finding names the place, and no finding tells private data."""
    places = {table, ELSEWHERE.get((table, column), table)}
    named = [
        finding
        for finding in damage.found
        if finding.table in places
        and finding.what
        and (finding.key is not None or finding.column is not None)
    ]
    assert named, damage
    for finding in damage.found:
        assert not any(private in finding.text() for private in PRIVATE), finding
