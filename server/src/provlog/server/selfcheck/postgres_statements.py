"""What a check asks PostgreSQL for: rows as they are stored.

Text is read as its bytes, for what a bit flip left need not be valid, and what no
column takes, such as NULL in most, as a value that disagrees.
"""

from typing import Final


def _bytes(column: str) -> str:
    return f"coalesce({column}, '')"


def _text(column: str) -> str:
    return f"coalesce(textsend({column}), '')"


def _integer(column: str) -> str:
    return f"coalesce({column}, -1)"


def _select(table: str, *columns: str) -> str:
    return f"SELECT {', '.join(columns)} FROM provlog.{table}"  # noqa: S608  own names


_RANGE: Final = " WHERE log = $1 AND idx >= $2 AND idx < $3"
LEAVES: Final = _select("entries", "idx", _bytes("leaf")) + _RANGE
PRIVATE: Final = (
    _select("private", "idx", _text("disclosures"), "compare_key", "compare_digest")
    + _RANGE
)
OPENINGS: Final = (
    _select("openings", "idx", _integer("epoch"), *map(_bytes, ("nonce", "labels")))
    + _RANGE
)
TILE: Final = (
    _select("tiles", *map(_bytes, ("root", "hashes")))
    + " WHERE log = $1 AND level = $2 AND idx = $3"
)
_KEY: Final = _select("keys", "id", _integer("idx"))
SIZE: Final = _select("heads", "size") + " WHERE log = $1"
PLACES: Final = _KEY + " WHERE log = $1 AND id = ANY ($2::bytea[])"
KEYS_AFTER: Final = _KEY + " WHERE log = $1 AND id > $2 ORDER BY id LIMIT $3"
LAST_ENTRY: Final = _select("entries", "max(idx)") + " WHERE log = $1"
LOGS: Final = (
    _select(
        "logs",
        "log",
        *map(_text, ("name", "origin", "log_key")),
        "coalesce(public::int, -1)",
        _text("created"),
    )
    + " ORDER BY name"
)
HEADS: Final = _select(
    "heads",
    "log",
    _integer("size"),
    _bytes("root"),
    *map(_integer, ("events", "epoch", "recorded", "barrier")),
)
SOURCES: Final = _select(
    "sources",
    "log",
    *map(_text, ("uri", "ns")),
    "textsend(connector)",
    _integer("idx"),
)
CURSORS: Final = _select(
    "cursors",
    "log",
    *map(_text, ("source", "position")),
    _integer("updated"),
    _bytes("digest"),
)
TOKENS: Final = _select(
    "tokens",
    _text("id"),
    _bytes("digest"),
    *map(_text, ("logs", "roles", "sources", "note")),
    "rate",
    _integer("created"),
    "expires",
    "revoked",
)

# From one log's number to the next, without reading the rows between.
FOREIGN: Final = """
WITH RECURSIVE found (log) AS (
    SELECT min(log) FROM provlog.{0}
    UNION ALL
    SELECT (SELECT min(t.log) FROM provlog.{0} t WHERE t.log > found.log)
    FROM found WHERE found.log IS NOT NULL
)
SELECT log FROM found
WHERE log IS NOT NULL AND log <> ALL ($1::bigint[])
      AND NOT EXISTS (SELECT FROM provlog.logs l WHERE l.log = found.log)
"""
