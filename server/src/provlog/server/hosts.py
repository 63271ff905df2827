"""Which hosts are this machine itself."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether a URL's host is this machine itself, by name or by address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
