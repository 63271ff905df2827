"""`provlog-server init`: database, keys, the first log and its tokens."""

import secrets
from pathlib import Path

import click

from provlog.server.cli.common import (
    database_option,
    dir_option,
    grant_option,
    guard_place,
    json_option,
    print_json,
    run,
)
from provlog.server.clock import Clock
from provlog.server.errors import ConfigurationError
from provlog.server.files import write_private
from provlog.server.guard.store_url import StoreUrl
from provlog.server.initialise import Place, initialise
from provlog.server.instance import FAILOVERS, STOP, SYNCHRONOUS
from provlog.server.intake.event import EVENT_NAME, is_event_name
from provlog.server.registry import require_origin
from provlog.server.storage.base import LogRecord
from provlog.server.tokens import ANY_SOURCE

DEV_SOURCE = "urn:provlog:demo"
DEV_URL = "http://127.0.0.1:8470"


@click.command()
@dir_option
@click.option(
    "--origin",
    help="The log's name for all time, such as log.example.com/main: a host you own,"
    " without scheme.",
)
@click.option(
    "--dev",
    is_flag=True,
    help="A log to try things with: a random origin and the source urn:provlog:demo.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="A source the submitter token may write, such as urn:hr:acme; may be given"
    " several times. '*' allows any.",
)
@click.option("--public", is_flag=True, help="Tiles and proofs need no token.")
@click.option(
    "--guard",
    callback=guard_place,
    metavar="FOLDER|URL",
    help="Where the guard is to be: a folder outside --dir, by default under your state"
    " directory, or for several servers a place in an object store they share, as in"
    " s3://BUCKET/PREFIX. Keys for it come from the environment.",
)
@click.option(
    "--failover",
    type=click.Choice([*FAILOVERS]),
    default=STOP,
    show_default=True,
    help="What is done where PostgreSQL has failed over and the guard is a folder: stop"
    " until `recover` was run, or go on, because its replication is synchronous and"
    " loses nothing.",
)
@database_option
@grant_option
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write URL, log key and tokens to a new shell file of mode 0600, and print no"
    " tokens.",
)
@json_option
def init(
    folder: Path,
    origin: str | None,
    dev: bool,
    sources: tuple[str, ...],
    public: bool,
    guard: Path | StoreUrl | None,
    failover: str,
    database: str | None,
    grant_to: str | None,
    env_file: Path | None,
    as_json: bool,
) -> None:
    """Make a new instance with one log, `main`, and a token for each role.

    The tokens are printed once and not kept. Nothing that exists is overwritten.
    Without --database the log stands in a SQLite file in --dir.

    \b
    provlog-server init --dir /var/lib/provlog --origin log.example.com/main \\
        --source urn:hr:acme
    provlog-server init --dir /var/lib/provlog --origin log.example.com/main \\
        --source urn:hr:acme --grant-to provlog_server \\
        --database postgresql://provlog_owner@db.example.com/provlog
    """
    if grant_to is not None and database is None:
        raise click.UsageError("--grant-to needs --database")
    if dev == (origin is not None):
        raise click.UsageError("give either --origin or --dev")
    if origin is None:
        origin = f"provlog.local/{secrets.token_hex(8)}/main"
    if not sources and not dev:
        raise click.UsageError("name what will be submitted with --source URI")
    require_origin(origin)
    if env_file is not None:
        _require_writable(env_file, folder)
    allowed = sources or (DEV_SOURCE,)
    for uri in allowed:
        if uri != ANY_SOURCE and not is_event_name(uri):
            raise click.UsageError(f"a source is {EVENT_NAME}")
    place = Place(folder, guard, database, grant_to, failover == SYNCHRONOUS)
    run(_init(place, origin, allowed, public, env_file, as_json))


async def _init(
    place: Place,
    origin: str,
    sources: tuple[str, ...],
    public: bool,
    env_file: Path | None,
    as_json: bool,
) -> None:
    made = await initialise(
        place,
        origin=origin,
        sources=sources,
        now=Clock().now(),
        public=public,
    )
    record = made.log
    texts = {role: token.text for role, token in made.tokens.items()}
    try:
        if env_file is not None:
            write_private(env_file, _environment(record, texts))
    except OSError as error:
        # The tokens are kept nowhere else.
        _print(record, texts, None, as_json)
        raise ConfigurationError(
            f"{env_file}: {error.strerror}; the tokens were printed instead"
        ) from None
    _print(record, texts, env_file, as_json)


def _require_writable(path: Path, folder: Path) -> None:
    """Refuse a file that is there, or whose own folder will not be."""
    if path.exists():
        raise ConfigurationError(f"{path} exists; nothing was changed")
    beside, made = path.absolute().parent, folder.absolute()
    # The instance's folder and those above it are made on the way.
    comes = beside.is_relative_to(made) or made.is_relative_to(beside)
    if not comes and not beside.is_dir():
        raise ConfigurationError(f"{path.parent} is no folder; nothing was changed")


def _environment(record: LogRecord, tokens: dict[str, str]) -> str:
    """Return what a shell needs to use the log."""
    lines = [
        f"export PROVLOG_URL='{DEV_URL}'",
        f"export PROVLOG_LOG='{record.name}'",
        f"export PROVLOG_LOG_KEY='{record.log_key}'",
        f"export PROVLOG_TOKEN='{tokens['submitter']}'",
    ]
    lines += [
        f"export PROVLOG_{role.upper()}_TOKEN='{text}'" for role, text in tokens.items()
    ]
    return "\n".join(lines) + "\n"


def _print(
    record: LogRecord, tokens: dict[str, str], env_file: Path | None, as_json: bool
) -> None:
    if as_json:
        print_json(
            {"origin": record.origin, "log_key": record.log_key, "tokens": {**tokens}}
        )
        return
    click.echo(f"origin     {record.origin}")
    click.echo(f"log key    {record.log_key}")
    if env_file is not None:
        click.echo(f"tokens     in {env_file}")
        return
    click.echo("tokens     (shown once; keep them now)")
    for role, text in tokens.items():
        click.echo(f"  {role:<10}{text}")
