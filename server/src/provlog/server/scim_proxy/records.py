"""The records of a request: its attempt, and its outcome, as the connector takes them.

Their members are described in `docs/connect/scim-proxy.md`. The whole record stays
within what an event may hold, because each of its bodies is bounded.
"""

import json
from dataclasses import dataclass, field
from typing import Final

from provlog.merkle.encoding import JsonValue, format_time
from provlog.server.intake.event import MAX_EVENT_BYTES
from provlog.server.scim_proxy.bodies import Body, recorded

MAX_TEXT: Final = 512

_BODIES = frozenset({"request", "response", "before"})


@dataclass(slots=True)
class Passage:
    """One request that changes something, on its way; it collects what is recorded.

    `number` is its id. `request`, `response` and `before` are JSON without secrets,
    None where there is none, or none that is kept: `flags` tell why.
    """

    number: str
    began: int
    method: str
    path: str
    query: str
    caller: dict[str, JsonValue]
    ip: str
    user_agent: str
    upstream: str
    flags: list[str] = field(default_factory=list)
    request: JsonValue = None
    before: JsonValue = None
    response: JsonValue = None
    status: int | None = None
    location: str = ""
    etag: str = ""
    error: str = ""
    sizes: dict[str, JsonValue] = field(default_factory=dict)

    def keep(
        self, name: str, body: Body, coding: str, most: int, secrets: frozenset[str]
    ) -> JsonValue:
        """Return what may be recorded of a body; flags tell where that is nothing."""
        if not body.size and body.whole:
            return None
        found = recorded(body.start, coding, most, secrets) if body.whole else None
        if found is None:
            self.flags.append(f"{name}_not_kept")
            self.note(name, body)
        return found

    def note(self, name: str, body: Body) -> None:
        """Note size and digest of a body that is not kept, once all of it passed."""
        if body.whole:
            self.sizes |= {f"{name}_size": body.size, f"{name}_digest": body.digest}

    def attempt(self) -> bytes:
        """Return the record of what is about to be passed on."""
        return _fitting(self._common("attempt", self.began))

    def outcome(self, now: int) -> bytes:
        """Return the record of what became of it."""
        record = self._common("outcome", now)
        given = {"response": self.response, "status": self.status}
        texts = {"location": self.location, "etag": self.etag, "error": self.error}
        record |= {name: each for name, each in given.items() if each is not None}
        return _fitting(record | {name: each for name, each in texts.items() if each})

    def _common(self, phase: str, time: int) -> dict[str, JsonValue]:
        record: dict[str, JsonValue] = {
            "id": self.number,
            "time": format_time(time),
            "phase": phase,
            "method": self.method,
            "path": self.path,
            "query": self.query or None,
            "caller": self.caller,
            "ip": self.ip or None,
            "user_agent": self.user_agent[:MAX_TEXT] or None,
            "upstream": self.upstream,
            "request": self.request,
            "before": self.before,
            "flags": [*dict.fromkeys(self.flags)] or None,
            **self.sizes,
        }
        return {name: each for name, each in record.items() if each is not None}


def _fitting(record: dict[str, JsonValue]) -> bytes:
    """Return a record that fits an event: without its bodies, if it has to be.

    Each of them is bounded as it came, but numbers are written anew, and longer.
    """
    data = _encode(record)
    if len(data) <= MAX_EVENT_BYTES:
        return data
    given = record.get("flags")
    flags = [*(given if isinstance(given, list) else []), "bodies_not_kept"]
    kept = {name: each for name, each in record.items() if name not in _BODIES}
    return _encode(kept | {"flags": flags})


def _encode(record: dict[str, JsonValue]) -> bytes:
    """Return a record as one line, for NDJSON.

    Fields of requests and answers may hold bytes that are no UTF-8: a "?" each, as a
    record that cannot be written would leave a change without its outcome.
    """
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace")
