"""Reports on sources: as a naive look at all leaves makes them, however it is cut."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import MalformedError
from provlog.merkle.source_activity import MAX_STEPS, Activity
from provlog.merkle.source_fold import Scope, SourceFold
from provlog.merkle.source_report import (
    LATENESS,
    MAX_TYPES,
    Extreme,
    SourceReport,
    seen_in,
)
from provlog.merkle.source_silence import HEARTBEAT, MAX_PERIODS, Heartbeats, Period
from support.source_leaves import ACME, HOUR, START, source_leaf
from support.tiled_logs import params_leaf

DAY = 24 * HOUR
QUIET = "urn:okta:quiet"


def folded(leaves: Sequence[bytes], scope: Scope | None = None) -> SourceFold:
    fold = SourceFold(scope)
    for leaf in leaves:
        fold.add(leaf)
    return fold


def report_of(*leaves: bytes, scope: Scope | None = None) -> SourceReport:
    return folded(leaves, scope).reports[ACME]


def test_a_leaf_tells_what_it_says_in_the_clear() -> None:
    seen = seen_in(source_leaf(5, time=3, seq=17, type="app.assign"))
    assert seen == (ACME, "app.assign", START + 5, START + 3, 17)
    bare = seen_in(source_leaf(5))
    assert bare is not None
    assert bare.seq is None


def test_leaves_that_are_no_events_tell_nothing() -> None:
    golden = Path(__file__).parent / "golden"
    for path in golden.glob("*.leaf"):
        seen = seen_in(path.read_bytes())
        assert (seen is not None) == path.name.startswith("event"), path
    event = source_leaf(5)
    for other in (b"", b"{}", event + b" ", event.replace(b'"v":1', b'"v":2')):
        assert seen_in(other) is None
    assert (
        seen_in(event.replace(b'"recorded":"2026-11', b'"recorded":"2026-13')) is None
    )


def test_entries_of_other_kinds_and_versions_only_count_as_entries() -> None:
    fold = folded([params_leaf(), b'{"kind":"later","v":2}', source_leaf(0)])
    assert fold.size == 3
    assert fold.reports[ACME].first == fold.reports[ACME].last == 2


def test_lateness_and_clocks_that_are_ahead() -> None:
    late = source_leaf(10 * HOUR, time=HOUR)
    ahead = source_leaf(11 * HOUR, time=11 * HOUR + 5_001)
    report = report_of(source_leaf(0), late, source_leaf(10 * HOUR + 1), ahead)
    assert (report.late, report.latest) == (1, Extreme(9 * HOUR, 1))
    assert (report.ahead, report.furthest) == (1, Extreme(5_001, 3))
    assert report.lateness[0] == 3
    assert report.lateness[LATENESS.index(86_400_000)] == 1
    exact = report_of(source_leaf(HOUR, time=0), source_leaf(HOUR, time=HOUR + 5_000))
    assert (exact.late, exact.ahead) == (0, 0)


def test_silence_is_a_pause_and_what_has_not_ended() -> None:
    report = report_of(*(source_leaf(at * HOUR) for at in (0, 1, 30, 31, 32)))
    now = START + 60 * HOUR
    assert report.silent_periods(24 * HOUR, now) == [
        Period(START + HOUR, START + 30 * HOUR, 2),
        Period(START + 32 * HOUR, now, None),
    ]
    assert report.silent_periods(29 * HOUR, START + 33 * HOUR) == []


def test_the_longest_pauses_are_kept() -> None:
    times = [0]
    for length in range(1, 2 * MAX_PERIODS):
        times.append(times[-1] + length * HOUR)
    report = report_of(*(source_leaf(at) for at in times))
    found = report.silent_periods(0, START + times[-1])
    assert [each.length // HOUR for each in found] == [
        *range(MAX_PERIODS, 2 * MAX_PERIODS)
    ]


def test_heartbeats_that_are_missed() -> None:
    beats = Heartbeats()
    for minute in (0, 5, 10):
        beats.add(minute * 60_000)
    assert beats.to_json()["intervals"] == [300_000, 300_000]
    assert beats.patience is None
    for minute in (15, 20, 27, 32, 47, 52):
        beats.add(minute * 60_000)
    assert (beats.interval, beats.count) == (5 * 60_000, 9)
    assert (beats.missed, beats.newest) == (2, 52 * 60_000)


def test_a_new_interval_of_heartbeats_is_learnt() -> None:
    beats = Heartbeats()
    at = 0
    for interval in [60_000] * 12 + [600_000] * 12:
        at += interval
        beats.add(at)
    assert beats.interval == 600_000
    before = beats.missed
    beats.add(at + 600_000)
    assert beats.missed == before


def test_heartbeats_are_events_of_their_type() -> None:
    leaves = [source_leaf(at * HOUR, type=HEARTBEAT) for at in range(5)]
    report = report_of(*leaves, source_leaf(5 * HOUR))
    assert (report.count, report.heartbeats.count) == (6, 5)
    assert report.heartbeats.interval == HOUR


def test_attempts_stand_beside_their_outcomes() -> None:
    kinds = ["attempt.account.create", "attempt.account.create", "account.create"]
    kinds += ["role.assign", "attempt.group.delete"]
    report = report_of(*(source_leaf(0, type=kind) for kind in kinds))
    assert report.attempts() == {"account.create": (2, 1), "group.delete": (1, 0)}


def test_types_and_sources_beyond_the_most_are_counted_together() -> None:
    many = [source_leaf(0, type=f"other.t{n}") for n in range(MAX_TYPES + 3)]
    assert report_of(*many).others == 3
    fold = folded(
        [source_leaf(0, source=f"urn:{n}") for n in (1, 2, 3, 1, 3)],
        Scope(max_sources=2),
    )
    assert [*fold.reports] == ["urn:1", "urn:2"]
    assert fold.left_out == 2


def test_from_a_time_on_only_what_is_new_counts() -> None:
    scope = Scope(since=START + 10 * HOUR, until=START + 40 * HOUR)
    leaves = [
        source_leaf(0, seq=1, time=-DAY),
        source_leaf(HOUR, seq=3),
        source_leaf(12 * HOUR, seq=2),
        source_leaf(13 * HOUR, seq=6),
        source_leaf(50 * HOUR, seq=90, time=0),
        source_leaf(51 * HOUR, source="urn:later"),
    ]
    report = report_of(*leaves, scope=scope)
    assert (report.count, report.late, report.first, report.last) == (2, 0, 2, 3)
    assert [tuple(each)[1:3] for each in report.numbers.ranges()] == [(4, 5)]
    assert report.numbers.unplaced == 1
    assert report.periods.beyond(0)[0] == Period(START + HOUR, START + 12 * HOUR, 2)
    assert sum(step.entries for step in report.activity.steps()) == 2
    assert "urn:later" not in folded(leaves, scope).reports


def test_heartbeats_from_before_are_not_counted_and_tell_the_interval() -> None:
    times = [0, HOUR, 2 * HOUR, 3 * HOUR, 9 * HOUR, 10 * HOUR, 12 * HOUR]
    leaves = [source_leaf(at, type=HEARTBEAT) for at in times]
    beats = report_of(*leaves, scope=Scope(since=START + 10 * HOUR)).heartbeats
    assert (beats.count, beats.missed, beats.interval) == (2, 1, HOUR)


def test_a_source_that_fell_silent_before_is_still_known() -> None:
    fold = folded([source_leaf(0)], Scope(since=START + HOUR))
    report = fold.reports[ACME]
    assert report.count == 0
    now = START + 2 * DAY
    assert report.silent_periods(DAY, now) == [Period(START, now, None)]


def test_a_log_whose_time_goes_back_breaks_nothing() -> None:
    report = report_of(source_leaf(9 * HOUR), source_leaf(0), source_leaf(10 * HOUR))
    assert report.newest == START + 10 * HOUR
    assert [each.length for each in report.periods.beyond(0)] == [HOUR]
    ancient = source_leaf(0).replace(b'"recorded":"2026', b'"recorded":"0001')
    fold = folded([ancient])
    assert SourceFold.from_json(Scope(), fold.to_json()).to_json() == fold.to_json()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 500 * HOUR), min_size=1, max_size=60))
def test_the_plot_has_the_shortest_steps_that_fit(times: list[int]) -> None:
    times.sort()
    activity = Activity()
    for at in times:
        activity.add(START + at)
    width = HOUR
    while (START + times[-1]) // width - (START + times[0]) // width >= MAX_STEPS:
        width *= 2
    steps = activity.steps()
    assert activity.width == width
    assert len(steps) <= MAX_STEPS
    for step in steps:
        within = [x for x in times if 0 <= START + x - step.start < width]
        assert step.entries == len(within)
    assert sum(step.entries for step in steps) == len(times)


events = st.tuples(
    st.sampled_from([ACME, QUIET]),
    st.integers(0, 30 * HOUR),
    st.integers(-3 * HOUR, 8_000),
    st.one_of(st.none(), st.integers(0, 30)),
    st.sampled_from(["role.assign", HEARTBEAT, "attempt.role.assign"]),
)


def leaves_of(drawn: Sequence[tuple[str, int, int, int | None, str]]) -> list[bytes]:
    made, recorded = [], 0
    for source, pause, ahead, seq, kind in drawn:
        recorded += pause
        made.append(
            source_leaf(
                recorded, source=source, time=recorded + ahead, seq=seq, type=kind
            )
        )
    return made


@settings(max_examples=80, deadline=None)
@given(st.lists(events, min_size=1, max_size=30))
def test_it_is_what_a_naive_look_finds(
    drawn: list[tuple[str, int, int, int | None, str]],
) -> None:
    fold = folded(leaves_of(drawn))
    times: list[int] = []
    for _, pause, *_ in drawn:
        times.append((times[-1] if times else 0) + pause)
    for source in {each[0] for each in drawn}:
        places = [n for n, each in enumerate(drawn) if each[0] == source]
        mine, report = [drawn[n] for n in places], fold.reports[source]
        recorded = [START + times[n] for n in places]
        assert (report.count, report.first, report.last) == (
            len(mine), places[0], places[-1]
        )  # fmt: skip
        assert report.late == sum(-each[2] > HOUR for each in mine)
        assert report.ahead == sum(each[2] > 5_000 for each in mine)
        worst = max(-each[2] for each in mine)
        assert report.latest == (
            Extreme(worst, next(n for n in places if -drawn[n][2] == worst))
            if worst > 0
            else None
        )
        pauses = [
            Period(before, after, place)
            for before, after, place in zip(
                recorded, recorded[1:], places[1:], strict=False
            )
            if after - before > 24 * HOUR
        ]
        longest = sorted(pauses, key=lambda p: (-p.length, p.entry))[:MAX_PERIODS]
        assert report.silent_periods(24 * HOUR, recorded[-1]) == sorted(longest)


@settings(max_examples=60, deadline=None)
@given(st.lists(events, max_size=30), st.lists(st.integers(0, 30), max_size=3))
def test_it_does_not_matter_where_a_pass_is_broken_off(
    drawn: list[tuple[str, int, int, int | None, str]], cuts: list[int]
) -> None:
    scope = Scope(since=START + 20 * HOUR)
    leaves = leaves_of(drawn)
    fold = SourceFold(scope)
    for place, leaf in enumerate(leaves):
        if place in cuts:
            fold = SourceFold.from_json(scope, fold.to_json())
        fold.add(leaf)
    assert fold.to_json() == folded(leaves, scope).to_json()


def _set(state: Any, path: str, value: Any) -> None:  # noqa: ANN401
    *outer, last = path.split("/")
    for name in outer:
        state = state[name]
    state[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("v", 2),
        ("size", -1),
        ("scope", [1]),
        ("reports", []),
        (f"reports/{'x' * 257}", {}),
        (f"reports/{ACME}/count", None),
        (f"reports/{ACME}/latest", [1]),
        (f"reports/{ACME}/lateness", [1]),
        (f"reports/{ACME}/types", {str(n): 1 for n in range(MAX_TYPES + 1)}),
        (f"reports/{ACME}/types", {"a.b": "1"}),
        (f"reports/{ACME}/periods", [[0, 1, 1], [0, 2, 1]]),
        (f"reports/{ACME}/periods", [[0, 1, 1]] * 17),
        (f"reports/{ACME}/heartbeats/intervals", [1] * 10),
        (f"reports/{ACME}/heartbeats/count", True),
        (f"reports/{ACME}/activity/width", 7),
        (f"reports/{ACME}/activity/counts", [[5, 1], [4, 1]]),
        (f"reports/{ACME}/activity/counts", [[5, 1], [500, 1]]),
        (f"reports/{ACME}/more", 1),
    ],
)
def test_what_is_no_state_is_refused(path: str, value: JsonValue) -> None:
    leaves = [source_leaf(HOUR * n, seq=3 * n, time=0) for n in range(3)]
    state = folded(leaves).to_json()
    SourceFold.from_json(Scope(), state)
    _set(state, path, value)
    with pytest.raises(MalformedError):
        SourceFold.from_json(Scope(), state)


def test_a_state_of_another_scope_is_refused() -> None:
    state = folded([source_leaf(0)]).to_json()
    with pytest.raises(MalformedError, match="scope"):
        SourceFold.from_json(Scope(late=1), state)
