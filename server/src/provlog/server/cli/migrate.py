"""`provlog-server migrate`: bring a database up to this program's schema."""

from pathlib import Path

import click

from provlog.server.cli.common import (
    database_option,
    dir_option,
    grant_option,
    json_option,
    print_json,
    run,
)
from provlog.server.errors import ConfigurationError
from provlog.server.instance import load_instance
from provlog.server.storage.opening import migrate_storage


@click.command()
@dir_option
@database_option
@grant_option
@json_option
def migrate(
    folder: Path, database: str | None, grant_to: str | None, as_json: bool
) -> None:
    """Bring an instance's database up to the schema of this version.

    All of it in one transaction: done whole or not at all, and done again it changes
    nothing. Make a backup first; there is no way back. Servers of an older version are
    best stopped before. In PostgreSQL it is the owner of the tables who migrates.

    \b
    provlog-server migrate --dir /var/lib/provlog
    provlog-server migrate --dir /var/lib/provlog --grant-to provlog_server \\
        --database postgresql://provlog_owner@db.example.com/provlog
    """
    run(_migrate(folder, database, grant_to, as_json))


async def _migrate(
    folder: Path, database: str | None, grant_to: str | None, as_json: bool
) -> None:
    instance = load_instance(folder, None, database)
    if grant_to is not None and instance.database_url is None:
        raise ConfigurationError("--grant-to is for PostgreSQL; SQLite has no roles")
    before, after = await migrate_storage(instance, grant_to)
    if as_json:
        print_json({"from": before, "to": after})
    elif before == after:
        click.echo(f"schema version {after}; nothing to do")
    else:
        click.echo(f"schema version {before} is now {after}")
