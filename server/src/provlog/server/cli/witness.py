"""`provlog-server witness`: a witness that cosigns other people's logs."""

from collections.abc import Sequence
from pathlib import Path

import click

from provlog.merkle.encoding import JsonValue, format_time
from provlog.server.cli.common import json_option, print_json
from provlog.server.cli.listening import Listening, listening_options_on
from provlog.server.cli.urls import parse_public_url
from provlog.server.cli.witness_keys import (
    dir_option,
    key,
    print_generations,
    url_option,
)
from provlog.server.cli.witness_logs import log
from provlog.server.cli.witness_serving import Plan, serve_witness
from provlog.server.errors import ConfigurationError
from provlog.server.files import flush_path
from provlog.server.journal import FORMATS, set_up
from provlog.server.witness.evidence import write_evidence
from provlog.server.witness.keys import FOLDER, KeyFolder
from provlog.server.witness.records import Evidence
from provlog.server.witness.schema import create_database
from provlog.server.witness.store import DATABASE, WitnessStore

PORT = 8500


@click.group()
def witness() -> None:
    """Cosign other people's logs (C2SP tlog-witness).

    A witness signs a log's checkpoint only if that extends the one it signed before:
    who asks for its cosignature cannot be shown another history than everybody else.

    \b
    provlog-server witness init  --dir witness --name witness.example.com/w1
    provlog-server witness log add --dir witness VKEY-OF-THE-LOG
    provlog-server witness serve --dir witness
    """


@witness.command("init")
@dir_option
@click.option(
    "--name",
    required=True,
    help="The witness's name for good: a host you own, perhaps with a path.",
)
@click.option(
    "--ed25519-only",
    is_flag=True,
    help="Make no ML-DSA-44 key, for logs that cannot read its long signatures.",
)
@url_option
@json_option
def init(
    folder: Path, name: str, ed25519_only: bool, url: str | None, as_json: bool
) -> None:
    """Make a new witness: its keys and an empty memory.

    Prints the verifier keys, which whoever relies on the witness needs, and the lines
    of a tlog-policy that name it. Nothing that exists is overwritten.

    \b
    provlog-server witness init --dir /var/lib/provlog-witness \\
        --name witness.example.com/w1 --public-url https://witness.example.com
    """
    public = None if url is None else parse_public_url(url)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in (DATABASE, FOLDER):
        if (folder / each).exists():
            raise ConfigurationError(f"there is a witness in {folder} already")
    made = KeyFolder(folder).create(name, ed25519_only=ed25519_only)
    # If we crash before this, nothing was ever signed: the folder can be removed.
    create_database(folder / DATABASE)
    flush_path(folder)
    print_generations([made], public, as_json=as_json)


@witness.command("serve")
@dir_option
@click.option(
    "--logs",
    "lists",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="File with logs to know, in the format tlog-list (logs/v0); read again when it"
    " changes. May be given several times.",
)
@click.option(
    "--log-format",
    type=click.Choice([*FORMATS]),
    default="text",
    show_default=True,
    help="How the log is written to standard error; json: one object per line.",
)
@click.option(
    "--log-requests", is_flag=True, help="Write one line to the log for each request."
)
@listening_options_on(PORT)
@json_option
def serve(
    folder: Path,
    lists: tuple[Path, ...],
    log_format: str,
    log_requests: bool,
    listening: Listening,
    as_json: bool,
) -> None:
    """Answer logs that ask for cosignatures, and whoever asks for the newest ones.

    Logs and keys that are added or removed meanwhile are taken up. SIGTERM, SIGHUP or
    Ctrl-C finishes what is in hand. SIGUSR1 accepts the clock, after it was set right.

    \b
    provlog-server witness serve --dir witness --logs log-list.txt
    """
    set_up(log_format)
    serve_witness(Plan(folder, lists, listening, log_requests, as_json))


@witness.command("evidence")
@dir_option
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for one file of each conviction, which provlog verify judges.",
)
@json_option
def evidence(folder: Path, to: Path | None, as_json: bool) -> None:
    """List what logs signed and should not have.

    Where a checkpoint convicts its log, both that it signed are kept. Of the others
    nobody showed that they extend what was cosigned, which may be the mistake of
    whoever sent them. The exit code is 1 if any log is convicted.

    \b
    provlog-server witness evidence --dir witness --to evidence
    """
    store = WitnessStore(folder / DATABASE)
    try:
        found = store.evidence()
    finally:
        store.close()
    written = [] if to is None else write_evidence(found, to)
    if as_json:
        _print_evidence_json(found, written)
    else:
        _print_evidence(found, written)
    if any(each.convicts for each in found):
        click.get_current_context().exit(1)


def _print_evidence_json(found: Sequence[Evidence], written: Sequence[Path]) -> None:
    rows: list[JsonValue] = [
        {
            "origin": each.origin,
            "convicts": each.convicts,
            "size": each.size,
            "time": each.time,
        }
        for each in found
    ]
    print_json({"evidence": rows, "files": [*map(str, written)]})


def _print_evidence(found: Sequence[Evidence], written: Sequence[Path]) -> None:
    for each in found:
        what = "convicts the log" if each.convicts else "not shown to be consistent"
        time = format_time(each.time * 1000)
        click.echo(f"{time}  {each.origin}  size {each.size}: {what}")
    for path in written:
        click.echo(f"wrote {path}")


for command in (log, key):
    witness.add_command(command)
