"""Announcements that were followed once, and kept: what they still lead to. No I/O."""

from collections.abc import Mapping

from provlog.client.errors import UsageError
from provlog.merkle.announcements import (
    Followed,
    follow,
    parse_announcements_unverified,
)
from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import MerkleError
from provlog.merkle.trust import Trust


def follow_kept(given: Trust, kept: bytes) -> Followed:
    """Return where remembered announcements lead; raises `UsageError` if nowhere."""
    try:
        return follow(given, kept)
    except MerkleError as error:
        raise UsageError(
            f"the remembered announcements of {given.origin} are damaged ({error}); "
            "remove their file: they are asked for anew"
        ) from None


def is_older(document: bytes, kept: bytes, size: int | None) -> bool:
    """Tell whether a document is one of before, as a mirror or a cache may have it.

    It is not if the tree that is served has an entry that it does not announce.
    """
    missing = pairs(kept) - pairs(document)
    if not pairs(document) <= pairs(kept) or not missing:
        return False
    first = min(index for index, _ in missing)
    behind = any(index > first for index, _ in pairs(document))
    return not behind and (size is None or size <= first)


def pairs(document: bytes) -> frozenset[tuple[int, bytes]]:
    """Return index and leaf of each announcement of a document that was followed."""
    _, announcements = parse_announcements_unverified(document)
    return frozenset((each.index, each.leaf) for each in announcements)


def describe_end(size: int, successor: Mapping[str, JsonValue] | None) -> str:
    """Return how a log ended, for a person; its words are the log's."""
    ended = f"ended with its entry {size - 1}, a log of {size}"
    if successor is None:
        return f"{ended}; it names no successor"
    return f"{ended}; it goes on as {successor['origin']}, key {successor['log_key']}"
