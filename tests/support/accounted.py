"""A log that answers records, truly or not, and is held to account for them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from provlog.client.accounting import require_records
from provlog.client.answers import read_batch
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.errors import ContentError
from provlog.server.intake.event import Event
from provlog.server.intake.members import split_members
from support.lying_log import NS, LyingLog, connect
from support.okta import SOURCE, okta_record


def record(uuid: str, *targets: dict[str, Any], **members: Any) -> bytes:  # noqa: ANN401
    return json.dumps(okta_record(*targets, uuid=uuid, **members)).encode()


class Log(LyingLog):
    """A log that answers records, truly or not."""

    def log_records(self, *records: bytes) -> list[int]:
        """Log records as the connector does; return the indexes of their events."""
        return [self.append_event(each)[1] for each in events(*records)]

    def log_entry(self, source: Event, **members: JsonValue) -> int:
        """Log the entry of an event with some members changed, None to have none."""
        whole = split_members(source, NS, {}) | members
        return self.append_members(
            source, {name: value for name, value in whole.items() if value is not None}
        )

    def check(
        self, records: Sequence[bytes], *outcomes: tuple[int, int], source: str = SOURCE
    ) -> None:
        """Hold an answer of these statuses and indexes against what was sent."""
        size = len(self.leaves)
        body = {
            "checkpoint": self.note().decode(),
            "results": [
                {
                    "status": status,
                    "index": index,
                    "leaf": encode_base64(self.leaves[index]),
                    "disclosures": list(self.disclosures[index]),
                    "hashes": [encode_base64(h) for h in self.inclusion(index, size)],
                }
                if status < 400
                else {"status": status, "problem": {"index": index}}
                for status, index in outcomes
            ],
        }
        answer = read_batch(json.dumps(body).encode(), None, self.trust)
        require_records(answer, source, records)

    def refuses(self, records: Sequence[bytes], *outcomes: tuple[int, int]) -> None:
        """Assert that such an answer is none."""
        with pytest.raises(ContentError):
            self.check(records, *outcomes)


def events(*records: bytes) -> list[Event]:
    """Return the events that the server makes of records."""
    return [made for each in records for made in connect(b"[%b]" % each, SOURCE)]


def new(*indexes: int) -> list[tuple[int, int]]:
    """Return the outcomes of entries that were made now."""
    return [(201, index) for index in indexes]


def old(*indexes: int) -> list[tuple[int, int]]:
    """Return the outcomes of entries that there were before."""
    return [(200, index) for index in indexes]
