"""The URL that others are told: in one form, and nothing in it that does not belong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate
from yarl import URL

from provlog.server.cli.urls import parse_public_url
from provlog.server.errors import ConfigurationError
from provlog.server.http.app import HttpSettings
from support.instances import served


@pytest.mark.parametrize(
    "url",
    [
        "https://log.example.com",
        "https://log.example.com:8443/audit/log-1",
        "https://localhost",
        "https://192.0.2.1:8470",
        "https://[2001:db8::1]/x",
        "http://127.0.0.1:8470",
        "http://[::1]:8470",
        "http://localhost",
    ],
)
def test_a_good_one_is_kept_without_a_slash_at_its_end(url: str) -> None:
    assert parse_public_url(url) == url
    assert parse_public_url(url + "/") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "log.example.com",
        "//log.example.com",
        "ftp://log.example.com",
        "HTTPS://log.example.com",
        "https://",
        "https://:8470",
        "https://Log.example.com",
        "https://log.example.com.",
        "https://log..example.com",
        "https://-log.example.com",
        "https://log_1.example.com",
        "https://lög.example.com",
        "https://user@log.example.com",
        "https://user:secret@log.example.com",
        "https://log.example.com?x=1",
        "https://log.example.com/?",
        "https://log.example.com#top",
        "https://log.example.com/a//b",
        "https://log.example.com//",
        "https://log.example.com/../b",
        "https://log.example.com/a/./b",
        "https://log.example.com/%61",
        "https://log.example.com/a b",
        "https://log.example.com\\b",
        "https://log.example.com\n",
        " https://log.example.com",
        "https://log.example.com:",
        "https://log.example.com:0",
        "https://log.example.com:08470",
        "https://log.example.com:65536",
        "https://192.0.2.01",
        "https://192.0.2",
        "https://1",
        "https://0x7f.0x1",
        "https://192.0.2.256",
        "https://[2001:DB8::1]",
        "https://[2001:db8:0::1]",
        "https://[192.0.2.1]",
        "https://[::1",
        "https://2001:db8::1",
        "http://log.example.com",
        "http://192.0.2.1",
        "https://log.example.com/" + "a" * 300,
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="a public URL "):
        parse_public_url(url)


@given(st.text(st.sampled_from("htps:/.[]@?#%1aA-~ \\"), max_size=30))
def test_what_is_taken_means_the_same_to_a_url_parser(tail: str) -> None:
    try:
        url = parse_public_url(f"https://{tail}")
    except ConfigurationError:
        return
    read = URL(url)
    assert (read.scheme, read.query_string, read.fragment) == ("https", "", "")
    assert (read.user, read.password) == (None, None)
    assert str(read).removesuffix("/") == url


async def test_the_description_names_it(tmp_path: Path) -> None:
    url = "https://log.example.com/audit"
    async with served(tmp_path / "a", settings=HttpSettings(public_url=url)) as log:
        named = await log.get("/openapi.json", role=None)
        assert named.json()["servers"] == [{"url": url}]
        validate(named.json())
    async with served(tmp_path / "b") as log:
        plain = await log.get("/openapi.json", role=None)
    assert plain.json()["servers"] == [{"url": "/"}]
    assert plain.headers["ETag"] != named.headers["ETag"]
    assert {**named.json(), "servers": None} == {**plain.json(), "servers": None}
