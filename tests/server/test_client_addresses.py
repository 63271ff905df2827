"""Whose address a request came from, and what may be said of it by whom."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from hypothesis import given
from hypothesis import strategies as st

from provlog.server.errors import ConfigurationError
from provlog.server.http.access import CLIENT
from provlog.server.http.addresses import (
    MAX_HOPS,
    client_address,
    is_proxy_or_local,
    parse_network,
)
from provlog.server.http.app import create_app
from provlog.server.http.context import HttpSettings
from provlog.server.service import Service
from support.instances import Client, RunnerServer, make_instance

PROXIES = (ip_network("10.0.0.0/24"), ip_network("2001:db8:1::/48"))
trusted = st.one_of(
    st.ip_addresses(network="10.0.0.0/24"), st.ip_addresses(network="2001:db8:1::/48")
).map(str)
strangers = st.one_of(
    st.ip_addresses(network="203.0.113.0/24"),
    st.ip_addresses(network="2001:db8:2::/48"),
).map(str)
anything = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"),
    max_size=80,
)


def mapped(address: str) -> str:
    return address if ":" in address else f"::ffff:{address}"


def with_port(address: str) -> str:
    return f"[{address}]:443" if ":" in address else f"{address}:443"


def spaced(address: str) -> str:
    return f" {address.upper()}\t"


FORMS: tuple[Callable[[str], str], ...] = (str, mapped, with_port, spaced)
forms = st.sampled_from(FORMS)


@given(strangers, st.lists(anything))
def test_a_stranger_s_header_means_nothing(peer: str, forwarded: list[str]) -> None:
    assert client_address(peer, forwarded, PROXIES) == peer
    assert client_address(peer, forwarded, ()) == peer


@given(
    trusted,
    st.lists(anything),
    strangers,
    st.lists(trusted, max_size=MAX_HOPS - 1),
    st.data(),
)
def test_the_first_stranger_from_the_right_is_the_client_whatever_it_wrote(
    peer: str, written: list[str], client: str, proxies: list[str], data: st.DataObject
) -> None:
    hops = [data.draw(forms)(each) for each in [client, *proxies]]
    # What a client wrote stands in front, in the same line or in one of its own.
    front = [",".join(written)] if written else []
    apart = data.draw(st.booleans())
    lines = [*front, ",".join(hops)] if apart else [",".join([*front, *hops])]
    assert client_address(peer, lines, PROXIES) == client
    cut = data.draw(st.integers(0, len(hops)))
    lines = [",".join(each) for each in (front, hops[:cut], hops[cut:]) if each]
    assert client_address(mapped(peer), lines, PROXIES) == client


@given(trusted, st.lists(trusted, min_size=1, max_size=MAX_HOPS))
def test_among_trusted_ones_the_leftmost_is_the_client(
    peer: str, proxies: list[str]
) -> None:
    assert client_address(peer, [",".join(proxies)], PROXIES) == proxies[0]
    assert client_address(peer, proxies, PROXIES) == proxies[0]


@given(trusted, anything, st.lists(trusted, max_size=3))
def test_what_cannot_be_read_leaves_the_proxy(
    peer: str, written: str, proxies: list[str]
) -> None:
    found = client_address(peer, [",".join([f"{written}?", *proxies])], PROXIES)
    assert found == peer


@given(st.one_of(trusted, strangers, anything), st.lists(anything))
def test_the_answer_is_an_address_or_nothing(peer: str, forwarded: list[str]) -> None:
    found = client_address(peer, forwarded, PROXIES)
    assert found == "" or str(ip_address(found)) == found


@pytest.mark.parametrize(
    "hop",
    [
        "",
        "unknown",
        "203.0.113.09",
        "203.0.113",
        "203.0.113.9:",
        "203.0.113.9:123456",
        "203.0.113.9 198.51.100.1",
        "[203.0.113.9]",
        "[2001:db8:2::1",
        "2001:db8:2::1]",
        "fe80::1%eth0",
        "٢٠٣.0.113.9",
        '"203.0.113.9"',
        "for=203.0.113.9",
        "1" * 100,
    ],
)
def test_a_malformed_hop_is_no_address(hop: str) -> None:
    assert client_address("10.0.0.1", [hop], PROXIES) == "10.0.0.1"


def test_a_hop_that_was_cut_is_never_taken_for_another_one() -> None:
    # More hops than are looked at: the last one of these is trusted, and all there is.
    line = ",".join(["198.51.100.1", "203.0.113.9", *["10.0.0.7"] * MAX_HOPS])
    assert client_address("10.0.0.1", [line], PROXIES) == "10.0.0.7"
    lines = line.split(",")
    assert client_address("10.0.0.1", lines, PROXIES) == "10.0.0.7"


def test_who_may_come_without_a_proxy() -> None:
    for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.9", "2001:db8:1::9"):
        assert is_proxy_or_local(peer, PROXIES), peer
    for peer in ("10.0.1.9", "203.0.113.9", "::ffff:203.0.113.9", "", "unix"):
        assert not is_proxy_or_local(peer, PROXIES), peer


def test_networks_are_read_strictly() -> None:
    assert parse_network("10.0.0.1") == ip_network("10.0.0.1/32")
    assert parse_network("2001:db8::/32") == ip_network("2001:db8::/32")
    for text, said in [
        ("10.0.0.1/24", "bits beyond"),
        ("proxy", "an address or a network"),
        ("", "an address or a network"),
        ("0.0.0.0/0", "everybody"),
        ("::/0", "everybody"),
        ("::ffff:10.0.0.0/120", "mapped"),
    ]:
        with pytest.raises(ConfigurationError, match=said):
            parse_network(text)


@asynccontextmanager
async def asking(
    folder: Path, settings: HttpSettings
) -> AsyncIterator[tuple[Client, list[str]]]:
    """Serve an instance; yield a client of it and the addresses that were noted."""
    made = await make_instance(folder)
    noted = []

    async def note(request: web.Request, _: web.StreamResponse) -> None:
        noted.append(request.get(CLIENT, "refused"))

    async with Service.of(made.instance) as service:
        app = create_app(service, settings)
        app.on_response_prepare.append(note)
        client: Client
        async with TestClient(RunnerServer(app)) as client:
            yield client, noted


async def test_a_request_carries_the_address_of_its_client(tmp_path: Path) -> None:
    headers = [("X-Forwarded-For", "bogus, 203.0.113.9"), ("X-Forwarded-For", "::1")]
    local = (ip_network("127.0.0.1"), ip_network("::1"))
    async with asking(tmp_path, HttpSettings(trusted_proxies=local)) as (client, noted):
        await client.get("/healthz", headers=headers)
        await client.get("/nowhere", headers=headers)
        await client.get("/healthz")
        assert noted == ["203.0.113.9", "203.0.113.9", "127.0.0.1"]
    async with asking(tmp_path / "b", HttpSettings()) as (client, noted):
        await client.get("/healthz", headers=headers)
        assert noted == ["127.0.0.1"]


async def test_past_the_proxy_nobody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = HttpSettings(trusted_proxies=PROXIES, proxies_only=True)
    async with asking(tmp_path, settings) as (client, noted):
        # This machine may.
        async with client.get("/healthz") as answer:
            assert answer.status == 200
        monkeypatch.setattr(web.BaseRequest, "remote", "203.0.113.9")
        for path in ("/healthz", "/logs", "/nowhere"):
            bad = {"Authorization": "Bearer plt_x", "X-Forwarded-For": "127.0.0.1"}
            async with client.get(path, headers=bad) as answer:
                assert answer.status == 403, path
                assert "through its proxy alone" in await answer.text()
        monkeypatch.setattr(web.BaseRequest, "remote", "10.0.0.9")
        async with client.get("/logs") as answer:
            assert answer.status == 401
        assert noted == ["127.0.0.1", "refused", "refused", "refused", "10.0.0.9"]
