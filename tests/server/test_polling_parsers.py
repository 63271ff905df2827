"""What a provider says in headers, links and dates: read strictly, or not at all."""

import json
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from provlog.merkle.encoding import JsonValue
from provlog.server.errors import ConfigurationError
from provlog.server.polling.feed import FetchError
from provlog.server.polling.fetching import parse_origin
from provlog.server.polling.limits import (
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    asked_pause,
    clock_of,
    pause_after,
)
from provlog.server.polling.okta import PATH, _query, next_query
from provlog.server.polling.pages import dated
from support.events import NOW_MS, json_values

ORIGIN = URL("https://acme.okta.com")
TEXTS = st.text(st.characters(codec="latin-1"), max_size=40)


@given(st.dictionaries(TEXTS, TEXTS, max_size=4), TEXTS, st.integers(1, 1000))
def test_a_link_s_query_is_kept_but_for_the_limit(
    members: dict[str, str], after: str, limit: int
) -> None:
    members["after"] = after
    link = URL(f"{ORIGIN}{PATH}?{urlencode(members)}", encoded=True)
    query = _query(0, next_query((link,), ORIGIN), limit)
    found = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    assert sorted(found) == sorted({**members, "limit": str(limit)}.items())


@given(st.text(max_size=60))
def test_no_link_leads_to_another_place(text: str) -> None:
    try:
        links = (URL(text),)
    except ValueError:
        return
    try:
        next_query(links, ORIGIN)
    except FetchError:
        return
    assert links[0].origin() == ORIGIN
    assert links[0].path == PATH


@pytest.mark.parametrize(
    "link",
    [
        "http://acme.okta.com/api/v1/logs?after=1",
        "https://acme.okta.com:8443/api/v1/logs?after=1",
        "https://acme.okta.com.example.org/api/v1/logs?after=1",
        "https://acme.okta.com@example.org/api/v1/logs?after=1",
        "https://u:p@acme.okta.com/api/v1/logs?after=1",
        "https://acme.okta.com/api/v1/logs/../users?after=1",
        "https://acme.okta.com/api/v1/logs/?after=1",
        "https://acme.okta.com/api/v1/logs?after=1#x",
        "https://acme.okta.com/api/v1/logs?limit=10",
        "https://acme.okta.com/api/v1/logs",
    ],
)
def test_a_link_elsewhere_is_refused(link: str) -> None:
    with pytest.raises(FetchError, match="the link to the next page"):
        next_query((URL(link),), ORIGIN)


@given(st.dictionaries(st.sampled_from(["Date", "Retry-After"]), TEXTS))
def test_a_pause_is_within_bounds_whatever_is_asked(headers: dict[str, str]) -> None:
    for more in ({}, {"X-Rate-Limit-Reset": headers.get("Retry-After", "99999999999")}):
        pause = asked_pause({**headers, **more}, NOW_MS)
        assert pause is None or SHORTEST_PAUSE <= pause <= LONGEST_PAUSE
    clock_of(headers)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "-7"}, None),
        ({"Retry-After": "7.5"}, None),
        ({"Retry-After": "\u0667"}, None),
        ({"Retry-After": "9" * 20}, None),
        ({"Retry-After": "3600"}, LONGEST_PAUSE),
        ({"X-Rate-Limit-Reset": str(NOW_MS // 1000 + 20)}, 20),
        ({"X-Rate-Limit-Reset": str(NOW_MS // 1000 - 20)}, SHORTEST_PAUSE),
        ({"X-Rate-Limit-Reset": str(NOW_MS // 1000 + 9999)}, LONGEST_PAUSE),
        ({"X-Rate-Limit-Reset": str(NOW_MS)}, None),
    ],
)
def test_a_pause_is_as_long_as_asked(
    headers: dict[str, str], pause: float | None
) -> None:
    now = NOW_MS // 1000 * 1000
    assert asked_pause(headers, now) == pause
    assert pause_after(headers, now) == 0
    used_up = {**headers, "X-Rate-Limit-Remaining": "0"}
    assert pause_after(used_up, now) == (pause or SHORTEST_PAUSE)


@given(json_values())
def test_a_date_is_read_or_there_is_none(value: JsonValue) -> None:
    record = json.dumps({"published": value}).encode()
    for data in (record, record[:-1], json.dumps(value).encode()):
        time = dated(data, "published")
        assert time is None or time >= 0


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T00:00:01.500Z", 1_500),
        ("1970-01-01 00:00:01.500999", 1_500),
        ("1970-01-01T01:00:01.5+01:00", 1_500),
        ("1969-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates_are_read_as_okta_writes_them(text: str, time: int | None) -> None:
    record = json.dumps({"published": text}).encode()
    assert dated(record, "published") == time


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://acme.okta.com", "https://acme.okta.com"),
        ("https://ACME.okta.com:443/", "https://acme.okta.com"),
        ("https://acme.okta.com:8443", "https://acme.okta.com:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://127.0.0.1.example.org", None),
        ("http://acme.okta.com", None),
        ("https://", None),
        ("https://acme.okta.com?x=1", None),
        ("https://acme.okta.com#x", None),
        ("https://acme.okta.com:99999", None),
        ("ftp://acme.okta.com", None),
        ("https:acme.okta.com", None),
    ],
)
def test_a_provider_s_url_is_an_origin(url: str, origin: str | None) -> None:
    if origin is None:
        with pytest.raises(ConfigurationError, match=r"^url "):
            parse_origin(url)
    else:
        assert str(parse_origin(url)) == origin
