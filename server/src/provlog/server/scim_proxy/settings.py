"""What the proxy is told: its bounds, and a file with names and secret attributes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from yarl import URL

from provlog.server.errors import ConfigurationError
from provlog.server.http.addresses import Network

MAX_FILE: Final = 1 << 20
MAX_NAMES: Final = 10_000
MAX_NAME: Final = 256


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Bounds of what passes. Sizes are in bytes, times in seconds.

    `request_bytes`, `response_bytes` and `before_bytes` are how long a body may be that
    is kept for a record; longer ones are passed on piece by piece. `upstream_seconds`
    is how long the SCIM server may take to answer, `log_seconds` how long the log may
    take for one record, `body_seconds` how long the next piece of a body may take. At
    most `changes` requests that change something are in hand at a time, `long_changes`
    of them with a body longer than `request_bytes`; `rate` is how many a second there
    may be from one address, None for any number.

    `before`: the state of a resource is asked for before it is changed. `own_host`: the
    SCIM server is called by its own name, not by the one that the proxy was called by.
    """

    upstream: URL
    before: bool = False
    own_host: bool = False
    public_url: str | None = None
    proxies: tuple[Network, ...] = ()
    proxies_only: bool = False
    certificate_header: str | None = None
    secret_names: frozenset[str] = frozenset()
    callers: dict[str, str] = field(default_factory=dict)
    upstream_seconds: float = 30.0
    log_seconds: float = 5.0
    body_seconds: float = 30.0
    before_seconds: float = 5.0
    changes: int = 256
    long_changes: int = 16
    rate: float | None = None
    request_bytes: int = 128 * 1024
    response_bytes: int = 64 * 1024
    before_bytes: int = 48 * 1024


class SettingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`--settings`: names of callers by id or digest, and further secret attributes."""

    callers: dict[str, str] = {}
    secret_attributes: list[str] = []


def read_settings_file(path: Path) -> SettingsFile:
    """Return what a TOML file says, or raise `ConfigurationError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise ConfigurationError(f"{path} is longer than {MAX_FILE} bytes")
    try:
        found = msgspec.toml.decode(data, type=SettingsFile)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ConfigurationError(
            f"{path} is no TOML with a table [callers] of names and a list"
            " secret_attributes, and nothing else"
        ) from None
    texts = [*found.callers, *found.callers.values(), *found.secret_attributes]
    if len(texts) > MAX_NAMES or any(not 0 < len(each) <= MAX_NAME for each in texts):
        raise ConfigurationError(
            f"{path}: names have 1 to {MAX_NAME} characters, and there are at most"
            f" {MAX_NAMES}"
        )
    return found
