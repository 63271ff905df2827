"""`provlog-server source`: the sources of a log, and what their providers are told."""

import click

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
from provlog.server.cli.hooks import mint_hook, public_url_option
from provlog.server.cli.urls import parse_public_url
from provlog.server.delivery import hook_of
from provlog.server.errors import ConfigurationError
from provlog.server.instance import Instance
from provlog.server.intake.connectors import CONNECTORS
from provlog.server.intake.event import EVENT_NAME, is_event_name
from provlog.server.log import Log
from provlog.server.representations import source_json
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord
from provlog.server.tokens import ANY_SOURCE


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
    instance: Instance,
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
    record = SourceRecord(uri, uri if ns is None else ns, connector)
    _require_registrable(record)
    base = parse_public_url(public_url)

    async def create() -> None:
        async with opened(instance) as service:
            log = await require_log(service, log_name)
            if not await service.register_source(log, record, ACTOR):
                raise ConfigurationError(await _registered_as(service, log, record.uri))
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
def source_list(instance: Instance, as_json: bool, log_name: str) -> None:
    """List the sources of a log."""

    async def show() -> None:
        async with opened(instance) as service:
            log = await require_log(service, log_name)
            sources = await service.storage.sources(log.id)
        if as_json:
            print_json([source_json(item) for item in sources])
            return
        rows = [(item.uri, item.ns, item.connector or "-") for item in sources]
        print_table(rows, ("URI", "NAMESPACE", "CONNECTOR"))

    run(show())


def _require_registrable(source: SourceRecord) -> None:
    if not is_event_name(source.uri) or not is_event_name(source.ns):
        raise click.UsageError(f"a source or namespace is {EVENT_NAME}")
    if source.uri == ANY_SOURCE:
        raise click.UsageError(
            "'*' stands for any source where a token is made, and is none itself"
        )
    if source.uri in (".", "..") and hook_of(source) is not None:
        # Clients and proxies shorten such a path before they send it.
        raise click.UsageError("a source named '.' or '..' has no address for a hook")


async def _registered_as(service: Service, log: Log, uri: str) -> str:
    known = await service.storage.source(log.id, uri)
    how = "" if known is None else f" with {known.connector or 'no connector'}"
    return f"the source is registered already{how}: that never changes"
