"""`provlog-server fsck`: recompute everything that is stored."""

import sys
import time

import click

from provlog.server.cli.common import instance_options, print_json
from provlog.server.errors import ConfigurationError
from provlog.server.instance import Instance
from provlog.server.selfcheck.log_check import Step
from provlog.server.selfcheck.passes import Pass

REFRESH_SECONDS = 0.2


@click.command()
@instance_options
@click.option("--log", "log_name", help="The one log to check.  [default: all]")
@click.pass_context
def fsck(
    context: click.Context,
    instance: Instance,
    as_json: bool,
    log_name: str | None,
) -> None:
    """Re-read every row of the database and recompute it.

    Leaves, tiles, heads, private rows, ids, openings, sources and tokens are held
    against each other, against the keys and against the guard. Nothing is changed, and
    a server may run meanwhile. Exit code 1 where something disagrees.

    \b
    provlog-server fsck --dir /var/lib/provlog
    """
    if not instance.guard.is_dir():
        raise ConfigurationError(f"there is no guard folder {instance.guard}")
    check = Pass(instance, log_name, thorough=True)
    progress = Progress()
    for step in check.steps():
        progress.show(step)
    progress.clear()
    _print(check, as_json)
    context.exit(1 if check.findings.total else 0)


def _print(check: Pass, as_json: bool) -> None:
    findings = check.findings
    if as_json:
        print_json(
            {
                "clean": findings.total == 0,
                "logs": {**check.sizes},
                "findings": [{**item.json()} for item in findings.kept],
                "total": findings.total,
                "notes": [*check.notes],
            }
        )
        return
    for note in check.notes:
        click.echo(note, err=True)
    for item in findings.kept:
        click.echo(item.text())
    if findings.total > len(findings.kept):
        click.echo(f"and {findings.total - len(findings.kept)} more")
    for name, size in check.sizes.items():
        noun = "entry" if size == 1 else "entries"
        click.echo(f"log {name}: {size} {noun} read", err=True)
    click.echo("clean" if not findings.total else f"findings: {findings.total}")


class Progress:
    """One line on a terminal with rate and time left; nothing in a pipe."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._log = ""
        self._begun = self._last = time.monotonic()

    def show(self, step: Step) -> None:
        """Show how far the check is."""
        now = time.monotonic()
        if step.log != self._log:
            self._log, self._begun = step.log, now
        if not self._shown or now - self._last < REFRESH_SECONDS:
            return
        self._last = now
        rate = step.done / max(now - self._begun, 0.001)
        left = (step.size - step.done) / max(rate, 0.001)
        line = (
            f"log {step.log}: {step.done:,} of {step.size:,} entries,"
            f" {rate:,.0f}/s, {format_seconds(left)} left"
        )
        click.echo(f"\r{line[:100]:<100}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo(f"\r{'':<100}\r", nl=False, err=True)


def format_seconds(seconds: float) -> str:
    """Return a time as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
