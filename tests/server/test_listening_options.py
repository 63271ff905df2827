"""What the options of `serve` come to: who may ask, and how many may come."""

import resource
from pathlib import Path
from typing import Any

import pytest

from provlog.server.cli.bound import next_ports
from provlog.server.cli.listening import (
    METRICS_CONNECTIONS,
    MOST_CONNECTIONS,
    OTHER_FILES,
    Listening,
)
from provlog.server.errors import ConfigurationError

TLS = {"tls_cert": Path("/x.pem"), "tls_key": Path("/x.key")}
PROXY = {"trusted_proxies": ("192.0.2.7",)}


def asked(**options: Any) -> Listening:  # noqa: ANN401
    """Return the options of `serve`, with its defaults for the rest."""
    defaults: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "metrics_listen": "off",
        "tls_cert": None,
        "tls_key": None,
        "trusted_proxies": (),
        "public_url": None,
        "connections": None,
        "insecure": False,
        "insecure_metrics": False,
    }
    return Listening.of(**defaults | options)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "log.example.com"])
def test_beyond_this_machine_plain_http_is_for_proxies_alone(host: str) -> None:
    outside = {"listen": f"{host}:0"}
    with pytest.raises(ConfigurationError, match="--insecure"):
        asked(**outside)
    with pytest.raises(ConfigurationError, match="--insecure"):
        asked(**outside, public_url="https://log.example.com")
    assert asked(**outside, **PROXY).settings(100).proxies_only
    for allowed in (TLS, {"insecure": True}):
        assert not asked(**outside, **allowed).settings(100).proxies_only
        assert not asked(**outside, **allowed, **PROXY).settings(100).proxies_only


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_on_this_machine_whoever_is_there_may_ask(host: str) -> None:
    for options in ({}, PROXY, TLS):
        listening = asked(listen=f"{host}:0", **options)
        assert not listening.settings(100).proxies_only


@pytest.mark.parametrize("options", [TLS, PROXY, {}])
def test_metrics_beyond_this_machine_need_more_than_that(
    options: dict[str, Any],
) -> None:
    with pytest.raises(ConfigurationError, match=r"metrics .* --insecure"):
        asked(metrics_listen="0.0.0.0:0", **options)
    asked(metrics_listen="0.0.0.0:0", insecure=True, **options)
    asked(metrics_listen="0.0.0.0:0", insecure_metrics=True, **options)


def test_metrics_that_others_may_read_open_nothing_else() -> None:
    metrics = {"metrics_listen": "0.0.0.0:0", "insecure_metrics": True}
    with pytest.raises(ConfigurationError, match="plain HTTP"):
        asked(listen="0.0.0.0:0", **metrics)
    assert asked(listen="0.0.0.0:0", **metrics, **PROXY).settings(100).proxies_only


@pytest.mark.parametrize(
    "text",
    [
        *("", "here", ":80", "here:", "here:-1", "here:65536", "here:\u0661"),
        *("here:0x1", "here:080080"),
        *("::1:80", "::1", "[::1]", "[::1:80", "::1]:80", "[here]:80"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not HOST:PORT"):
        asked(listen=text)


def test_addresses_are_host_and_port() -> None:
    assert asked(listen="[::1]:8470").api == ("::1", 8470)
    assert asked(listen="localhost:0").api == ("localhost", 0)


def test_the_metrics_of_workers_are_on_one_port_after_the_other() -> None:
    ports = next_ports(("::1", 8471), 3)
    assert ports == [("::1", 8471), ("::1", 8472), ("::1", 8473)]
    assert next_ports(("here", 0), 2) == [("here", 0)] * 2
    assert len(next_ports(("here", 65_533), 3)) == 3
    with pytest.raises(ConfigurationError, match="from 65534 on there are 2"):
        next_ports(("here", 65_534), 3)


def test_connections_are_as_many_as_was_asked_for_or_there_is_room_for() -> None:
    assert asked().settings(300).connections.most == 300
    assert asked().settings(10**6).connections.most == MOST_CONNECTIONS
    assert asked(connections=7).settings(300).connections.most == 7
    assert asked(connections=10**5).settings(10**6).connections.most == 10**5


@pytest.mark.parametrize("most", [4, 100, 700, 10**5])
def test_who_sends_or_waits_long_leaves_connections_to_others(most: int) -> None:
    settings = asked(connections=most).settings(10**6)
    assert 0 < settings.requests + settings.polls <= most * 3 // 4


def test_the_limit_of_open_files_is_raised_and_leaves_a_reserve() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reserve = OTHER_FILES + METRICS_CONNECTIONS
    low = min(1024, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        room = asked().room()
        assert room + reserve == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert hard == resource.RLIM_INFINITY or room + reserve == hard
        with pytest.raises(ConfigurationError, match=f"leaves room for {room} "):
            asked(connections=room + 1).room()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
