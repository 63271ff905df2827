"""What Google's API and a key file say: read strictly, or not at all."""

import asyncio
import json
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from joserfc import jwt

from provlog.merkle.encoding import JsonValue, parse_time
from provlog.server.errors import ConfigurationError
from provlog.server.polling.feed import FetchError
from provlog.server.polling.google import APPLICATIONS, KIND, GooglePoll, Place
from provlog.server.polling.google_pages import dated, is_rate_limit, read_page
from provlog.server.polling.kinds import make_feed
from provlog.server.polling.service_accounts import (
    SECONDS,
    parse_service_key,
    split_token_url,
)
from provlog.server.source_settings import read_source
from support.events import json_values
from support.fake_google import EMAIL, FakeGoogle, write_settings

PAGE = (
    b'{"kind": "admin#reports#activities", "items": [{"a": 1}], "nextPageToken": "A"}'
)
PATH = Path("key.json")
HOUR = 3_600_000
DAY = 24 * HOUR


def read(body: bytes) -> tuple[list[bytes], str]:
    """Return what a page is read as."""
    return asyncio.run(read_page(body))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (PAGE, ([b'{"a": 1}'], "A")),
        (b'{"kind": "admin#reports#activities"}', ([], "")),
        (b'{"kind":"reports#activities","nextPageToken":""}', ([], "")),
        (
            b'{"items":[{"x":"\xff"} , {"x":1,"x":2}],"kind":"reports#activities"}',
            ([b'{"x":"\xff"}', b'{"x":1,"x":2}'], ""),
        ),
        (
            b'{"k\\u0069nd":"reports#activities","nextPageToken":"\\u00e9","e":{"kind":1}}',
            ([], "é"),
        ),
    ],
)
def test_a_page_is_cut_byte_for_byte(
    body: bytes, expected: tuple[list[bytes], str]
) -> None:
    assert read(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b"7", PAGE[:-1], PAGE + b"x", PAGE + PAGE),
        b'{"kind": "reports#activity"}',
        b'{"kind": ["reports#activities"]}',
        b'{"kind": "reports#activities", "kind": "reports#activities"}',
        b'{"kind": "reports#activities", "items": {}}',
        b'{"kind": "reports#activities", "items": null}',
        b'{"kind": "reports#activities", "items": [7]}',
        b'{"kind": "reports#activities", "items": [{}], "items": [{}]}',
        b'{"kind": "reports#activities", "nextPageToken": null}',
        b'{"kind": "reports#activities", "nextPageToken": "' + b"9" * 5000 + b'"}',
    ],
    ids=lambda body: body[:40].decode(),
)
def test_what_is_no_page_is_refused_whole(body: bytes) -> None:
    with pytest.raises(FetchError):
        read(body)


@examples(max_examples=100)
@given(st.integers(0, len(PAGE)), st.integers(0, len(PAGE)), st.binary(max_size=3))
def test_a_page_that_was_damaged_is_read_whole_or_refused(
    start: int, end: int, put: bytes
) -> None:
    try:
        records, token = read(PAGE[: min(start, end)] + put + PAGE[max(start, end) :])
    except FetchError:
        return
    assert all(record.startswith(b"{") for record in records)
    assert len(token) <= 4096


@given(
    st.builds(
        Place,
        st.integers(0, 4_000_000_000_000),
        st.none() | st.integers(0, 4_000_000_000_000),
        st.integers(0, 20),
        st.text(st.characters(codec="utf-8"), max_size=30),
    ),
    st.integers(1, 1000),
)
def test_a_place_comes_back_from_its_link_and_is_asked_for(
    place: Place, limit: int
) -> None:
    assert Place.parse(place.link()) == place
    query = dict(parse_qsl(place.query(limit), strict_parsing=True))
    assert parse_time(query["startTime"]) == place.start
    assert query.get("pageToken", "") == place.token
    assert ("endTime" in query) == (place.end is not None)


@pytest.mark.parametrize("link", ["", "1", "1.2.3", "x..0.", "1..x.", "1.2.3,4"])
def test_a_link_that_leads_nowhere_is_refused(link: str) -> None:
    with pytest.raises(FetchError, match="no page"):
        Place.parse(link)


@pytest.mark.parametrize(
    ("ago", "end"), [(0, None), (HOUR, None), (25 * HOUR - 1, None), (25 * HOUR, DAY)]
)
def test_a_window_ends_where_nothing_new_is_to_be_expected(
    ago: int, end: int | None
) -> None:
    now = 4_000_000_000_000
    place = Place.first(now - ago, now)
    assert place.start == now - ago
    assert place.end == (None if end is None else place.start + end)


@given(json_values())
def test_a_date_is_read_or_there_is_none(value: JsonValue) -> None:
    record = json.dumps({"id": {"time": value}}).encode()
    for data in (record, record[:-1], json.dumps(value).encode()):
        time = dated(data)
        assert time is None or time >= 0


def test_a_date_is_read_as_google_writes_it() -> None:
    assert dated(b'{"id": {"time": "1970-01-01T00:00:01.500Z"}}') == 1500
    assert dated(b'{"id": {"time": "1970-01-01T00:00:01.500"}}') is None
    assert dated(b'{"id": {"time": "1969-12-31T23:59:59Z"}}') is None


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        ("rateLimitExceeded", True),
        ("userRateLimitExceeded", True),
        ("quotaExceeded", True),
        ("accessNotConfigured", False),
        ("forbidden", False),
        (["quotaExceeded"], False),
        (None, False),
    ],
    ids=str,
)
def test_some_refusals_pass(reason: JsonValue, passes: bool) -> None:
    body = {"error": {"code": 403, "errors": [7, {"reason": reason}]}}
    assert is_rate_limit(json.dumps(body).encode()) is passes


@given(json_values())
def test_a_refusal_that_is_not_understood_does_not_pass(value: JsonValue) -> None:
    for body in (value, {"error": value}, {"error": {"errors": value}}):
        assert not is_rate_limit(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://oauth2.googleapis.com/token", "/token"),
        ("https://oauth2.googleapis.com:8443/a/b", "/a/b"),
        ("http://127.0.0.1:80801/token", None),
        ("https://u:p@oauth2.googleapis.com/token", None),
        ("https://oauth2.googleapis.com/token?x=1", None),
        ("https://oauth2.googleapis.com/token#x", None),
        ("https:///token", None),
        ("/token", None),
        ("", None),
    ],
)
def test_a_token_endpoint_is_a_host_and_a_path(url: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ConfigurationError, match="token endpoint"):
            split_token_url(url)
    else:
        origin, path = split_token_url(url)
        assert (origin + path, path) == (url, expected)


def test_a_grant_is_good_for_an_hour_and_one_endpoint() -> None:
    key = parse_service_key(FakeGoogle(url="http://here").key_file(), PATH)
    assert key.token_url == "http://here/token"
    assert "key=" not in repr(key)
    grant = key.grant("https://there/token", "ann@x", "s", 1000)
    token = jwt.decode(grant, key.key)
    assert token.header == {"alg": "RS256", "typ": "JWT", "kid": "0f9a"}
    assert token.claims == {
        "iss": EMAIL,
        "sub": "ann@x",
        "scope": "s",
        "aud": "https://there/token",
        "iat": 1000,
        "exp": 1000 + SECONDS,
    }


def elliptic() -> str:
    """Return a key of another kind."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def public() -> str:
    """Return the public half of a key."""
    key = parse_service_key(FakeGoogle().key_file(), PATH).key
    return key.as_pem(private=False).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        FakeGoogle().key_file()[:-20],
        FakeGoogle().key_file(type="authorized_user"),
        FakeGoogle().key_file(private_key="secret-but-no-key"),
        FakeGoogle().key_file(private_key=elliptic()),
        FakeGoogle().key_file(private_key=public()),
        json.dumps({"type": "service_account", "client_email": "a@b"}),
    ],
    ids=lambda text: text[:4],
)
def test_what_is_no_key_is_refused_and_nothing_of_it_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^key\.json is not the key") as got:
        parse_service_key(text, PATH)
    assert got.value.__cause__ is None
    assert "secret" not in str(got.value)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"subject": ""}, "subject"),
        ({"applications": []}, "applications"),
        ({"applications": ["admin/../x"]}, "applications"),
        ({"applications": ["Admin"]}, "applications"),
        ({"url": "http://admin.googleapis.com"}, "plain http"),
        ({"token_url": "http://oauth2.googleapis.com/token"}, "plain http"),
        ({"token_url": "https://x/token?y"}, "token endpoint"),
        ({"key_file": "absent.json"}, "absent.json"),
        ({"password": "x"}, "password"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, table: dict[str, object], told: str
) -> None:
    google = FakeGoogle(url="http://127.0.0.1:1")
    settings = read_source(write_settings(tmp_path, google, **table))
    with pytest.raises(ConfigurationError, match=told):
        make_feed(KIND, settings)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    google = FakeGoogle(url="http://127.0.0.1:1")
    settings = read_source(write_settings(tmp_path, google))
    settings.file("google-key.json").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        make_feed(KIND, settings)


def test_little_has_to_be_said() -> None:
    poll = msgspec.convert({"key_file": "k", "subject": "a@b"}, GooglePoll)
    assert poll.applications == [*APPLICATIONS]
    assert poll.url == "https://admin.googleapis.com"
