"""Leaves of events by what they say in the clear."""

from provlog.merkle.encoding import encode_base64url, format_time
from provlog.merkle.entries import event_template

START = 1_795_000_000_000
"""When the first of these events may have been recorded, in Unix milliseconds."""

HOUR = 3_600_000
ACME = "urn:okta:acme"


def source_leaf(
    recorded: int,
    *,
    source: str = ACME,
    time: int | None = None,
    seq: int | None = None,
    type: str = "role.assign",  # noqa: A002  the member's name in the leaf
    n: int = 0,
) -> bytes:
    """Return a leaf; its times are given in milliseconds since `START`.

    By default the event happened when it was recorded.
    """
    happened = recorded if time is None else time
    template = event_template(
        entry_id=encode_base64url(n.to_bytes(32, "big")),
        members={"actor": encode_base64url(bytes(32))},
        source=source,
        tags=[encode_base64url(bytes(32))],
        time=format_time(START + happened),
        type=type,
        seq=seq,
    )
    return template.finish(1, n, format_time(START + recorded))
