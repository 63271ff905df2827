"""`provlog-server backup` and `restore`: a whole instance, as it was at one moment."""

from pathlib import Path

import click

from provlog.merkle.encoding import JsonValue
from provlog.server.cli.common import (
    counted,
    database_option,
    dir_option,
    failover_option,
    grant_option,
    guard_option,
    instance_options,
    json_option,
    print_json,
    run,
)
from provlog.server.cli.progress import Progress
from provlog.server.guard.store_url import StoreUrl
from provlog.server.initialise import Place
from provlog.server.instance import SYNCHRONOUS, Instance
from provlog.server.moving.backup import back_up
from provlog.server.moving.restoring import Restored, restore


@click.command("backup")
@instance_options
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="An empty folder, or a new one.",
)
@click.option(
    "--with-keys",
    is_flag=True,
    help="Copy the keys as well: whoever has such a backup can sign for the logs.",
)
def backup(instance: Instance, as_json: bool, to: Path, with_keys: bool) -> None:
    """Copy an instance's database to a folder, as it is at one moment.

    Servers may go on writing meanwhile. The folder holds PERSONAL DATA and is made
    0700, its files 0600; keys are in it only with --with-keys. Without them keep the
    keys elsewhere (DIR/keys): a log without its keys is lost. The guard is not copied,
    on purpose: it has to know better than a backup.

    \b
    provlog-server backup --dir /var/lib/provlog --to /srv/backup/monday
    """
    run(_backup(instance, as_json, to, with_keys))


async def _backup(instance: Instance, as_json: bool, to: Path, with_keys: bool) -> None:
    progress = Progress("pages" if instance.database_url is None else "tables")
    done = await back_up(
        instance,
        to,
        with_keys=with_keys,
        on_progress=lambda part, whole: progress.show("copying", part, whole),
    )
    progress.clear()
    if as_json:
        logs: list[JsonValue] = [
            {"log": log.name, "origin": log.origin, "size": log.size, "root": log.root}
            for log in done.logs
        ]
        print_json({"folder": str(to), "with_keys": done.with_keys, "logs": logs})
        return
    for log in done.logs:
        click.echo(f"log {log.name}, {log.origin}: {counted(log.size)}")
    kept = (
        "with the keys" if with_keys else f"without keys: they are in {instance.keys}"
    )
    click.echo(f"{to} holds personal data, {kept}", err=True)


@click.command("restore")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="The folder that `backup` wrote.",
)
@dir_option
@guard_option
@database_option
@failover_option
@grant_option
@json_option
def restore_(
    source: Path,
    folder: Path,
    guard: Path | StoreUrl | None,
    database: str | None,
    failover: str | None,
    grant_to: str | None,
    as_json: bool,
) -> None:
    """Make an instance in a new folder of a backup.

    A backup of PostgreSQL goes to an empty database, given with --database as its
    owner. Every file is held against its digest; `fsck` then recomputes what is in
    them. Exit code 1 where a file is not the one that was written.

    A backup is older than the log. If entries were released since, the guard knows it,
    this says so, and `serve` refuses to go on: it would fork the log. See
    `provlog-server recover` for what can be done then. Give the guard that the servers
    had, and never an empty one: without it nothing stands in the way of a fork.

    \b
    provlog-server restore --from /srv/backup/monday --dir /var/lib/restored
    """
    place = Place(folder, guard, database, grant_to, failover == SYNCHRONOUS)
    run(_restore(source, place, as_json))


async def _restore(source: Path, place: Place, as_json: bool) -> None:
    progress = Progress("bytes" if place.database_url is None else "tables")
    done, logs = await restore(
        source, place, lambda part, whole: progress.show("restoring", part, whole)
    )
    progress.clear()
    if as_json:
        values: list[JsonValue] = [
            {
                "log": each.log.name,
                "origin": each.log.origin,
                "size": each.log.size,
                "root": each.log.root,
                "released": None if each.guarded is None else each.guarded.head.size,
            }
            for each in logs
        ]
        print_json({"with_keys": done.with_keys, "logs": values})
        return
    for each in logs:
        click.echo(f"log {each.log.name}, {each.log.origin}: {counted(each.log.size)}")
        click.echo(_advice(each), err=True)
    if not done.with_keys:
        click.echo(
            f"The backup has no keys: put the logs' own into {place.folder / 'keys'}"
            " before anything else.",
            err=True,
        )


def _advice(restored: Restored) -> str:
    """Return what a restored log means beside what the guard knows of it."""
    name, guarded = restored.log.name, restored.guarded
    if guarded is None:
        return (
            f"log {name}: the guard knows nothing of it. If more than this was released"
            " from anywhere, serving it forks the log."
        )
    if guarded.successor is not None:
        return f"log {name}: retired, {guarded.successor} goes on in its place."
    size = guarded.head.size
    if restored.is_older:
        return (
            f"log {name}: size {size} was released, so serve will refuse this one: see"
            " provlog-server recover."
        )
    return f"log {name}: the guard knows of nothing newer (size {size})."
