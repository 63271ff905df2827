"""Times of events: every RFC 3339 spelling in, one canonical spelling out."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.encoding import format_time, parse_time
from provlog.server.intake import times
from provlog.server.intake.times import normalise_time


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("2026-11-21T17:53:55.516Z", "2026-11-21T17:53:55.516Z"),
        ("2026-11-21T17:53:55Z", "2026-11-21T17:53:55.000Z"),
        ("2026-11-21t17:53:55.5z", "2026-11-21T17:53:55.500Z"),
        ("2026-11-21 17:53:55.516999999Z", "2026-11-21T17:53:55.516Z"),
        ("2026-11-21T17:53:55.9999+00:00", "2026-11-21T17:53:55.999Z"),
        ("2026-11-22T01:23:55.1+07:30", "2026-11-21T17:53:55.100Z"),
        ("2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00.000Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999Z"),
        ("2017-01-01T00:59:60.25+01:00", "2016-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_timestamp_becomes_utc_with_truncated_milliseconds(
    sent: str, canonical: str
) -> None:
    assert normalise_time(sent) == canonical


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "redacted",
        "2026-11-21",
        "2026-11-21T17:53Z",
        "2026-11-21T17:53:55",
        "2026-11-21T17:53:55.Z",
        "2026-11-21T17:53:55,5Z",
        "2026-11-21T17:53:55+0730",
        "2026-11-21T17:53:55+24:00",
        "2026-11-21T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-21T17:53:61Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "２026-11-21T17:53:55Z",
        "2026-11-21T17:53:55Z\n",
        "2026-11-21T17:53:55." + "5" * 60 + "Z",
    ],
)
def test_what_is_no_rfc_3339_timestamp_is_refused(sent: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the type is the contract
        normalise_time(sent)
    assert not sent or sent not in str(caught.value)


class NewerDatetime(datetime):
    """Reads 24:00 as Python 3.14 does."""

    @classmethod
    def fromisoformat(cls, text: str, /) -> "NewerDatetime":
        return super().fromisoformat(text.replace("T24:", "T00:"))


@pytest.mark.parametrize("sent", ["2026-11-21T24:00:00Z", "2026-11-21T24:00:00+01:00"])
def test_hour_24_is_no_hour_on_any_python(
    sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(times, "datetime", NewerDatetime)
    with pytest.raises(ValueError, match="RFC 3339"):
        normalise_time(sent)


def test_a_missing_offset_is_utc_only_where_a_provider_leaves_it_out() -> None:
    sent = "2020-11-25 21:27:03.496000000"
    assert normalise_time(sent, zoneless_is_utc=True) == "2020-11-25T21:27:03.496Z"


@given(
    st.integers(2 * 86_400_000_000, 253_402_000_000_000_000), st.integers(-1439, 1439)
)
def test_normalising_agrees_with_the_standard_library(
    microseconds: int, offset: int
) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    local = moment.astimezone(timezone(timedelta(minutes=offset)))
    canonical = normalise_time(local.isoformat())
    assert canonical == format_time(microseconds // 1000)
    assert parse_time(canonical) == microseconds // 1000
