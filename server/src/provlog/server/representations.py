"""How logs, tokens and sources look in JSON, in the API and in the commands."""

from provlog.merkle.encoding import JsonValue, format_time
from provlog.server.announced import Announcement
from provlog.server.key_changes import known_keys
from provlog.server.log import Log
from provlog.server.storage.base import SourceRecord, TokenRecord


def log_json(log: Log) -> dict[str, JsonValue]:
    """Return an open log. `log_key` is its first key; `keys` are all it announced."""
    frozen = log.announced.frozen
    return {
        "name": log.record.name,
        "origin": log.origin,
        "log_key": log.record.log_key,
        "keys": [each.json() for each in known_keys(log)],
        "frozen": None if frozen is None else _frozen_json(frozen),
        "public": log.record.public,
        "created": log.record.created,
        "size": log.released.size,
    }


def _frozen_json(frozen: Announcement) -> dict[str, JsonValue]:
    return {"index": frozen.index, "successor": frozen.successor}


def token_json(token: TokenRecord) -> dict[str, JsonValue]:
    """Return a token without its secret, which nobody has."""
    return {
        "id": token.id,
        "roles": [*sorted(token.roles)],
        "sources": [*token.sources],
        "note": token.note,
        "rate": token.rate,
        "all_logs": token.logs is None,
        "created": format_time(token.created),
        "expires": None if token.expires is None else format_time(token.expires),
        "revoked": None if token.revoked is None else format_time(token.revoked),
    }


def source_json(source: SourceRecord) -> dict[str, JsonValue]:
    """Return a registered source."""
    return {"uri": source.uri, "ns": source.ns, "connector": source.connector}
