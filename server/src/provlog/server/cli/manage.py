"""`provlog-server token|log`: management, beside a running server or without.

Each change is an entry of its own in the log it concerns.
"""

import click

from provlog.merkle.encoding import format_time
from provlog.server.cli.common import (
    ACTOR,
    instance_options,
    log_option,
    opened,
    print_json,
    print_table,
    require_log,
    run,
)
from provlog.server.cli.hooks import require_hook
from provlog.server.durations import parse_duration
from provlog.server.errors import ConfigurationError
from provlog.server.instance import Instance
from provlog.server.log import Log
from provlog.server.representations import log_json, token_json
from provlog.server.storage.base import TokenRecord
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
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="What it may write: a submitter several sources, or '*' for any; a hook one.",
)
@click.option("--rate", type=float, help="Events a second it may submit or deliver.")
@click.option("--expires", help="How long it is good for, such as 90d or 12h.")
@click.option("--note", default="", help="Whose it is; shown in lists.")
def token_create(
    instance: Instance,
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
        async with opened(instance) as service:
            logs = (
                list(service.open_logs())
                if all_logs
                else [
                    await require_log(service, name)
                    for name in dict.fromkeys(names or ("main",))
                ]
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
                    expires=None
                    if expires is None
                    else now + parse_duration(expires, "--expires"),
                )
            except ValueError as error:
                raise ConfigurationError(str(error)) from None
            first, *others = logs
            if "hook" in roles:
                await require_hook(service, first, sources[0])
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
def token_list(instance: Instance, as_json: bool, log_name: str) -> None:
    """List the tokens of a log; secrets are not kept and cannot be shown."""

    async def show() -> None:
        async with opened(instance) as service:
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
def token_revoke(instance: Instance, as_json: bool, token_id: str) -> None:
    """Revoke a token by its id, the part between the underscores."""

    async def revoke() -> None:
        async with opened(instance) as service:
            record = await service.storage.token(token_id)
            if record is None or record.revoked is not None:
                raise ConfigurationError(
                    "there is no such token in use; give its id, as `token list` has it"
                )
            logs = [log for log in service.open_logs() if _reaches(record, log)]
            # One that has ended takes no entry.
            logs.sort(key=lambda log: log.announced.frozen is not None)
            index = await service.revoke_token(logs[0], token_id, ACTOR, logs[1:])
        if as_json:
            print_json({"id": token_id, "index": index})
        else:
            where = f"entry {index} of log {logs[0].record.name}"
            click.echo(
                f"revoked; {'no entry: the log has ended' if index is None else where}"
            )

    run(revoke())


@click.group()
def log() -> None:
    """Create, show, list and end logs."""


@log.command("create")
@instance_options
@click.argument("name")
@click.option("--origin", required=True, help="Its name for all time.")
@click.option("--public", is_flag=True, help="Tiles and proofs need no token.")
def log_create(
    instance: Instance,
    as_json: bool,
    name: str,
    origin: str,
    public: bool,
) -> None:
    """Create a log NAME with keys of its own.

    \b
    provlog-server log create lab --dir data --origin log.example.com/lab
    """

    async def create() -> None:
        async with opened(instance) as service:
            created = await service.create_log(name, origin, public=public)
        if as_json:
            print_json(log_json(created))
        else:
            click.echo(f"origin     {created.origin}")
            click.echo(f"log key    {created.record.log_key}")

    run(create())


@log.command("list")
@instance_options
def log_list(instance: Instance, as_json: bool) -> None:
    """List the logs of an instance."""

    async def show() -> None:
        async with opened(instance) as service:
            logs = service.open_logs()
        if as_json:
            print_json([log_json(item) for item in logs])
            return
        rows = [
            (
                item.record.name,
                str(item.released.size),
                "public" if item.record.public else "private",
                item.announced.newest,
            )
            for item in logs
        ]
        print_table(rows, ("NAME", "SIZE", "ACCESS", "LOG KEY"))

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
