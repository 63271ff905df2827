"""Which keys of a log are believed offline, from the one that was given."""

from pathlib import Path

from provlog.client.cli.settings import Settings, read_file
from provlog.client.log_keys import follow_kept
from provlog.merkle.announcements import MAX_DOCUMENT, follow
from provlog.merkle.trust import Trust


def newest_trust(settings: Settings, announced: Path | None) -> Trust:
    """Return trust in the given key and in those that it is known to have led to.

    By the file `announced`, or else by what other commands remember of the log. Raises
    what `follow` raises of the file, and `UsageError` where what is remembered is
    damaged.
    """
    given = settings.trust()
    known = given
    kept = settings.memory().load_announcements(given.origin, given.log_keys[0].vkey())
    if kept is not None:
        known = follow_kept(given, kept).trust
    if announced is None:
        return known
    return follow(known, read_file(announced, MAX_DOCUMENT + 1)).trust
