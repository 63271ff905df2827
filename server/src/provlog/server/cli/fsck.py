"""`provlog-server fsck`: recompute everything that is stored."""

import click

from provlog.server.cli.common import counted, instance_options, print_json
from provlog.server.cli.progress import Progress
from provlog.server.errors import ConfigurationError
from provlog.server.instance import Instance
from provlog.server.selfcheck.passes import Pass


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

    PostgreSQL's pages are looked at where its extension amcheck is installed; what
    could not be looked at is told as a note.

    \b
    provlog-server fsck --dir /var/lib/provlog
    """
    if instance.guard_url is None and not instance.guard.is_dir():
        raise ConfigurationError(f"there is no guard folder {instance.guard}")
    check = Pass(instance, log_name, thorough=True)
    progress = Progress()
    for step in check.steps():
        progress.show(f"log {step.log}", step.done, step.size)
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
        click.echo(f"log {name}: {counted(size)} read", err=True)
    click.echo("clean" if not findings.total else f"findings: {findings.total}")
