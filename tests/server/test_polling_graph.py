"""What Graph's links and dates are read as, and what the settings of Entra may be."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from provlog.merkle.encoding import JsonValue, format_time
from provlog.server.errors import ConfigurationError
from provlog.server.polling.entra import KIND, LOGS
from provlog.server.polling.feed import FetchError
from provlog.server.polling.fetching import parse_origin
from provlog.server.polling.graph import MAX_LINK, dated, next_query
from provlog.server.polling.kinds import make_feed
from provlog.server.source_settings import read_source
from support.entra import SOURCE
from support.events import json_values
from support.fake_graph import (
    AUDITS,
    DAY,
    PROVISIONING,
    SECRET,
    FakeGraph,
    audit_bytes,
    fake_graph,
)
from support.graph_polling import write_settings
from support.services import now_ms

GRAPH = parse_origin("https://graph.microsoft.com")
PAGE = f"https://graph.microsoft.com{AUDITS}"


@pytest.mark.parametrize(
    "query",
    [
        "$skiptoken=1",
        "$top=5&$skiptoken=X%274453707",
        "%24top=5&%24skiptoken=%2B%2f=",
        "$filter=activityDateTime+ge+2026-07-16T15%3a48%3a00Z&$skip=1000",
        "$SkipToken=" + "9" * (MAX_LINK - 200),
    ],
)
def test_a_link_s_query_is_kept_as_it_stands(query: str) -> None:
    assert next_query(f"{PAGE}?{query}", GRAPH, AUDITS) == query
    lower = f"https://graph.microsoft.com:443{AUDITS.lower()}?{query}"
    assert next_query(lower, GRAPH, AUDITS) == query


@pytest.mark.parametrize(
    "link",
    [
        None,
        7,
        "",
        "x",
        f"{PAGE}?$top=5",
        f"{PAGE}?skiptoken=1",
        f"{PAGE}?$skiptoken=1#x",
        f"{PAGE}/x?$skiptoken=1",
        f"{PAGE}?$skiptoken=1 2",
        f"{PAGE}?$skiptoken=\r\nx",
        f"{PAGE}?$skiptoken=é",
        PAGE.replace("directoryAudits", "provisioning") + "?$skiptoken=1",
        PAGE.replace("https:", "http:") + "?$skiptoken=1",
        PAGE.replace(".com", ".com:8443") + "?$skiptoken=1",
        PAGE.replace(".com", ".com:x") + "?$skiptoken=1",
        PAGE.replace(".com", ".com.evil.example") + "?$skiptoken=1",
        PAGE.replace("https://", "https://a@") + "?$skiptoken=1",
        PAGE.replace("https://", "https://:b@") + "?$skiptoken=1",
        PAGE.replace("https://", "//") + "?$skiptoken=1",
        f"{AUDITS}?$skiptoken=1",
        "https://[::1/v1.0?$skiptoken=1",
        "9" * (MAX_LINK + 1),
    ],
)
def test_a_link_that_leads_elsewhere_is_refused_and_not_quoted(link: JsonValue) -> None:
    with pytest.raises(FetchError) as refused:
        next_query(link, GRAPH, AUDITS)
    assert "skiptoken" not in str(refused.value)


@given(st.text(max_size=40) | json_values())
@settings(max_examples=100)
def test_any_link_is_refused_or_leads_to_the_same_log(link: JsonValue) -> None:
    for each in (link, f"{PAGE}{link}", f"https://{link}{AUDITS}?$skip=1"):
        try:
            query = next_query(each, GRAPH, AUDITS)
        except FetchError:
            continue
        url = URL(f"{GRAPH}{AUDITS}?{query}", encoded=True)
        assert (url.origin(), url.raw_path) == (GRAPH, AUDITS)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-21T17:53:55Z", "2026-11-21T17:53:55.000Z"),
        ("2026-11-21T17:53:55.1239999Z", "2026-11-21T17:53:55.123Z"),
        ("2026-11-21T18:53:55+01:00", "2026-11-21T17:53:55.000Z"),
        ("yesterday", None),
        ("1969-12-31T23:59:59Z", None),
    ],
)
def test_a_record_s_date_is_read(time: str, expected: str | None) -> None:
    found = dated(audit_bytes(time))
    assert (None if found is None else format_time(found)) == expected


@given(st.binary(max_size=60) | json_values().map(lambda each: str(each).encode()))
@settings(max_examples=50)
def test_what_has_no_date_has_none(record: bytes) -> None:
    assert dated(record) is None


def test_each_log_is_asked_as_its_page_says() -> None:
    assert {log.path: log.comparison for log in LOGS} == {
        PROVISIONING: "gt",
        AUDITS: "ge",
    }


async def test_settings_make_the_feed_and_the_secret_is_read_anew(
    tmp_path: Path,
) -> None:
    async with fake_graph() as graph:
        graph.logs[PROVISIONING] += [audit_bytes(now_ms() - DAY) for _ in range(2)]
        feed = make_feed(KIND, read_source(write_settings(tmp_path, graph)))
        (tmp_path / "entra.secret").write_text("another")
        try:
            with pytest.raises(ConfigurationError, match="refuses the token"):
                await feed.page(now_ms() - 2 * DAY, None)
            (tmp_path / "entra.secret").write_text(SECRET)
            page = await feed.page(now_ms() - 2 * DAY, None)
            assert page.records == graph.logs[PROVISIONING]
        finally:
            await feed.close()


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        ({"tenant": "../acme"}, "tenant cannot be that"),
        ({"tenant": ""}, "tenant cannot be that"),
        ({"client_id": "a b"}, "client_id cannot be that"),
        ({"keeps_days": 0}, "keeps_days cannot be that"),
        ({"keeps_days": "x"}, "keeps_days"),
        ({"client_secret_file": "none"}, "none"),
        ({"graph_url": "http://graph.example"}, "https"),
        ({"login_url": "https://login.example/path"}, "without a path"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tmp_path: Path, replaced: dict[str, object], expected: str
) -> None:
    path = write_settings(tmp_path, FakeGraph(url="http://127.0.0.1:1"), **replaced)
    settings = read_source(path)
    assert settings.source == SOURCE
    with pytest.raises(ConfigurationError, match=expected):
        make_feed(KIND, settings)
