"""Bearer tokens ``plt_<id>_<secret>``; only a digest of the secret is kept."""

import hmac
import math
import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from provlog.merkle.encoding import parse_time
from provlog.server.intake.event import EVENT_NAME, is_event_name
from provlog.server.storage.base import Reads, TokenRecord

ROLES: Final = ("submitter", "monitor", "auditor", "privacy", "admin", "hook")
WRITERS: Final = frozenset({"submitter", "hook"})
"""The roles that are given sources: what they may write."""
ANY_SOURCE: Final = "*"
MAX_NOTE: Final = 200
LATEST: Final = parse_time("9999-12-31T23:59:59.999Z")

_TOKEN = re.compile(r"plt_([0-9a-z]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A new token: its text, which is shown once, and the record to store."""

    text: str
    record: TokenRecord

    def __repr__(self) -> str:
        return f"MintedToken({self.record.id!r})"


def mint_token(
    *,
    logs: Iterable[int] | None,
    roles: Iterable[str],
    now: int,
    sources: Iterable[str] = (),
    note: str = "",
    rate: float | None = None,
    expires: int | None = None,
) -> MintedToken:
    """Return a new token of 256 random bits.

    `logs` are log numbers, None for all of them; `sources` the URIs a submitter may
    write, `ANY_SOURCE` for any, or the one that a hook delivers; `rate` events per
    second, None for no bound; `now` and `expires` are Unix milliseconds. Raises
    `ValueError` for an unknown role, a submitter without sources, sources without the
    submitter's role, a hook that could do anything else, and for a source, note, rate
    or expiry that is none.
    """
    chosen, allowed = frozenset(roles), tuple(sources)
    reached = None if logs is None else frozenset(logs)
    if not chosen or not chosen.issubset(ROLES):
        raise ValueError(f"roles are one or more of {', '.join(ROLES)}")
    if "hook" in chosen:
        _require_hook(chosen, allowed, reached)
    elif ("submitter" in chosen) != bool(allowed):
        raise ValueError("a submitter is given sources to write, and a reader none")
    if not all(uri == ANY_SOURCE or is_event_name(uri) for uri in allowed):
        raise ValueError(f"a source is {EVENT_NAME}")
    if not is_note(note):
        raise ValueError(
            f"a note is at most {MAX_NOTE} characters, and no control characters"
        )
    if rate is not None and not 0 < rate < math.inf:
        raise ValueError("a rate is a positive number of events per second")
    if expires is not None and expires > LATEST:
        raise ValueError("a token expires before the year 10000, or never")
    token_id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    record = TokenRecord(
        id=token_id,
        digest=_digest(secret),
        logs=reached,
        roles=chosen,
        sources=allowed,
        note=note,
        rate=rate,
        created=now,
        expires=expires,
        revoked=None,
    )
    return MintedToken(f"plt_{token_id}_{secret}", record)


def _require_hook(
    roles: frozenset[str], sources: tuple[str, ...], logs: frozenset[int] | None
) -> None:
    """Refuse a hook's secret that opens more than one source of one log."""
    single = len(sources) == 1 and ANY_SOURCE not in sources
    if roles != {"hook"} or not single or logs is None or len(logs) != 1:
        raise ValueError("the role hook is for one source of one log, and stands alone")


def is_note(text: str) -> bool:
    """Tell whether a note is short, and can be shown: no control characters."""
    return len(text) <= MAX_NOTE and not any(
        unicodedata.category(character) == "Cc" for character in text
    )


async def authenticate(reads: Reads, text: str, now: int) -> TokenRecord | None:
    """Return the token that `text` is, or None.

    Unknown, wrong, expired and revoked tokens are not told apart, and the secret is
    compared in constant time.
    """
    match = _TOKEN.fullmatch(text)
    if match is None:
        return None
    record = await reads.token(match[1])
    expected = _NO_DIGEST if record is None else record.digest
    if not hmac.compare_digest(_digest(match[2]), expected) or record is None:
        return None
    if record.revoked is not None:
        return None
    if record.expires is not None and record.expires <= now:
        return None
    return record


def may_write(token: TokenRecord, source: str) -> bool:
    """Tell whether a token may submit events of a source."""
    if "submitter" not in token.roles:
        return False
    return source in token.sources or ANY_SOURCE in token.sources


def reaches(token: TokenRecord, log: int) -> bool:
    """Tell whether a token belongs to a log."""
    return token.logs is None or log in token.logs


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("ascii")).digest()
