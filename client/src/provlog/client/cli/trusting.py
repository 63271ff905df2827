"""Which keys of a log are believed offline, from the one that was given."""

from pathlib import Path

from provlog.client.cli.settings import Settings, read_file
from provlog.client.errors import UsageError
from provlog.client.kept_announcements import follow_kept
from provlog.merkle.announcements import MAX_DOCUMENT, follow
from provlog.merkle.errors import MerkleError, SignatureError
from provlog.merkle.trust import Trust


def newest_trust(settings: Settings, announced: Path | None = None) -> Trust:
    """Return trust in the given key and in those that it is known to have led to.

    By what other commands remember of the log, and by the file `announced`. Raises what
    `follow` raises of the file, and `UsageError` where what is remembered is damaged.
    """
    known = given = settings.trust()
    kept = _remembered(settings, given)
    if kept is not None:
        known = follow_kept(given, kept).trust
    if announced is None:
        return known
    return follow(known, read_file(announced, MAX_DOCUMENT + 1)).trust


def _remembered(settings: Settings, given: Trust) -> bytes | None:
    memory, key = settings.memory(), given.log_keys[0]
    try:
        return memory.load_announcements(given.origin, key.vkey())
    except UsageError:
        if settings.state is not None:
            raise
        # What works offline works without a home, too.
        return None


def explain_stranger(error: MerkleError, trust: Trust) -> None:
    """Say what to do where the log's name stands under a signature by another key."""
    strangers = error.strangers if isinstance(error, SignatureError) else ()
    if any(name == trust.origin for name, _ in strangers):
        error.add_note(
            "A key of the log's name signed it that is not known here. If the log "
            "changed its key, give what it announces, from URL/logs/NAME/announcements "
            "or a mirror, with --announcements FILE."
        )
