"""`provlog-server scim-proxy`: SCIM requests passed on, and their changes recorded."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from provlog.server.cli.common import (
    database_option,
    failover_option,
    guard_option,
    json_option,
    log_option,
)
from provlog.server.cli.listening import Listening, listening_options_on
from provlog.server.cli.proxying import Plan, serve_proxy
from provlog.server.cli.urls import parse_public_url, parse_upstream
from provlog.server.durations import parse_duration
from provlog.server.errors import ConfigurationError
from provlog.server.guard.store_url import StoreUrl
from provlog.server.instance import Instance, load_instance
from provlog.server.intake.event import EVENT_NAME, is_event_name
from provlog.server.journal import FORMATS, set_up
from provlog.server.scim_proxy.callers import KEY_FILE, load_key
from provlog.server.scim_proxy.settings import (
    ProxySettings,
    SettingsFile,
    read_settings_file,
)

PORT: Final = 8490
MOST_CONNECTIONS: Final = 1000

_FILE = click.Path(path_type=Path, dir_okay=False)
_OPTIONS = (
    click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="PROVLOG_DIR",
        help="Folder of the instance, for --mode strict.  [env: PROVLOG_DIR]",
    ),
    click.option(
        "--source", required=True, help="The registered source of the records."
    ),
    click.option(
        "--upstream",
        required=True,
        metavar="URL",
        help="The SCIM server's base URL; paths are added to it.",
    ),
    click.option(
        "--mode",
        type=click.Choice(["strict", "relaxed"]),
        default="strict",
        show_default=True,
        help="strict: nothing is changed that is not in the log before; relaxed:"
        " records go to a spool, and nobody waits for them.",
    ),
    click.option(
        "--spool",
        metavar="URL",
        help="For --mode relaxed: where `provlog spool` listens.",
    ),
    click.option(
        "--spool-token-file",
        type=_FILE,
        help="File of mode 0600 with the spool's token.",
    ),
    click.option(
        "--before",
        type=click.Choice(["get"]),
        help="get: ask for a resource before it is changed, and record it as it was.",
    ),
    click.option(
        "--timeout",
        default="30s",
        show_default=True,
        help="How long the SCIM server may take to answer.",
    ),
    click.option(
        "--rate",
        type=click.FloatRange(min=0.01, max=1e6),
        help="Changes a second that each address may ask for.  [default: no bound]",
    ),
    click.option(
        "--own-host",
        is_flag=True,
        help="Call the SCIM server by its own name, not by the one callers use.",
    ),
    click.option("--upstream-ca", type=_FILE, help="PEM file of who signs for it."),
    click.option(
        "--insecure-upstream",
        is_flag=True,
        help="Allow plain HTTP to a SCIM server on another machine.",
    ),
    click.option(
        "--settings",
        "settings_file",
        type=_FILE,
        help="TOML file with names of callers and further secret attributes.",
    ),
    click.option(
        "--caller-key-file",
        type=_FILE,
        help="File of mode 0600 with the key of callers' digests; made where there is"
        f" none.  [default: {KEY_FILE} in --dir]",
    ),
    click.option(
        "--client-ca",
        type=_FILE,
        help="PEM file of who signs certificates that callers may show.",
    ),
    click.option(
        "--client-cert-header",
        metavar="NAME",
        help="Field in which a trusted proxy names a caller's certificate.",
    ),
    click.option(
        "--log-format",
        type=click.Choice([*FORMATS]),
        default="text",
        show_default=True,
        help="How the log is written to standard error.",
    ),
)


@dataclass(frozen=True, slots=True)
class Options:
    """The options, as given."""

    folder: Path | None
    guard: Path | StoreUrl | None
    database: str | None
    failover: str | None
    source: str
    upstream: str
    mode: str
    spool: str | None
    spool_token_file: Path | None
    before: str | None
    timeout: str
    rate: float | None
    own_host: bool
    upstream_ca: Path | None
    insecure_upstream: bool
    settings_file: Path | None
    caller_key_file: Path | None
    client_ca: Path | None
    client_cert_header: str | None


def _proxy_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command(name="scim-proxy")
@_proxy_options
@log_option
@guard_option
@database_option
@failover_option
@listening_options_on(PORT)
@json_option
def scim_proxy(
    as_json: bool,
    log_name: str,
    log_format: str,
    listening: Listening,
    **given: Any,  # noqa: ANN401  the rest, as click has checked it
) -> None:
    """Pass SCIM requests on to a server, and record what they change.

    Requests that change something are in the log before they are passed on, and what
    became of them before they are answered; while the log takes nothing they are
    refused. With --mode relaxed they pass in any case, and records go to a spool.
    What only reads passes without a record.

    SIGTERM, SIGHUP or Ctrl-C finishes what is in hand.

    \b
    provlog-server source create --dir data --connector scim urn:scim:acme
    provlog-server scim-proxy --dir data --source urn:scim:acme \\
        --upstream https://scim.acme.example/v2
    """
    set_up(log_format)
    options = Options(**given)
    plan = _plan(options, listening, log_name, as_json=as_json)
    serve_proxy(plan)


def _plan(
    options: Options, listening: Listening, log_name: str, *, as_json: bool
) -> Plan:
    """Return what is to be served, or raise `ConfigurationError`."""
    strict = options.mode == "strict"
    if not is_event_name(options.source):
        raise ConfigurationError(f"--source: a source has {EVENT_NAME}")
    if strict and options.spool:
        raise ConfigurationError("--spool is for --mode relaxed")
    instance = _instance(options) if strict else None
    if not strict and not options.spool:
        raise ConfigurationError("--mode relaxed needs --spool URL")
    key_file = options.caller_key_file
    if key_file is None:
        if instance is None:
            raise ConfigurationError("--mode relaxed needs --caller-key-file")
        key_file = instance.folder / KEY_FILE
    return Plan(
        settings=_settings(options, listening),
        listening=listening,
        connections=min(listening.connections or MOST_CONNECTIONS, listening.room()),
        key=load_key(key_file, create=True),
        source=options.source,
        log=log_name,
        instance=instance,
        spool=None if options.spool is None else parse_public_url(options.spool),
        spool_token_file=options.spool_token_file,
        upstream_tls=_tls(options.upstream_ca),
        client_ca=options.client_ca,
        as_json=as_json,
    )


def _instance(options: Options) -> Instance:
    if options.folder is None:
        raise ConfigurationError("--mode strict needs --dir")
    return load_instance(
        options.folder, options.guard, options.database, options.failover
    )


def _settings(options: Options, listening: Listening) -> ProxySettings:
    file = options.settings_file
    said = SettingsFile() if file is None else read_settings_file(file)
    header = options.client_cert_header
    if header is not None and not listening.proxies:
        raise ConfigurationError("--client-cert-header needs --trusted-proxy")
    if options.client_ca is not None and listening.tls is None:
        raise ConfigurationError("--client-ca needs --tls-cert and --tls-key")
    return ProxySettings(
        upstream=parse_upstream(options.upstream, insecure=options.insecure_upstream),
        before=options.before == "get",
        own_host=options.own_host,
        public_url=listening.public_url,
        proxies=listening.proxies,
        proxies_only=listening.settings(MOST_CONNECTIONS).proxies_only,
        certificate_header=header,
        secret_names=frozenset(each.lower() for each in said.secret_attributes),
        callers=said.callers,
        rate=options.rate,
        upstream_seconds=parse_duration(options.timeout, "--timeout") / 1000,
    )


def _tls(path: Path | None) -> ssl.SSLContext | None:
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"{path} does not hold certificates in PEM form"
        ) from None
