"""Okta's event hooks: its verification request, and the envelope of its deliveries.

Okta first asks whoever registers an address to show that it is theirs: a GET with
``x-okta-verification-challenge``, whose value has to come back as JSON. From then on it
POSTs an object with the System Log records in ``data.events``. Both carry the header
that was entered for authentication, unchanged; there is no signature. It waits three
seconds, tries once more, keeps no order, and may deliver twice.

Source: Okta's developer documentation, "Event hooks".
"""

from collections.abc import Iterator, Mapping
from typing import Final

from provlog.merkle.encoding import JsonValue, is_canonical_text
from provlog.server.intake.records import cut_member

CHALLENGE: Final = "x-okta-verification-challenge"
MAX_CHALLENGE: Final = 1024
MAX_RECORDS: Final = 10_000
"""More than fit the longest body, unless they say nothing."""


class OktaHook:
    """How Okta delivers; see the module."""

    def verification(self, headers: Mapping[str, str]) -> JsonValue:
        """Return what answers the verification request, None if it is none."""
        value = headers.get(CHALLENGE, "")
        if not is_canonical_text(value) or not 1 <= len(value) <= MAX_CHALLENGE:
            return None
        return {"verification": value}

    def cut(self, body: bytes) -> Iterator[list[bytes]]:
        """Yield the records of a delivery in steps, each exactly as it was sent.

        Raises `EventError` 400, also on the way, when the body is no such envelope.
        """
        return cut_member(body, ("data", "events"), MAX_RECORDS)
