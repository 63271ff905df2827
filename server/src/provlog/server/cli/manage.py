"""`provlog-server token|log|source`: management, beside a running server or without.

Each change is an entry of its own in the log it concerns.
"""

from pathlib import Path

import click

from provlog.merkle.encoding import format_time
from provlog.server.cli.common import (
    ACTOR,
    instance_options,
    log_option,
    opened,
    parse_duration,
    print_json,
    print_table,
    require_log,
    run,
)
from provlog.server.cli.hooks import mint_hook, public_url_option
from provlog.server.cli.urls import parse_public_url
from provlog.server.errors import ConfigurationError
from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import is_event_name
from provlog.server.log import Log
from provlog.server.representations import log_json, source_json, token_json
from provlog.server.storage.base import SourceRecord, TokenRecord
from provlog.server.tokens import ROLES, mint_token


@click.group()
def token() -> None:
    """Create, list and revoke bearer tokens."""


@token.command("create")
@instance_options
@click.option("--log", "names", multiple=True, help="A log it is for.  [default: main]")
@click.option("--all-logs", is_flag=True, help="For every log, later ones too.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(ROLES),
    help="What it may do; may be given several times.",
)
@click.option("--source", "sources", multiple=True, help="For a submitter: a source.")
@click.option("--rate", type=float, help="Events a second it may submit.")
@click.option("--expires", help="How long it is good for, such as 90d or 12h.")
@click.option("--note", default="", help="Whose it is; shown in lists.")
def token_create(
    folder: Path,
    guard: Path | None,
    as_json: bool,
    names: tuple[str, ...],
    all_logs: bool,
    roles: tuple[str, ...],
    sources: tuple[str, ...],
    rate: float | None,
    expires: str | None,
    note: str,
) -> None:
    """Create a token and print it, once.

    \b
    provlog-server token create --dir data --role submitter --source urn:okta:acme \\
        --rate 200 --expires 365d --note "Okta of acme"
    """

    async def create() -> None:
        async with opened(folder, guard) as service:
            logs = (
                list(service.open_logs())
                if all_logs
                else [await require_log(service, name) for name in names or ("main",)]
            )
            now = service.clock.now()
            try:
                minted = mint_token(
                    logs=None if all_logs else [log.id for log in logs],
                    roles=roles,
                    sources=sources,
                    now=now,
                    note=note,
                    rate=rate,
                    expires=None if expires is None else now + parse_duration(expires),
                )
            except ValueError as error:
                raise ConfigurationError(str(error)) from None
            first, *others = logs
            index = await service.store_token(first, minted.record, ACTOR, others)
        if as_json:
            print_json({"id": minted.record.id, "token": minted.text, "index": index})
        else:
            click.echo(minted.text)
            click.echo(f"entry {index} of log {first.record.name}", err=True)

    run(create())


@token.command("list")
@instance_options
@log_option
def token_list(folder: Path, guard: Path | None, as_json: bool, log_name: str) -> None:
    """List the tokens of a log; secrets are not kept and cannot be shown."""

    async def show() -> None:
        async with opened(folder, guard) as service:
            log = await require_log(service, log_name)
            tokens = await service.storage.tokens(log.id)
        if as_json:
            print_json([token_json(item) for item in tokens])
            return
        rows = [_token_row(item) for item in tokens]
        print_table(rows, ("ID", "ROLES", "SOURCES", "EXPIRES", "STATE", "NOTE"))

    run(show())


@token.command("revoke")
@instance_options
@click.argument("token_id")
def token_revoke(
    folder: Path, guard: Path | None, as_json: bool, token_id: str
) -> None:
    """Revoke a token by its id, the part between the underscores."""

    async def revoke() -> None:
        async with opened(folder, guard) as service:
            record = await service.storage.token(token_id)
            if record is None or record.revoked is not None:
                raise ConfigurationError("there is no such token in use")
            logs = [log for log in service.open_logs() if _reaches(record, log)]
            index = await service.revoke_token(logs[0], token_id, ACTOR, logs[1:])
        if as_json:
            print_json({"id": token_id, "index": index})
        else:
            click.echo(f"revoked; entry {index} of log {logs[0].record.name}")

    run(revoke())


@click.group()
def log() -> None:
    """Create and list logs."""


@log.command("create")
@instance_options
@click.argument("name")
@click.option("--origin", required=True, help="Its name for all time.")
@click.option("--public", is_flag=True, help="Tiles and proofs need no token.")
def log_create(
    folder: Path,
    guard: Path | None,
    as_json: bool,
    name: str,
    origin: str,
    public: bool,
) -> None:
    """Create a log NAME with keys of its own."""

    async def create() -> None:
        async with opened(folder, guard) as service:
            created = await service.create_log(name, origin, public=public)
        if as_json:
            print_json(log_json(created))
        else:
            click.echo(f"origin     {created.origin}")
            click.echo(f"log key    {created.record.log_key}")

    run(create())


@log.command("list")
@instance_options
def log_list(folder: Path, guard: Path | None, as_json: bool) -> None:
    """List the logs of an instance."""

    async def show() -> None:
        async with opened(folder, guard) as service:
            logs = service.open_logs()
        if as_json:
            print_json([log_json(item) for item in logs])
            return
        rows = [
            (
                item.record.name,
                str(item.released.size),
                "public" if item.record.public else "private",
                item.record.log_key,
            )
            for item in logs
        ]
        print_table(rows, ("NAME", "SIZE", "ACCESS", "LOG KEY"))

    run(show())


@click.group()
def source() -> None:
    """Register and list sources of events."""


@source.command("create")
@instance_options
@log_option
@click.argument("uri")
@click.option(
    "--ns",
    help="Whose ids its events carry; sources of one identity provider share it, for"
    " ever.  [default: URI]",
)
@click.option(
    "--connector",
    type=click.Choice(sorted(CONNECTORS)),
    help="Its format. Where the provider delivers by itself, what to enter there is"
    " printed, with a secret that is shown once.",
)
@public_url_option
def source_create(
    folder: Path,
    guard: Path | None,
    as_json: bool,
    log_name: str,
    uri: str,
    ns: str | None,
    connector: str | None,
    public_url: str,
) -> None:
    """Register a source URI, such as urn:okta:acme.

    \b
    provlog-server source create urn:okta:acme --dir data --connector okta \\
        --public-url https://log.example.com

    A new secret for its hook, in place of a lost one: token create --role hook.
    """
    if not is_event_name(uri) or not is_event_name(ns or uri):
        raise click.UsageError(
            "a source or namespace is 1 to 256 printable ASCII characters"
        )
    record = SourceRecord(uri, ns or uri, connector)
    base = parse_public_url(public_url)

    async def create() -> None:
        async with opened(folder, guard) as service:
            log = await require_log(service, log_name)
            if not await service.register_source(log, record, ACTOR):
                raise ConfigurationError("the source is registered already")
            hook = await mint_hook(service, log, record, base)
        if as_json:
            shown = {} if hook is None else {"hook": hook.json()}
            print_json({**source_json(record), **shown})
            return
        click.echo(f"registered {record.uri} with namespace {record.ns}")
        if hook is not None:
            click.echo(hook.text())

    run(create())


@source.command("list")
@instance_options
@log_option
def source_list(folder: Path, guard: Path | None, as_json: bool, log_name: str) -> None:
    """List the sources of a log."""

    async def show() -> None:
        async with opened(folder, guard) as service:
            log = await require_log(service, log_name)
            sources = await service.storage.sources(log.id)
        if as_json:
            print_json([source_json(item) for item in sources])
            return
        rows = [(item.uri, item.ns, item.connector or "-") for item in sources]
        print_table(rows, ("URI", "NAMESPACE", "CONNECTOR"))

    run(show())


def _reaches(record: TokenRecord, log: Log) -> bool:
    return record.logs is None or log.id in record.logs


def _token_row(record: TokenRecord) -> tuple[str, ...]:
    return (
        record.id,
        ",".join(sorted(record.roles)),
        " ".join(record.sources) or "-",
        "never" if record.expires is None else format_time(record.expires),
        "revoked" if record.revoked is not None else "in use",
        record.note,
    )
