"""`provlog-server recover`: what stands in the way of a start, and the ways out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.server.cli.common import instance_options, print_json, run
from provlog.server.clock import Clock
from provlog.server.errors import ConfigurationError
from provlog.server.guard.lineage import Database
from provlog.server.guard.opening import open_guard
from provlog.server.instance import Instance
from provlog.server.recovery.diagnosis import Diagnosis, Examiner, Verdict
from provlog.server.recovery.ways_out import Succession, Successor, accept_database
from provlog.server.storage.opening import open_storage

_ADVICE = {
    Verdict.UNACCEPTED: (
        "If every commit that was acknowledged is in this database, run recover"
        " --accept-database and start the servers. If newer entries were lost with the"
        " old one, others may hold receipts of them: bring the old database back, or"
        " open a successor (recover --successor)."
    ),
    Verdict.LOST: (
        "Bring back the database that holds what was released. If it is gone for good,"
        " a new log has to go on: recover --successor NAME --origin ORIGIN. Do not"
        " remove the guard: the log would contradict what others hold of it."
    ),
    Verdict.UNGUARDED: (
        "If the guard is elsewhere, name it with --guard. If it is lost, make sure that"
        " the database is the newest there is: the next start makes a guard of it."
    ),
    Verdict.UNREADABLE: "Put that in order, and look again.",
}


@click.command()
@instance_options
@click.option(
    "--accept-database",
    "accept",
    is_flag=True,
    help="Record the PostgreSQL system and timeline that answer as the logs' own,"
    " after every log was found to go on from what was released.",
)
@click.option(
    "--successor",
    metavar="NAME",
    help="Open a new log in the place of one that lost released entries; the old one is"
    " never signed again.",
)
@click.option("--origin", help="The successor's origin, which must be a new one.")
@click.option(
    "--log",
    "log_name",
    default="main",
    show_default=True,
    help="Which log the successor is of.",
)
@click.pass_context
def recover(
    context: click.Context,
    instance: Instance,
    as_json: bool,
    accept: bool,
    successor: str | None,
    origin: str | None,
    log_name: str,
) -> None:
    """Explain why a database is refused, and go on without forking a log.

    Without further options nothing is changed: log by log it is shown what the guard
    holds as released, what the database ends with, which PostgreSQL system and timeline
    the log came from and which one answers, and what follows. Exit code 1 where a log
    cannot simply go on.

    A successor has keys of its own. Its entry 0 names the old log and its newest
    released head; sources are copied, tokens are not. The old log is retired in the
    guard first, so that no server signs it any more; its paths answer 410. If it was
    interrupted, run the same again.

    \b
    provlog-server recover --dir /var/lib/provlog
    provlog-server recover --dir /var/lib/provlog --accept-database
    provlog-server recover --dir /var/lib/provlog --log main \\
        --successor main-2 --origin log.example.com/main-2
    """
    if accept and successor is not None:
        raise click.UsageError("give either --accept-database or --successor")
    if (successor is None) != (origin is None):
        raise click.UsageError("--successor and --origin belong together")
    if accept:
        run(_accept(instance, as_json))
    elif successor is not None and origin is not None:
        run(_succeed(instance, log_name, (successor, origin), as_json))
    else:
        sound: list[bool] = []
        run(_explain(instance, as_json, sound))
        context.exit(0 if all(sound) else 1)


@asynccontextmanager
async def _examining(instance: Instance) -> AsyncIterator[Examiner]:
    """Open database and guard, to look at; no log is opened and nothing is made."""
    if instance.guard_url is None and not instance.guard.is_dir():
        raise ConfigurationError(
            f"there is no guard folder {instance.guard}: nobody here can say what was"
            " released. Name the folder with --guard if it is elsewhere; if it is lost,"
            " make sure that the database is the newest there is, and start the server"
        )
    storage, guard = open_storage(instance), open_guard(instance)
    try:
        await storage.open()
        yield Examiner(instance, storage, guard)
    finally:
        await guard.close()
        await storage.close()


async def _explain(instance: Instance, as_json: bool, sound: list[bool]) -> None:
    async with _examining(instance) as examiner:
        diagnoses = await examiner.every()
        found = examiner.found()
    sound += [each.verdict in (Verdict.SOUND, Verdict.RETIRED) for each in diagnoses]
    if as_json:
        logs = [_diagnosis_json(each) for each in diagnoses]
        print_json({"database": _database_json(found), "logs": [*logs]})
        return
    click.echo(f"database   {found or 'embedded: SQLite in the folder'}")
    for each in diagnoses:
        _print_diagnosis(each)
    for verdict, advice in _ADVICE.items():
        if any(each.verdict is verdict for each in diagnoses):
            click.echo(f"\n{verdict.value}: {advice}")


def _print_diagnosis(each: Diagnosis) -> None:
    click.echo(f"\nlog {each.record.name} ({each.record.origin}): {each.verdict.value}")
    if each.released is not None:
        click.echo(f"  guard    released up to size {each.released.head.size}")
    if each.head is not None:
        click.echo(f"  database size {each.head.size}")
    if each.recorded is not None:
        click.echo(f"  came from {each.recorded}")
    click.echo(f"  {each.reason}")


def _diagnosis_json(each: Diagnosis) -> JsonValue:
    head = None if each.released is None else each.released.head
    return {
        "name": each.record.name,
        "origin": each.record.origin,
        "verdict": each.verdict.value,
        "reason": each.reason,
        "released": None
        if head is None
        else {"size": head.size, "root": encode_base64(head.root)},
        "size": None if each.head is None else each.head.size,
        "recorded": _database_json(each.recorded),
    }


def _database_json(database: Database | None) -> JsonValue:
    # A system id is larger than what JSON's numbers hold exactly.
    if database is None:
        return None
    return {"system": str(database.system), "timeline": database.timeline}


async def _accept(instance: Instance, as_json: bool) -> None:
    async with _examining(instance) as examiner:
        names = await accept_database(examiner)
        found = examiner.found()
    if as_json:
        print_json({"database": _database_json(found), "accepted": [*names]})
        return
    click.echo(f"accepted: {found or 'an embedded database'}, for {', '.join(names)}")
    click.echo("Servers that have stopped taking events have to be started anew.")


async def _succeed(
    instance: Instance, log_name: str, new: tuple[str, str], as_json: bool
) -> None:
    async with _examining(instance) as examiner:
        # It writes: the guard has to be one that can be relied on.
        await examiner.guard.prepare()
        old = await examiner.storage.log(log_name)
        if old is None:
            raise ConfigurationError(f"there is no log {log_name!r}; see recover")
        now = Clock().date(0)
        made = await Successor(examiner, *new).make(old, now)
    _print_succession(made, as_json)


def _print_succession(made: Succession, as_json: bool) -> None:
    root = encode_base64(made.previous.root)
    if as_json:
        previous: JsonValue = {
            "origin": made.old.origin,
            "size": made.previous.size,
            "root": root,
        }
        print_json(
            {
                "name": made.new.name,
                "origin": made.new.origin,
                "log_key": made.new.log_key,
                "previous": previous,
                "sources": made.sources,
            }
        )
        return
    name = made.new.name
    click.echo(f"origin     {made.new.origin}")
    click.echo(f"log key    {made.new.log_key}")
    click.echo(f"succeeds   {made.old.origin}, size {made.previous.size}, root {root}")
    click.echo(f"sources    {made.sources}, as in log {made.old.name}")
    click.echo(
        f"\nLog {made.old.name} is retired. Give the new log key to those who verify,"
        f" and tokens to those who\nsubmit and read: none of log {made.old.name}'s"
        " reaches the new log.\n"
        f"  provlog-server token create --dir DIR --log {name} --role submitter"
        " --source URI\n"
        f"  provlog-server token create --dir DIR --log {name} --role auditor\n"
        f"  provlog-server token create --dir DIR --log {name} --role monitor"
    )
