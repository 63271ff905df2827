"""Addresses and URLs that an operator gives, checked before they are used or shown."""

import ipaddress
import re
from typing import Final, TypeAlias

from yarl import URL

from provlog.server.errors import ConfigurationError

PUBLIC_URL_VARIABLE: Final = "PROVLOG_PUBLIC_URL"
MAX_URL: Final = 255

Address: TypeAlias = tuple[str, int]

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_URL = re.compile(
    r"(?P<scheme>https?)://"
    rf"(?P<host>{_NAME}(?:\.{_NAME})*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<prefix>(?:/[A-Za-z0-9._~-]+)*)/?"
)
_ADDRESS = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})"
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def parse_public_url(text: str) -> str:
    """Return the URL of `https://host[:port][/prefix]`, without a slash at its end.

    The host is a name or an address in its canonical form, in lower case. `http` is for
    this machine alone. Raises `ConfigurationError` of everything else: credentials,
    queries, fragments, escapes, `.` and `..`.
    """
    match = _URL.fullmatch(text) if len(text) <= MAX_URL else None
    if match is None or not _is_sound(match):
        raise ConfigurationError(
            "a public URL is https://host[:port][/prefix], the host in lower case,"
            " without credentials, query and fragment"
        )
    if match["scheme"] == "http" and not is_loopback(match["host"].strip("[]")):
        raise ConfigurationError(
            "a public URL begins with https:// unless its host is this machine"
        )
    return text.removesuffix("/")


def parse_upstream(text: str, *, insecure: bool) -> URL:
    """Return the base URL of a server that requests are passed on to.

    It is `http[s]://host[:port][/prefix]` as `parse_public_url` reads it, and plain
    HTTP is for this machine alone unless `insecure`: what is passed on holds tokens.
    Raises `ConfigurationError` of everything else.
    """
    match = _URL.fullmatch(text) if len(text) <= MAX_URL else None
    if match is None or not _is_sound(match):
        raise ConfigurationError(
            "--upstream is https://host[:port][/path], the host in lower case, without"
            " credentials, query and fragment"
        )
    loopback = is_loopback(match["host"].strip("[]"))
    if match["scheme"] == "http" and not loopback and not insecure:
        raise ConfigurationError(
            "--upstream begins with https:// unless its host is this machine, or"
            " --insecure-upstream is given"
        )
    return URL(text, encoded=True)


def parse_address(text: str) -> Address:
    """Return host and port of HOST:PORT, an IPv6 host in brackets."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        raise ConfigurationError(
            f"{text!r} is not HOST:PORT, such as 127.0.0.1:8470 or [::1]:8470"
        )
    return match["v6"] or match["host"], int(match["port"])


def is_loopback(host: str) -> bool:
    """Tell whether a host is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_sound(match: re.Match[str]) -> bool:
    if match["port"] is not None and int(match["port"]) > 65_535:
        return False
    if not {".", ".."}.isdisjoint(match["prefix"].split("/")):
        return False
    return _is_host(match["host"])


def _is_host(host: str) -> bool:
    bare = host.strip("[]")
    # A last label that is a number makes an address of what looks like a name
    # (WHATWG URL).
    if host == bare and not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return True
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return False
    return str(address) == bare and (address.version == 6) == (host != bare)
