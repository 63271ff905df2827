"""Whether a source is silent for longer than it should be, and its report in JSON."""

from dataclasses import dataclass

from provlog.merkle.encoding import JsonValue, format_time
from provlog.merkle.source_fold import SourceFold
from provlog.merkle.source_report import LATENESS, Extreme, SourceReport
from provlog.server.log import Log
from provlog.server.source_settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Silence:
    """How long a source has been silent, and how long it may be; in milliseconds.

    `allowed` was declared in the source's settings, or else follows from its
    heartbeats; None where nothing tells. `since` is when its newest event was recorded,
    None where there is none.
    """

    allowed: int | None
    declared: bool
    since: int | None
    now: int

    @property
    def overdue(self) -> bool | None:
        """Whether something should have come; None where nothing tells."""
        if self.allowed is None:
            return None
        return self.since is None or self.now - self.since > self.allowed


def silence_of(
    log: Log,
    uri: str,
    fold: SourceFold,
    settings: SourceSettings | None,
    now: int,
) -> Silence:
    """Return how a source of a log keeps silent now."""
    report = fold.reports.get(uri)
    declared = None if settings is None else settings.heartbeat
    learnt = None if report is None else report.heartbeats.patience
    since = None if report is None else report.newest
    if fold.size < log.released.size:
        # What was not folded yet may be of this source.
        newer = log.freshness.newest.get(uri)
        since = max((each for each in (since, newer) if each is not None), default=None)
    return Silence(declared or learnt, declared is not None, since, now)


def health_json(uri: str, fold: SourceFold, silence: Silence) -> dict[str, JsonValue]:
    """Return what the API says of a source that has events, or should have some."""
    report = fold.reports.get(uri) or SourceReport()
    scope = fold.scope
    return {
        "source": uri,
        "covers": fold.size,
        "events": report.count,
        "newest": _newest(report),
        "numbers": _numbers(report),
        "lateness": {
            "threshold": _seconds(scope.late),
            "late": report.late,
            "newest": _seconds(_behind(report)),
            "most": _extreme(report.latest),
            "counts": _lateness(report),
        },
        "clock": {
            "threshold": _seconds(scope.skew),
            "ahead": report.ahead,
            "newest": _seconds(ahead_of(report)),
            "most": _extreme(report.furthest),
        },
        "heartbeats": {
            "count": report.heartbeats.count,
            "interval": _seconds(report.heartbeats.interval),
            "missed": report.heartbeats.missed,
        },
        "silence": {
            "allowed": _seconds(silence.allowed),
            "declared": silence.declared,
            "overdue": silence.overdue,
            "since": _moment(silence.since),
        },
    }


def ahead_of(report: SourceReport) -> int:
    """Return by how much the newest event's time is ahead of when it was recorded."""
    if report.newest is None or report.newest_time is None:
        return 0
    return max(0, report.newest_time - report.newest)


def _behind(report: SourceReport) -> int:
    if report.newest is None or report.newest_time is None:
        return 0
    return max(0, report.newest - report.newest_time)


def _newest(report: SourceReport) -> JsonValue:
    if report.last is None:
        return None
    return {
        "index": report.last,
        "recorded": _moment(report.newest),
        "time": _moment(report.newest_time),
    }


def _numbers(report: SourceReport) -> dict[str, JsonValue]:
    numbers = report.numbers
    return {
        "first": numbers.first,
        "newest": numbers.newest,
        "missing": numbers.missing,
        "unlisted": numbers.unlisted,
        "ranges": [
            {
                "first": each.first,
                "last": each.last,
                "run": each.run,
                "index": each.entry,
                "recorded": format_time(each.recorded),
            }
            for each in numbers.ranges()
        ],
        "filled": numbers.filled,
        "repeated": numbers.repeated,
        "unplaced": numbers.unplaced,
        "restarts": numbers.run,
    }


def _lateness(report: SourceReport) -> list[JsonValue]:
    bounds: list[float | None] = [bound / 1000 for bound in LATENESS]
    return [
        {"up_to": bound, "events": count}
        for bound, count in zip([*bounds, None], report.lateness, strict=True)
    ]


def _extreme(found: Extreme | None) -> JsonValue:
    return (
        None if found is None else {"seconds": found.value / 1000, "index": found.entry}
    )


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else format_time(milliseconds)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
