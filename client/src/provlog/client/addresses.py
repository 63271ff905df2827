"""Addresses of this machine, and where a program may listen without being told to."""

import ipaddress

from provlog.client.errors import UsageError


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine and nobody else's: no name but localhost."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_listen(
    text: str, *, insecure: bool, example: str, danger: str
) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; other than loopback only if `insecure`.

    Raises `UsageError`, with an `example` of an address or with the `danger` of one
    that others reach, and the way out of it.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"listen: HOST:PORT, such as {example}")
    if not insecure and not is_loopback(host):
        raise UsageError(f"listen: {danger}")
    return host, int(port)
