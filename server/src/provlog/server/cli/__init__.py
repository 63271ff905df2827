"""The command `provlog-server`.

Exit codes: 0 fine, 1 verification failed, 2 usage or configuration, 3 unavailable.
"""

import sys
from functools import partial

import click

from provlog.server.cli.backup import backup, restore_
from provlog.server.cli.common import exit_code
from provlog.server.cli.fsck import fsck
from provlog.server.cli.init import init
from provlog.server.cli.keys import key, log_freeze, log_show
from provlog.server.cli.manage import log, token
from provlog.server.cli.migrate import migrate
from provlog.server.cli.moving import export, import_
from provlog.server.cli.poll import poll
from provlog.server.cli.recover import recover
from provlog.server.cli.scim_proxy import scim_proxy
from provlog.server.cli.serve import serve
from provlog.server.cli.sources import source
from provlog.server.cli.witness import witness
from provlog.server.cli.witnesses import witnesses


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88}
)
@click.version_option(package_name="provlog-server", prog_name="provlog-server")
def commands() -> None:
    """Run a transparency log for user provisioning.

    \b
    provlog-server init  --dir data --dev      make a log to try things with
    provlog-server serve --dir data            serve it on 127.0.0.1:8470
    provlog-server token create --dir data --role monitor

    Events are submitted and receipts verified with the command `provlog`.
    """


for command in (
    init, serve, token, log, key, source, poll, scim_proxy, fsck, migrate, backup,
    restore_, export, import_, recover, witness, witnesses,
):  # fmt: skip
    commands.add_command(command)


log.add_command(log_show)
log.add_command(log_freeze)


def main() -> None:
    """Run the command; every failure becomes one line and an exit code."""
    sys.exit(exit_code(partial(commands.main, standalone_mode=False)))
