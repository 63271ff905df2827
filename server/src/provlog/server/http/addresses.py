"""Whose address a request came from: the peer's, or the one a trusted proxy names.

Anybody can send `X-Forwarded-For`. It is believed as far as it was written by proxies
that the operator named: each appends the address it was called from, so the header is
read from its right end, and what stands left of the first stranger is hearsay.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import islice
from typing import Final, TypeAlias

from provlog.server.errors import ConfigurationError

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_HOPS: Final = 16
MAX_HOP_CHARACTERS: Final = 64

_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?")
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}")


def client_address(
    peer: str, forwarded: Sequence[str], trusted: Sequence[Network]
) -> str:
    """Return the address that a request came from, in its canonical form.

    `forwarded` are the values of `X-Forwarded-For` in the order they came. Where the
    peer is not `trusted` they mean nothing. Otherwise they are read from the right:
    trusted addresses are passed over, and the first other one is the client; if all are
    trusted it is the leftmost. At most `MAX_HOPS` are looked at. What cannot be read
    leaves the peer. Returns "" where the peer has no address.
    """
    near = _read(peer)
    if near is None:
        return ""
    if not trusted or not is_within(near[0], trusted):
        return near[1]
    client = near[1]
    for hop in islice(_from_the_right(forwarded), MAX_HOPS):
        found = _parse_hop(hop)
        if found is None:
            return near[1]
        address, client = found
        if not is_within(address, trusted):
            break
    return client


def is_proxy_or_local(peer: str, trusted: Sequence[Network]) -> bool:
    """Tell whether a peer is one of the proxies, or a process of this machine."""
    near = _read(peer)
    if near is None:
        return False
    return near[0].is_loopback or is_within(near[0], trusted)


def is_trusted(peer: str, trusted: Sequence[Network]) -> bool:
    """Tell whether a peer is one of the proxies that are believed."""
    near = _read(peer)
    return near is not None and is_within(near[0], trusted)


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    """Tell whether an address lies in one of the networks."""
    return any(address in network for network in networks)


def parse_network(text: str) -> Network:
    """Return the network of an address or a CIDR, or raise `ConfigurationError`."""
    try:
        network = ip_network(text)
    except ValueError:
        raise ConfigurationError(
            "a trusted proxy is an address or a network such as 10.0.0.0/24, without"
            " bits beyond its prefix"
        ) from None
    if network.prefixlen == 0:
        raise ConfigurationError("a trusted proxy cannot be everybody")
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        raise ConfigurationError("write a mapped IPv4 network as the IPv4 network")
    return network


def _from_the_right(forwarded: Sequence[str]) -> Iterator[str]:
    for value in reversed(forwarded):
        # One cut more than is looked at: what is left over is never taken for a hop.
        yield from value.rsplit(",", MAX_HOPS)[::-1]


def _parse_hop(text: str) -> tuple[Address, str] | None:
    """Return the address of one hop, and its text."""
    hop = text.strip(" \t")
    return None if len(hop) > MAX_HOP_CHARACTERS else _read_hop(hop)


@lru_cache(maxsize=4096)
def _read_hop(hop: str) -> tuple[Address, str] | None:
    """Return the address of a hop that is bare, in brackets, or has a port."""
    if "%" in hop:
        return None
    match = _BRACKETED.fullmatch(hop)
    if match is not None and ":" not in match[1]:
        return None
    match = match or _WITH_PORT.fullmatch(hop)
    return _read(hop if match is None else match[1])


@lru_cache(maxsize=4096)
def _read(peer: str) -> tuple[Address, str] | None:
    """Return a peer's address and its text; most requests are of a few peers."""
    address = _parse(peer)
    return None if address is None else (address, str(address))


def _parse(text: str) -> Address | None:
    """Return an address; an IPv4 one that is mapped into IPv6 is the IPv4 one."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
