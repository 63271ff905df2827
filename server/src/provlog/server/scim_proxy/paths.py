"""From a request's target to the SCIM server's URL, never beyond its base."""

import re
from urllib.parse import unquote

from yarl import URL

_TARGET = re.compile(r"/[!-~]*", re.ASCII)
_PARTS = re.compile(r"[/\\]")
_DOTS = frozenset({".", ".."})
_SEARCH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/\.search", re.ASCII)


class TargetError(ValueError):
    """A target that could name something else than it seems to."""


def upstream_url(base: URL, path: str, query: str) -> URL:
    """Return the URL of a path below the SCIM server's base; nothing is rewritten.

    Raises `TargetError` for what a server might resolve to another place: dot segments,
    escaped ones too, backslashes, and what is not printable ASCII.
    """
    if _TARGET.fullmatch(path) is None or "\\" in path or _climbs(path):
        raise TargetError("path")
    if query and _TARGET.fullmatch("/" + query) is None:
        raise TargetError("query")
    root = f"{base.origin()}{base.raw_path.rstrip('/')}"
    return URL(f"{root}{path}{'?' if query else ''}{query}", encoded=True)


def is_search(path: str) -> bool:
    """Tell whether a POST to a path only reads (RFC 7644 section 3.4.3).

    Not of a path that a server could cut short before its end, at a semicolon or at
    something escaped: what it would do then has to be recorded.
    """
    return _SEARCH.fullmatch(path) is not None


def _climbs(path: str) -> bool:
    """Tell whether a segment means another folder, also after it was unescaped.

    What follows a semicolon is a parameter to some servers.
    """
    return any(
        part.partition(";")[0] in _DOTS
        for segment in path.split("/")
        for part in _PARTS.split(unquote(segment))
    )
