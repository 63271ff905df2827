"""`provlog gaps`: what the sources of a log did not send, or sent late."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provlog.client.cli.output import note, note_missed, print_json, progress
from provlog.client.cli.settings import Settings, connecting, json_option
from provlog.client.cli.spans import Moment, Span, now_ms
from provlog.client.errors import UsageError, printable
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.source_fold import Scope, SourceFold
from provlog.merkle.trust import SignedCheckpoint

if TYPE_CHECKING:
    from provlog.client.gaps_run import SourcePass
    from provlog.client.source_gaps import Judge, SourceFinding

FOUND = 4
MAX_SOURCES = 10_000


@click.command()
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="URI",
    help="Tell of this source alone; may be repeated. By default of all.",
)
@click.option(
    "--since",
    type=Moment(),
    help="Tell of what was recorded from then on: a time, or a span such as 30d.",
)
@click.option(
    "--until", type=Moment(), help="And before then; by default up to the newest entry."
)
@click.option(
    "--silent",
    type=Span(),
    metavar="SPAN",
    help="The longest silence that means nothing; by default three heartbeats, or 24h"
    " for a source that sends none.",
)
@click.option(
    "--late",
    type=Span(),
    default="1h",
    show_default=True,
    metavar="SPAN",
    help="How long after it happened an event may be recorded.",
)
@click.option(
    "--skew",
    type=Span(),
    default="5s",
    show_default=True,
    metavar="SPAN",
    help="How far a source's clock may be ahead of the log's.",
)
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Go on from this file, and leave in it what the next run goes on from.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    metavar="N",
    help="How many downloads run at a time; each holds 16 MiB at the very most.",
)
@json_option
@connecting
def gaps(
    sources: tuple[str, ...],
    since: int | None,
    until: int | None,
    silent: int | None,
    late: int,
    skew: int,
    resume: Path | None,
    parallel: int,
    as_json: bool,
    settings: Settings,
) -> None:
    """Name what sources did not send: missing numbers, silence, lateness, wrong clocks.

    Every entry is verified first, as by `provlog audit`. What is told stands in the
    clear in the leaves: it takes no help of the log's operator, and no personal data.
    The token needs the role monitor, and a public log none.

    \b
    What it says of a source:
      missing    numbers (the event's attribute sequence) that never arrived
      restarted  it began to count anew
      repeated   another event with a number that was there
      silent     no event for longer than is usual, or than --silent
      late       recorded long after it happened
      ahead      said to happen after it was recorded: a clock is wrong
      absent     a source of --source has no event at all

    \b
    Examples:
      provlog gaps
      provlog gaps --source urn:okta:acme --since 30d --silent 4h
      provlog gaps --resume gaps.state --json | jq 'select(.event == "finding")'

    Exit code 0 if there is nothing to tell, 4 if there is, 1 if the log does not
    verify, 2 for a mistake in the call, 3 if the log is unavailable.
    """
    # Not at the top: `provlog verify` does without anything that knows of networks.
    import asyncio

    from provlog.client.source_gaps import Judge

    now = now_ms()
    scope = _scope(since, until, late, skew)
    run, fold = asyncio.run(_read(settings, scope, resume, parallel, as_json))
    judge = Judge(min(now, scope.until), silent)
    report = _Report(run.signed, fold, judge, as_json, run.missed)
    if report.tell(sources or sorted(fold.reports)):
        raise click.exceptions.Exit(FOUND)


def _scope(since: int | None, until: int | None, late: int, skew: int) -> Scope:
    bounds = Scope(late, skew, max_sources=MAX_SOURCES)
    scope = Scope(
        late,
        skew,
        bounds.since if since is None else since,
        bounds.until if until is None else until,
        MAX_SOURCES,
    )
    if scope.since >= scope.until:
        raise UsageError("--since is not before --until")
    return scope


async def _read(
    settings: Settings,
    scope: Scope,
    resume: Path | None,
    parallel: int,
    as_json: bool,
) -> "tuple[SourcePass, SourceFold]":
    from provlog.client.gaps_run import ResumeFile, begin_pass, run_pass

    trust = settings.trust()
    reader = settings.reader(trust)
    try:
        file = None if resume is None else ResumeFile(resume)
        run = await begin_pass(reader, trust, settings.memory(), scope, file)
        size, first = run.signed.checkpoint.size, run.auditor.done
        if not as_json:
            origin = printable(run.signed.checkpoint.origin)
            note(f"reading {origin}, a log of {size}, from entry {first} on")
            note_missed(size, run.missed)
        with progress("reading", size, done=first, unit="entries") as advance:
            fold = await run_pass(run, reader, parallel=parallel, on_progress=advance)
    finally:
        await reader.close()
    return run, fold


@dataclass(frozen=True, slots=True)
class _Report:
    """What is printed once everything has been verified."""

    signed: SignedCheckpoint
    fold: SourceFold
    judge: "Judge"
    as_json: bool
    missed: int | None

    def tell(self, sources: Sequence[str]) -> int:
        """Print all that there is to say of the sources; return how many findings."""
        total = 0
        for source in sources:
            findings = list(self.judge.findings(source, self.fold))
            total += len(findings)
            (self._print_json if self.as_json else self._print)(source, findings)
        if self.fold.left_out:
            note(
                f"events of sources beyond the first {MAX_SOURCES:,}, of which nothing"
                f" is told: {self.fold.left_out:,}"
            )
        self._print_end(len(sources), total)
        return total

    def _print_json(self, source: str, findings: "Sequence[SourceFinding]") -> None:
        from provlog.client.source_gaps import summary

        report = self.fold.reports.get(source)
        if report is not None:
            figures = summary(report, self.judge.allowed_silence(report))
            print_json({"event": "source", "source": source, **figures})
        for each in findings:
            print_json({"event": "finding", **each.to_json()})

    def _print(self, source: str, findings: "Sequence[SourceFinding]") -> None:
        from provlog.client.source_gaps import describe, plot, span

        report = self.fold.reports.get(source)
        if report is None:
            click.echo(printable(source))
        else:
            click.echo(f"{printable(source)}: {printable(describe(report))}")
            silences = self.judge.silent_periods(report)
            drawn, width = plot(report, silences, self.judge.now)
            if drawn and _on_terminal():
                click.echo(f"  {drawn} {span(width)} a bar")
        for each in findings:
            click.echo(f"  {each.kind.upper():<9}  {each.text}")

    def _print_end(self, sources: int, total: int) -> None:
        from provlog.client.source_gaps import counted

        checkpoint = self.signed.checkpoint
        if self.as_json:
            end: dict[str, JsonValue] = {
                "event": "finished",
                "origin": checkpoint.origin,
                "size": checkpoint.size,
                "root": encode_base64(checkpoint.root),
                "sources": sources,
                "left_out": self.fold.left_out,
                "findings": total,
                "ok": total == 0,
            }
            known: dict[str, JsonValue] = {}
            if self.missed is not None:
                known["missed"] = self.missed
            print_json({**end, **known})
            return
        found = counted(total, "finding") if total else "nothing to tell"
        verified = f"{counted(checkpoint.size, 'entry', 'entries')} verified"
        click.echo(f"{counted(sources, 'source')}, {found}: {verified}")


def _on_terminal() -> bool:
    return sys.stdout.isatty()
