"""Whether the original in a receipt was signed by who issued it. Offline, at any time.

A receipt proves that an entry stands in the log as it is. Where the entry keeps a
security event token (RFC 8417) as it came, there is more to prove: that its issuer
signed exactly this token, which neither the submitter nor the log could have made up.
What the log read out of the token stays the log's word, but for the id of the event,
which is compared with the token's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from provlog.client.errors import UsageError
from provlog.client.matching import event_member
from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import ContentError
from provlog.merkle.event_tokens import (
    MEDIA_TYPE,
    VerifiedSet,
    event_id,
    verify_set,
)
from provlog.merkle.jwk import IssuerKey
from provlog.merkle.receipts import VerifiedReceipt

_SUFFIX = re.compile(r"(?:#[1-9][0-9]{0,3})?(?:~[0-9a-f]{16,64})?", re.ASCII)


class NoTokenError(UsageError):
    """There is no signed token to verify."""


@dataclass(frozen=True)
class IssuerCheck:
    """What a token has to be: signed with one of `keys`, and more where it is given.

    `issuer` is who has to have issued it, `audiences` are those of whom it has to name
    one.
    """

    keys: Sequence[IssuerKey]
    issuer: str | None = None
    audiences: Sequence[str] = ()

    def of(self, receipt: VerifiedReceipt) -> VerifiedSet:
        """Return the token that a receipt opens, once its signature is verified.

        Raises `NoTokenError` where it opens none, and `MalformedError` and
        `VerificationError` where there is one that is not what it has to be, or not
        that of the entry's event.
        """
        token = _token_of(receipt)
        found = verify_set(
            token, self.keys, issuer=self.issuer, audiences=self.audiences
        )
        _require_same_event(receipt, token, found)
        return found


def _token_of(receipt: VerifiedReceipt) -> str:
    if "original" in receipt.withheld:
        raise NoTokenError("the receipt withholds the original")
    member = receipt.disclosures.get("original")
    value = member.value if member else None
    body = value.get("body") if isinstance(value, dict) else None
    if not isinstance(value, dict) or value.get("media_type") != MEDIA_TYPE:
        raise NoTokenError("the entry keeps no signed token")
    if not isinstance(body, str):
        raise NoTokenError("the entry keeps no signed token")
    return body


def _require_same_event(
    receipt: VerifiedReceipt, token: str, found: VerifiedSet
) -> None:
    if "event" in receipt.withheld:
        return
    shown = event_member(receipt).get("id")
    names = (event_id(found.claims.all), f"sha256:{sha256(token.encode()).hexdigest()}")
    if not any(_is_of(shown, name) for name in names):
        raise ContentError("receipt: its token is of another event than its entry")


def _is_of(shown: JsonValue, name: str | None) -> bool:
    if not isinstance(shown, str) or name is None or not shown.startswith(name):
        return False
    return _SUFFIX.fullmatch(shown[len(name) :]) is not None
