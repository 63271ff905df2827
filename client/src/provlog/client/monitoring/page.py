"""The monitor's status as a page for people: plain HTML, no script, nothing loaded."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from provlog.client.alerting.sending import Delivery
from provlog.client.errors import printable
from provlog.client.monitoring.followed import Followed
from provlog.merkle.encoding import format_time

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #8886;
  vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
th.number { text-align: right; }
.state { display: inline-block; padding: 0 .6rem; border-radius: .8rem;
  font-weight: 600; color: #fff; }
.well { background: #1a7f37; } .alarm { background: #b42318; }
.starting, .ended { background: #667085; }
.origin { overflow-wrap: anywhere; } small { opacity: .75; }
ul { margin: .3rem 0 0; padding-left: 1.2rem; }
@media (max-width: 48rem) {
  table, tbody, tr, td { display: block; } thead { display: none; }
  tr { border-bottom: 1px solid #8886; padding: .5rem 0; }
  td, td.number { border: 0; padding: .1rem 0; text-align: left; }
  td[data-is]::before { content: attr(data-is) ": "; opacity: .75; }
}
"""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def status_page(
    logs: Sequence[Followed], deliveries: Mapping[str, Delivery], now: float
) -> str:
    """Return the page at the time `now`, POSIX seconds."""
    # Those in alarm first, otherwise in the order of the configuration.
    ordered = sorted(logs, key=lambda each: each.state != "alarm")
    alarmed = sum(each.state == "alarm" for each in logs)
    title = f"{alarmed} of {len(logs)} logs in alarm" if alarmed else "all is well"
    rows = "".join(_row(each, now) for each in ordered)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>provlog monitor: {title}</title><style>{_STYLE}</style></head><body>"
        f"<h1>provlog monitor</h1><p>{escape(title)}; "
        f"<small>as of {format_time(int(now * 1000))}</small></p>"
        "<table><thead><tr><th>log</th><th>state</th><th class='number'>entries</th>"
        "<th class='number'>read</th><th>verified</th><th>grown</th>"
        f"<th>witnessed</th></tr></thead><tbody>{rows}</tbody></table>"
        f"{_deliveries(deliveries)}"
        "<p><small>The same for programs: <a href='status.json'>status.json</a>, "
        "<a href='metrics'>metrics</a>.</small></p></body></html>\n"
    )


def _row(log: Followed, now: float) -> str:
    troubles = "".join(
        f"<li><b>{escape(kind)}</b>: {escape(printable(text))}</li>"
        for kind, text in zip(log.alarms, log.troubles, strict=True)
    )
    listed = f"<ul>{troubles}</ul>" if troubles else ""
    return (
        f"<tr><td class='origin'>{escape(printable(log.origin))}{listed}</td>"
        f"<td><span class='state {log.state}'>{log.state}</span></td>"
        f"<td class='number' data-is='entries'>{_number(log.size)}</td>"
        f"<td class='number' data-is='read'>{_number(log.read_size)}</td>"
        f"<td data-is='verified'>{_ago(log.verified_at, now)}</td>"
        f"<td data-is='grown'>{_ago(log.grown_at, now)}</td>"
        f"<td data-is='witnessed'>{_ago(log.quorum_time, now)}</td></tr>"
    )


def _deliveries(deliveries: Mapping[str, Delivery]) -> str:
    if not deliveries:
        return "<p>Nobody is told: no webhook and no mail are configured.</p>"
    rows = "".join(
        f"<tr><td data-is='alerts by'>{escape(name)}</td>"
        f"<td class='number' data-is='delivered'>{each.delivered}</td>"
        f"<td class='number' data-is='waiting'>{each.waiting}</td>"
        f"<td data-is='trouble'>{escape(each.trouble)}</td></tr>"
        for name, each in deliveries.items()
    )
    return (
        "<table><thead><tr><th>alerts by</th><th class='number'>delivered</th>"
        "<th class='number'>waiting</th><th>trouble</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _ago(then: float | None, now: float) -> str:
    if then is None:
        return "-"
    seconds = now - then
    if seconds < 0:
        return "in the future"
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name} ago"
    return f"{seconds:.0f} s ago"
