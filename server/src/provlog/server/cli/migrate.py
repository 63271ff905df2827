"""`provlog-server migrate`: bring a database up to this program's schema."""

from pathlib import Path

import click

from provlog.server.cli.common import dir_option, json_option, print_json
from provlog.server.instance import load_instance
from provlog.server.storage.sqlite import migrate_database


@click.command()
@dir_option
@json_option
def migrate(folder: Path, as_json: bool) -> None:
    """Bring an instance's database up to the schema of this version.

    All of it in one transaction: done whole or not at all, and done again it changes
    nothing. Make a backup first; there is no way back. Servers of an older version are
    best stopped before.

    \b
    provlog-server migrate --dir /var/lib/provlog
    """
    before, after = migrate_database(load_instance(folder, None).database)
    if as_json:
        print_json({"from": before, "to": after})
    elif before == after:
        click.echo(f"schema version {after}; nothing to do")
    else:
        click.echo(f"schema version {before} is now {after}")
