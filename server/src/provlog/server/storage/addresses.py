"""Where a PostgreSQL database is, as a URL; what of it may be written down."""

from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from provlog.server.errors import ConfigurationError

_SCHEMES: Final = ("postgresql", "postgres")
_MAX_LENGTH: Final = 2_000


def require_database_url(text: str) -> str:
    """Return a database's URL; `ConfigurationError` if it is none.

    The text is not repeated: it may hold a password.
    """
    if len(text) > _MAX_LENGTH or not text.isprintable():
        raise ConfigurationError("--database: no usable URL")
    try:
        parts = urlsplit(text)
        parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError("--database: no usable URL") from None
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(
            "--database: write postgresql://USER@HOST/DATABASE; without --database the"
            " log stands in a SQLite file in --dir"
        )
    if parts.fragment or "@" in parts.path + parts.query:
        raise ConfigurationError(
            "--database: in user and password write / as %2F, ? as %3F and # as %23"
        )
    if not parts.path.strip("/"):
        raise ConfigurationError(
            "--database: name the database, as in postgresql://USER@HOST/provlog"
        )
    return text


def recordable(url: str, user: str | None = None) -> str:
    """Return a URL without passwords, and for another user if one is given."""
    parts = urlsplit(url)
    userinfo, at, hosts = parts.netloc.rpartition("@")
    kept = quote(user, safe="") if user else userinfo.partition(":")[0]
    dropped = {"password", "sslpassword"} | ({"user"} if user else set())
    options = [
        (name, value) for name, value in parse_qsl(parts.query) if name not in dropped
    ]
    netloc = f"{kept}@{hosts}" if kept or at else hosts
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(options), ""))


def place_of(url: str) -> str:
    """Return the database and the hosts that a URL names, on one line, for messages.

    Neither user nor password nor any other option is in it.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    hosts = unquote(parts.netloc.rpartition("@")[2]) or options.get("host", "")
    database = quote(unquote(parts.path.strip("/")), safe="")
    return f"{database} at {quote(hosts or 'localhost', safe='/,:[]')}"
