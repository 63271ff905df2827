"""What an operator says of single sources, in files: DIR/connect/<any name>.toml.

::

    source = "urn:keycloak:acme"     whose settings these are
    log = "main"                     in which log
    heartbeat = "1h"                 the longest it is silent while all is well
    [hook]                           how its deliveries are signed
    hmac_header = "X-Keycloak-Signature"
    hmac_secret_file = "keycloak.hmac"
    [poll]                           how its provider's API is reached
    [[issuers]]                      who signs its security event tokens
    [mapping], [types]               what its records mean (the connector `generic`)

A secret stands in a file of its own, of mode 0600; its path is relative to the folder
of the TOML file. The files are read once, at the start.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from provlog.server.durations import parse_duration
from provlog.server.errors import ConfigurationError
from provlog.server.files import read_private, require_regular

MAX_FILES: Final = 1000
MAX_BYTES: Final = 256 << 10
MAX_SECRET: Final = 16 << 10

_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}", re.ASCII)


class HookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signature over the raw bytes of each delivery: HMAC-SHA256 under a secret.

    It stands in a header, in hexadecimal or base64, behind `hmac_prefix`.
    """

    hmac_header: str
    hmac_secret_file: str
    hmac_encoding: Literal["hex", "base64"] = "hex"
    hmac_prefix: str = ""


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    log: str = "main"
    heartbeat: str | None = None
    hook: HookSettings | None = None
    poll: dict[str, Any] = msgspec.field(default_factory=dict)
    issuers: list[dict[str, Any]] = msgspec.field(default_factory=list)
    mapping: dict[str, Any] = msgspec.field(default_factory=dict)
    types: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class SourceSettings:
    """The settings of one source. What its tables mean is for those who use them.

    `heartbeat` is the longest silence, in milliseconds, while all is well; None where
    none is declared. `path` is the file.
    """

    path: Path
    source: str
    log: str = "main"
    heartbeat: int | None = None
    hook: HookSettings | None = None
    poll: Mapping[str, Any] = field(default_factory=dict)
    issuers: tuple[Mapping[str, Any], ...] = ()
    mapping: Mapping[str, Any] = field(default_factory=dict)
    types: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_of_any(self) -> bool:
        """Whether they mean something of a source that nobody registered, too."""
        tables = (self.hook, self.poll, self.issuers, self.mapping, self.types)
        return not any(tables)

    def file(self, name: str) -> Path:
        """Return the path of a file that the settings name."""
        return self.path.parent / name

    def secret(self, name: str) -> str:
        """Return the text of a secret's file, read anew, without outer blanks.

        Raises `ConfigurationError` where it cannot be read, is empty, is open to
        others, or holds something else than printable text.
        """
        path = self.file(name)
        try:
            text = read_private(path, MAX_SECRET)
        except ValueError:
            text = ""
        if not text:
            raise ConfigurationError(f"{path} holds no secret in ASCII")
        return text


@dataclass(frozen=True, slots=True)
class SettingsBook:
    """The settings of all sources of an instance that have some."""

    sources: Mapping[tuple[str, str], SourceSettings] = field(default_factory=dict)

    def find(self, log: str, source: str) -> SourceSettings | None:
        """Return the settings of a source of the log of a name, None without any."""
        return self.sources.get((log, source))

    def of_log(self, log: str) -> dict[str, SourceSettings]:
        """Return the settings of all sources of a log, by the source."""
        return {uri: each for (name, uri), each in self.sources.items() if name == log}


def read_settings(folder: Path) -> SettingsBook:
    """Return the settings in a folder, which need not be there.

    Raises `ConfigurationError` for a file that cannot be read or is not understood, and
    for two of one source.
    """
    found: dict[tuple[str, str], SourceSettings] = {}
    paths = sorted(folder.glob("*.toml"))
    if len(paths) > MAX_FILES:
        raise ConfigurationError(f"{folder} has more than {MAX_FILES} files")
    for path in paths:
        settings = read_source(path)
        place = settings.log, settings.source
        if place in found:
            raise ConfigurationError(
                f"{path}: source {settings.source} has settings in"
                f" {found[place].path.name} already"
            )
        found[place] = settings
    return SettingsBook(found)


def read_source(path: Path) -> SourceSettings:
    """Return the settings in one file; `ConfigurationError` where it is not right."""
    require_regular(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigurationError(f"{path} is longer than {MAX_BYTES} bytes")
        tables = tomllib.loads(data.decode("utf-8"))
        read = msgspec.convert(tables, _Document)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        # Both say where, and neither repeats a value.
        raise ConfigurationError(f"{path}: {error}") from None
    if read.hook is not None and _FIELD.fullmatch(read.hook.hmac_header) is None:
        # No delivery could ever have such a field.
        raise ConfigurationError(f"{path}: hook.hmac_header is no name of a field")
    return SourceSettings(
        path,
        read.source,
        read.log,
        _milliseconds(path, read.heartbeat),
        read.hook,
        read.poll,
        tuple(read.issuers),
        read.mapping,
        read.types,
    )


def _milliseconds(path: Path, heartbeat: str | None) -> int | None:
    if heartbeat is None:
        return None
    return parse_duration(heartbeat, f"{path}: heartbeat")
