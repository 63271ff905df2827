"""What `serve` listens on: addresses, TLS, proxies, and how many may come."""

import contextlib
import functools
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import click

from provlog.server.cli.urls import (
    PUBLIC_URL_VARIABLE,
    Address,
    is_loopback,
    parse_address,
    parse_public_url,
)
from provlog.server.errors import ConfigurationError
from provlog.server.http.addresses import Network, parse_network
from provlog.server.http.context import HttpSettings
from provlog.server.http.roster import ConnectionSettings

METRICS_CONNECTIONS: Final = 64
OTHER_FILES: Final = 192
"""Descriptors that are kept for databases, guards, keys and sockets that listen."""
MOST_CONNECTIONS: Final = 20_000
"""What is allowed unless told otherwise, however many files may be open."""


@dataclass(frozen=True, slots=True)
class Listening:
    """What was asked for, checked: nothing here reaches further than was allowed."""

    api: Address
    metrics: Address | None
    tls: tuple[Path, Path] | None
    proxies: tuple[Network, ...]
    public_url: str | None
    connections: int | None
    insecure: bool
    insecure_metrics: bool

    @classmethod
    def of(
        cls,
        *,
        listen: str,
        metrics_listen: str,
        tls_cert: Path | None,
        tls_key: Path | None,
        trusted_proxies: tuple[str, ...],
        public_url: str | None,
        connections: int | None,
        insecure: bool,
        insecure_metrics: bool,
    ) -> Self:
        """Return the options of `serve`, or raise `ConfigurationError`."""
        if (tls_cert is None) != (tls_key is None):
            raise ConfigurationError("--tls-cert and --tls-key go together")
        made = cls(
            parse_address(listen),
            None if metrics_listen == "off" else parse_address(metrics_listen),
            None if tls_cert is None or tls_key is None else (tls_cert, tls_key),
            tuple(parse_network(each) for each in trusted_proxies),
            None if public_url is None else parse_public_url(public_url),
            connections,
            insecure,
            insecure_metrics,
        )
        made._require_safe()
        return made

    def _require_safe(self) -> None:
        if self.insecure:
            return
        host, _ = self.api
        if not is_loopback(host) and self.tls is None and not self.proxies:
            raise ConfigurationError(
                f"{host} can be reached from other machines, and this is plain HTTP"
                " (a --public-url changes nothing about that): give --tls-cert and"
                " --tls-key, name the proxy that speaks TLS with --trusted-proxy, serve"
                " on 127.0.0.1, or add --insecure"
            )
        if self.insecure_metrics:
            return
        if self.metrics is not None and not is_loopback(self.metrics[0]):
            raise ConfigurationError(
                f"{self.metrics[0]} can be reached from other machines, and metrics are"
                " served as plain HTTP: serve them on 127.0.0.1, or add"
                " --insecure-metrics"
            )

    def settings(self, room: int) -> HttpSettings:
        """Return the bounds of the API, where `room` connections can be had.

        Whoever sends slowly, or waits for news, does not give way to others: together
        they have no more than three quarters of the connections.
        """
        most = self.connections or min(room, MOST_CONNECTIONS)
        plain = self.tls is None and not self.insecure
        usual = HttpSettings()
        return HttpSettings(
            requests=max(1, min(usual.requests, most // 2)),
            polls=max(1, min(usual.polls, most // 4)),
            connections=ConnectionSettings(most=most),
            trusted_proxies=self.proxies,
            proxies_only=plain and not is_loopback(self.api[0]),
            public_url=self.public_url,
        )

    def room(self) -> int:
        """Return how many connections there are descriptors for.

        The process's own limit is raised as far as it may be. Raises
        `ConfigurationError` where less is left than was asked for.
        """
        room = _raise_descriptors() - OTHER_FILES - METRICS_CONNECTIONS
        wanted = self.connections or METRICS_CONNECTIONS
        if room < wanted:
            raise ConfigurationError(
                f"the limit of open files (ulimit -n) leaves room for {max(room, 0)}"
                f" connections, and {wanted} are needed"
            )
        return room


def listening_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options of what the API is served on; they arrive as `listening`."""
    return listening_options_on(8470)(function)


def listening_options_on(
    port: int,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what adds the options of what is listened on; they arrive as `listening`.

    By default that is a port of this machine, and for the metrics the next one.
    """
    return functools.partial(_with_options, port)


def _with_options(port: int, function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def wrapper(
        listen: str,
        metrics_listen: str,
        tls_cert: Path | None,
        tls_key: Path | None,
        trusted_proxies: tuple[str, ...],
        public_url: str | None,
        connections: int | None,
        insecure: bool,
        insecure_metrics: bool,
        **others: Any,  # noqa: ANN401  the options of the command itself
    ) -> None:
        listening = Listening.of(
            listen=listen,
            metrics_listen=metrics_listen,
            tls_cert=tls_cert,
            tls_key=tls_key,
            trusted_proxies=trusted_proxies,
            public_url=public_url,
            connections=connections,
            insecure=insecure,
            insecure_metrics=insecure_metrics,
        )
        function(listening=listening, **others)

    for option in reversed((*_addresses(port), *_OPTIONS)):
        wrapper = option(wrapper)
    return wrapper


def _addresses(port: int) -> Iterator[Callable[[Callable[..., None]], Any]]:
    yield click.option(
        "--listen",
        default=f"127.0.0.1:{port}",
        show_default=True,
        help="HOST:PORT to serve on; port 0 takes a free one.",
    )
    yield click.option(
        "--metrics",
        "metrics_listen",
        default=f"127.0.0.1:{port + 1}",
        show_default=True,
        help="HOST:PORT for Prometheus, or 'off'.",
    )


_FILE = click.Path(path_type=Path, dir_okay=False)
_OPTIONS = (
    click.option(
        "--tls-cert",
        type=_FILE,
        help="PEM file of the certificate and its chain; a renewed one is taken up.",
    ),
    click.option("--tls-key", type=_FILE, help="PEM file of its key, of mode 0600."),
    click.option(
        "--trusted-proxy",
        "trusted_proxies",
        multiple=True,
        metavar="CIDR",
        help="A proxy whose X-Forwarded-For is believed; may be given several times.",
    ),
    click.option(
        "--public-url",
        envvar=PUBLIC_URL_VARIABLE,
        metavar="URL",
        help="https://host[/prefix] under which others reach the server."
        f"  [env: {PUBLIC_URL_VARIABLE}]",
    ),
    click.option(
        "--connections",
        type=click.IntRange(min=1),
        help="Open connections at a time; by default what the limit of open files"
        f" leaves room for, at most {MOST_CONNECTIONS}.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        help="Serve without TLS beyond this machine: tokens and personal data can be"
        " read on the way.",
    ),
    click.option(
        "--insecure-metrics",
        is_flag=True,
        help="Serve the metrics, and nothing else, without TLS beyond this machine:"
        " names of logs and sources, and figures.",
    ),
)


def _raise_descriptors() -> int:
    """Raise the limit of open files as far as this process may; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = MOST_CONNECTIONS * 2 if hard == unlimited else hard
    if soft != unlimited and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return wanted if soft == unlimited else soft
