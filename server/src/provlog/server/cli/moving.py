"""`provlog-server export` and `import`: a log goes to a folder, and comes from one."""

from pathlib import Path

import click

from provlog.merkle.encoding import encode_base64
from provlog.server.cli.common import (
    counted,
    database_option,
    dir_option,
    failover_option,
    grant_option,
    guard_option,
    instance_options,
    json_option,
    log_option,
    opened,
    print_json,
    require_log,
    run,
)
from provlog.server.cli.progress import advancing
from provlog.server.guard.store_url import StoreUrl
from provlog.server.initialise import Place
from provlog.server.instance import SYNCHRONOUS, Instance
from provlog.server.keyring import Keyring
from provlog.server.moving.export import export_log
from provlog.server.moving.exported import Export, open_export
from provlog.server.moving.house import import_into, read_keys
from provlog.server.moving.mirror import mirror_path, update_mirror


@click.command("export")
@instance_options
@log_option
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where to: an empty folder or a new one; with --public a web server's root.",
)
@click.option(
    "--public",
    is_flag=True,
    help="Make a static mirror of what anybody may see, or bring it up to date.",
)
def export(
    instance: Instance,
    as_json: bool,
    log_name: str,
    to: Path,
    public: bool,
) -> None:
    """Write a whole log to a folder: to move it, or as a mirror for the public.

    Without --public: checkpoint, tiles and entry bundles as the server serves them, and
    the private side as NDJSON, all as it was at one moment, while a server may run. It
    holds PERSONAL DATA: the folder is made 0700, its files 0600. Keys are not in it:
    `import` asks for them. Stop the log's server for good before the last export: a
    log that goes on in two places is forked, and both are convicted of it.

    With --public: the tiles, bundles and the checkpoint of a log that was made with
    --public, in TO/logs/LOG. Any web server can hand out TO, and `provlog monitor` and
    `provlog audit` follow it there. Run it again, by a timer say, and it adds what the
    log has grown by; the checkpoint is replaced last.

    \b
    provlog-server export --dir /var/lib/provlog --to /srv/move/main
    provlog-server export --dir /var/lib/provlog --public --to /srv/www
    """
    work = _mirror if public else _export
    run(work(instance, log_name, to, as_json))


async def _export(instance: Instance, log_name: str, to: Path, as_json: bool) -> None:
    keys = Keyring(instance.keys)
    async with opened(instance) as service:
        log = await require_log(service, log_name)
        with advancing("exporting", log.released.size) as advance:
            done = await export_log(service, log, keys.load(log_name), to, advance)
    head = done.head
    if as_json:
        print_json(
            {
                "origin": log.origin,
                "size": head.size,
                "root": encode_base64(head.root),
                "folder": str(to),
                "tokens_left_out": done.left_out,
            }
        )
        return
    click.echo(f"{log.origin}: {counted(head.size)}, root {encode_base64(head.root)}")
    kept = instance.keys / log_name
    click.echo(f"{to} holds personal data, and no keys: they are in {kept}", err=True)
    if done.left_out:
        click.echo(
            f"tokens that reach further logs were left out: {done.left_out}", err=True
        )


async def _mirror(instance: Instance, log_name: str, to: Path, as_json: bool) -> None:
    async with opened(instance) as service:
        log = await require_log(service, log_name)
        with advancing("mirroring", log.released.size) as advance:
            done = await update_mirror(log, service.storage, to, advance)
    if as_json:
        print_json(
            {
                "origin": log.origin,
                "before": done.before,
                "size": done.size,
                "folder": str(mirror_path(to, log)),
            }
        )
        return
    click.echo(f"{mirror_path(to, log)}: from {done.before} to {done.size} entries")


@click.command("import")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="The folder that `export` wrote.",
)
@dir_option
@guard_option
@database_option
@failover_option
@grant_option
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="The folder of the log's keys: DIR/keys/LOG of the instance it comes from, or"
    " of a backup made with --with-keys.",
)
@click.option("--log", "log_name", help="Its name from now on.  [default: as it was]")
@json_option
def import_(
    source: Path,
    folder: Path,
    guard: Path | StoreUrl | None,
    database: str | None,
    failover: str | None,
    grant_to: str | None,
    keys: Path,
    log_name: str | None,
    as_json: bool,
) -> None:
    """Take in a log that was exported, with the root, receipts and keys it had.

    DIR is an instance, or a folder to be made one: then the log's tokens come along,
    and in one that exists they do not. Every leaf, tile, disclosure and tag is checked,
    and all of it against the signed checkpoint, in one transaction: the whole log is
    imported or nothing is. While that runs, the database takes no other entries.
    Exit code 1 where the export was changed since it was made.

    From now on the log lives here, and NEVER again where it came from: two places that
    write it fork it. What the guard of this machine knows of the log must be in the
    export, so an older export than the newest one is refused.

    \b
    provlog-server import --from /srv/move/main --keys /srv/move/keys/main \\
        --dir /var/lib/provlog
    """
    export = open_export(source, read_keys(keys))
    place = Place(folder, guard, database, grant_to, failover == SYNCHRONOUS)
    name = log_name or export.manifest.log.name
    run(_import(export, place, name, as_json))


async def _import(export: Export, place: Place, name: str, as_json: bool) -> None:
    with advancing("importing", export.manifest.head.size) as advance:
        done = await import_into(place, export, name, advance)
    head, record = done.head, done.record
    if as_json:
        print_json(
            {
                "log": record.name,
                "origin": record.origin,
                "log_key": record.log_key,
                "size": head.size,
                "root": encode_base64(head.root),
                "tokens_left_out": done.left_out,
            }
        )
        return
    root = encode_base64(head.root)
    click.echo(f"log {record.name}, {record.origin}: {counted(head.size)}, root {root}")
    if done.left_out:
        click.echo(f"tokens were left out: {done.left_out}", err=True)
    click.echo(
        "It must never be served again from where it came: two places that write one"
        " log fork it.",
        err=True,
    )
