"""Which witnesses a log has: DIR/witnesses/<log>.toml, and a tlog-policy beside it.

::

    policy = "main.policy"    whose witness lines hold URLs: submission prefixes
    fail = "closed"           or "open": what is served without a quorum
    refresh = "1h"            how old the newest cosignature of an unchanged head gets
    timeout = "5s"            what one answer of a witness may take
    grace = "30s"             with "open": how long a newer head waits for its quorum
    wait = "20s"              how long ?wait=witnessed waits
    insecure = false          whether plain HTTP to other machines is allowed
    [monitoring]              where a witness shows what it cosigned, by its name, if
    w1 = "https://…"          that is not below its submission prefix

Witness lines with one URL are one witness, which is asked once: it has several keys.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
from yarl import URL

from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.policy import MAX_POLICY_SIZE, Policy, parse_policy
from provlog.server.durations import parse_duration
from provlog.server.errors import ConfigurationError
from provlog.server.files import require_regular
from provlog.server.hosts import is_loopback

MAX_BYTES: Final = 64 << 10
MAX_URL: Final = 2_000
SUFFIX: Final = ".toml"


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the file; the docstring of the module says what it means."""

    policy: str
    fail: Literal["open", "closed"] = "closed"
    refresh: str = "1h"
    timeout: str = "5s"
    grace: str = "30s"
    wait: str = "20s"
    insecure: bool = False
    monitoring: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One witness: the policy's names for it, its keys, and where it is asked.

    `label` is the first of its names, under which metrics and the server's log show it.
    """

    label: str
    names: Mapping[VerifierKey, str]
    submission: str
    monitoring: str


@dataclass(frozen=True, slots=True)
class WitnessSettings:
    """What an operator says of one log's witnesses; times are in seconds."""

    path: Path
    policy: Policy
    fail_open: bool
    refresh: float
    timeout: float
    grace: float
    wait: float
    endpoints: tuple[Endpoint, ...]


def settings_path(folder: Path, log: str) -> Path:
    """Return the file of a log's witnesses."""
    return folder / f"{log}{SUFFIX}"


def read_witnesses(folder: Path, log: str, origin: str) -> WitnessSettings | None:
    """Return the settings of a log's witnesses, None where it has none.

    Raises `ConfigurationError`, naming the file and the member, for what is not right.
    """
    path = settings_path(folder, log)
    try:
        document = read_document(path)
    except FileNotFoundError:
        return None
    name = document.policy
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise ConfigurationError(
            f"{path}: policy is the name of a file beside this one"
        )
    text = _read(folder / name, MAX_POLICY_SIZE)
    policy = read_policy(folder / name, text, origin)
    endpoints = tuple(_endpoints(path, folder / name, policy, document))
    timeout = _seconds(path, "timeout", document.timeout, 60)
    return WitnessSettings(
        path,
        policy,
        document.fail == "open",
        _seconds(path, "refresh", document.refresh),
        timeout,
        _seconds(path, "grace", document.grace),
        _seconds(path, "wait", document.wait, 300),
        endpoints,
    )


def _seconds(path: Path, member: str, text: str, most: float = math.inf) -> float:
    seconds = parse_duration(text, f"{path}: {member}") / 1000
    if seconds > most:
        raise ConfigurationError(f"{path}: {member} is at most {most:.0f}s")
    return seconds


def read_document(path: Path) -> Document:
    """Return the members of a settings file.

    Raises `FileNotFoundError` where there is none, `ConfigurationError` for what is not
    understood.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        return msgspec.convert(tomllib.loads(_read(path, MAX_BYTES).decode()), Document)
    except (ValueError, RecursionError) as error:
        # Both say where, and neither repeats a value.
        raise ConfigurationError(f"{path}: {error}") from None


def read_policy(path: Path, text: bytes, origin: str) -> Policy:
    """Return the policy in a file's text; it has to be of this log, if it names any."""
    try:
        policy = parse_policy(text)
    except MalformedError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if policy.logs and all(each.key.name != origin for each in policy.logs):
        raise ConfigurationError(f"{path}: names other logs, and not {origin}")
    for number, each in enumerate(policy.witnesses, 1):
        # A policy's names are any octets; metrics, JSON and terminals show them.
        if not (each.name.isprintable() and each.key.name.isprintable()):
            raise ConfigurationError(
                f"{path}: the name of witness {number} is not printable text"
            )
    reached = [each.name for each in policy.witnesses if each.url is not None]
    if not reached:
        raise ConfigurationError(
            f"{path}: no witness line has a URL, so nobody can be asked: write witness"
            " NAME VKEY https://…"
        )
    if not policy.satisfied_by(reached):
        raise ConfigurationError(
            f"{path}: the quorum cannot be reached by the witnesses that have a URL"
        )
    return policy


def _endpoints(
    path: Path, policy_path: Path, policy: Policy, document: Document
) -> Iterable[Endpoint]:
    grouped: dict[str, dict[VerifierKey, str]] = {}
    for number, each in enumerate(policy.witnesses, 1):
        if each.url is not None:
            where = f"{policy_path}: the URL of witness {number}"
            url = require_url(each.url, where, insecure=document.insecure)
            grouped.setdefault(url, {})[each.key] = each.name
    named = {name for names in grouped.values() for name in names.values()}
    if not named.issuperset(document.monitoring):
        raise ConfigurationError(
            f"{path}: [monitoring] names what is no witness with a URL in the policy"
        )
    for url, names in grouped.items():
        label = next(iter(names.values()))
        shown = [
            document.monitoring[n] for n in names.values() if n in document.monitoring
        ]
        where = f"{path}: monitoring"
        place = (
            require_url(shown[0], where, insecure=document.insecure) if shown else url
        )
        yield Endpoint(label, names, url, place)


def require_url(text: str, where: str, *, insecure: bool) -> str:
    """Return a prefix without a slash at its end; `ConfigurationError` for any other.

    https, or http on this machine itself or where `insecure` allows it; no name, no
    password, no query. The error names `where` the URL stands and does not repeat it.
    """
    if len(text) > MAX_URL:
        raise ConfigurationError(f"{where} is longer than {MAX_URL} characters")
    try:
        url = URL(text)
    except ValueError:
        raise ConfigurationError(f"{where} is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"{where} starts with https://, then the host")
    if url.user is not None or url.password is not None:
        raise ConfigurationError(f"{where} holds a name or password")
    if url.query_string or url.fragment or "?" in text or "#" in text:
        raise ConfigurationError(f"{where} is a prefix of paths, without a query")
    if url.scheme == "http" and not insecure and not is_loopback(url.host):
        raise ConfigurationError(
            f"{where} is plain http to another machine: use https, or allow it with"
            " insecure = true"
        )
    return str(url).rstrip("/")


def _read(path: Path, most: int) -> bytes:
    require_regular(path)
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    if len(data) > most:
        raise ConfigurationError(f"{path} is longer than {most} bytes")
    return data
