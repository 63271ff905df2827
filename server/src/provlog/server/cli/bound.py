"""Addresses that are listened on, and what stands in the way of it."""

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from provlog.server.cli.urls import Address
from provlog.server.errors import (
    ConfigurationError,
    ServiceError,
    UnavailableError,
)
from provlog.server.http.listener import bind

MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Bound:
    """The sockets of one address; a host name may stand for several.

    `shared`: other processes accept from them too.
    """

    host: str
    sockets: Sequence[socket.socket]
    shared: bool = False

    def url(self, scheme: str = "http") -> str:
        """Return the URL, with the port that was taken where none was asked for."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Close this process's own hold of the sockets."""
        for each in self.sockets:
            each.close()


async def listen_on(address: Address) -> Bound:
    """Return the bound sockets of an address.

    Raises `UnavailableError` where it is taken, `ConfigurationError` where it cannot be
    had.
    """
    try:
        return Bound(address[0], await bind(*address))
    except OSError as error:
        raise _refused(address, error) from None


async def bind_all(
    api: Address, metrics: Address | None, count: int
) -> tuple[Bound, list[Bound]]:
    """Bind the API's address and, if there is one, `count` for metrics.

    Raises what `listen_on` and `next_ports` do.
    """
    addresses = next_ports(metrics, count) if metrics else []
    return await listen_on(api), [await listen_on(each) for each in addresses]


def next_ports(address: Address, count: int) -> Sequence[Address]:
    """Return `count` addresses with one port after the other; of port 0 all with it."""
    host, port = address
    if port == 0:
        return [address] * count
    if port + count - 1 > MAX_PORT:
        raise ConfigurationError(
            f"--metrics: {count} workers take as many ports, and from {port} on there"
            f" are {MAX_PORT - port + 1}"
        )
    return [(host, port + number) for number in range(count)]


def _refused(address: Address, error: OSError) -> ServiceError:
    """Return what keeps an address from being listened on."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    text = f"{host}:{address[1]}"
    if error.errno == errno.EADDRINUSE:
        return UnavailableError(f"{text} is in use by another process")
    if isinstance(error, socket.gaierror):
        return ConfigurationError(f"{text}: there is no such host")
    # The library's own text repeats the address.
    why = os.strerror(error.errno) if error.errno else "not possible"
    hint = ""
    if error.errno == errno.EACCES:
        hint = "; a port below 1024 needs the capability CAP_NET_BIND_SERVICE"
    return ConfigurationError(f"{text} cannot be listened on: {why}{hint}")
