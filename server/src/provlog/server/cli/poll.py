"""`provlog-server poll`: a provider's records, fetched with its own API."""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from provlog.merkle.encoding import JsonValue, format_time, parse_time
from provlog.server.cli.common import (
    instance_options,
    log_option,
    opened,
    require_log,
    run,
)
from provlog.server.delivery import Delivered, deliver
from provlog.server.durations import parse_duration
from provlog.server.errors import ConfigurationError
from provlog.server.instance import Instance
from provlog.server.intake.times import normalise_time
from provlog.server.journal import set_up
from provlog.server.log import Log
from provlog.server.polling import FEEDS
from provlog.server.polling.cursors import SourceCursor
from provlog.server.polling.feed import Feed
from provlog.server.polling.kinds import OVERLAP, FeedKind, make_feed
from provlog.server.polling.poller import Poller, Settings, Taken
from provlog.server.polling.stopping import Stop
from provlog.server.service import Service
from provlog.server.source_settings import SourceSettings
from provlog.server.storage.base import SourceRecord

FIRST: Final = "7d"


@dataclass(frozen=True, slots=True)
class Options:
    """The options, as given."""

    source: str
    url: str | None
    token_file: Path | None
    once: bool
    since: str | None
    interval: str
    overlap: str | None


@click.command()
@instance_options
@log_option
@click.option("--source", required=True, help="The registered source to poll for.")
@click.option(
    "--url",
    help="Okta's, as https://acme.okta.com. How other providers are reached stands in"
    " DIR/connect/NAME.toml.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --url: file of mode 0600 with the token; read for each request.",
)
@click.option("--once", is_flag=True, help="End when there is nothing more to read.")
@click.option(
    "--since",
    help="Where to begin without a cursor: a duration such as 30d, or a time."
    f"  [default: {FIRST}]",
)
@click.option(
    "--interval", default="60s", show_default=True, help="Pause between two rounds."
)
@click.option(
    "--overlap",
    help="How far before the cursor a round begins: for records that are stored late."
    f"  [default: {OVERLAP}, more where a provider asks for it]",
)
def poll(
    instance: Instance,
    as_json: bool,
    log_name: str,
    **given: Any,  # noqa: ANN401  the rest, as click has checked it
) -> None:
    """Fetch a provider's records and log each of them once.

    Goes on until it is told to stop with SIGTERM or Ctrl-C, beside a running server or
    without. The cursor is kept in the database and moves only when everything before
    it is durable in the log.

    \b
    provlog-server source create --dir data --connector okta urn:okta:acme
    provlog-server poll --dir data --source urn:okta:acme \\
        --url https://acme.okta.com --token-file okta.token
    """
    set_up("text", logging.WARNING)
    options = Options(**given)

    async def work() -> None:
        async with opened(instance) as service:
            log = await require_log(service, log_name)
            folder = instance.connect
            await _poll(service, log, options, folder, _Teller(as_json=as_json))

    run(work())


async def _poll(
    service: Service, log: Log, options: Options, folder: Path, teller: "_Teller"
) -> None:
    source = await _require_source(service, log, options.source)
    kind = FEEDS[str(source.connector)]
    settings = Settings(
        parse_since(
            FIRST if options.since is None else options.since, service.clock.now()
        ),
        parse_duration(options.interval, "--interval") / 1000,
        parse_duration(options.overlap or kind.overlap, "--overlap"),
        options.once,
    )
    stop = Stop()
    cursor = SourceCursor(
        service.storage,
        log.id,
        source.uri,
        service.clock,
        replace=options.since is not None,
    )
    where = None if options.url is None else "--"
    feed = make_feed(kind, _settings_of(service, log, options, source, folder), where)
    async with _closed(feed), _tended(service, stop):
        poller = Poller(
            feed,
            partial(_deliver, service, log, source, kind),
            cursor,
            settings,
            service.clock.now,
            stop,
            teller.tell,
        )
        await poller.run()


async def _deliver(
    service: Service,
    log: Log,
    source: SourceRecord,
    kind: FeedKind,
    records: Sequence[bytes],
) -> Delivered:
    ingest: dict[str, JsonValue] = {
        "poller": source.connector,
        "authentication": "poll",
        **kind.ingest,
    }
    return await deliver(
        service, log, source, records, ingest, connector=kind.connector
    )


async def _require_source(service: Service, log: Log, uri: str) -> SourceRecord:
    """Return a source that can be polled, or say how to register one."""
    source = await service.storage.source(log.id, uri)
    if source is None:
        raise ConfigurationError(
            f"log {log.record.name} has no source {uri!a}: register it with"
            f" provlog-server source create --log {log.record.name}"
            f" --connector {'|'.join(sorted(FEEDS))}"
        )
    if source.connector not in FEEDS:
        raise ConfigurationError(
            f"source {uri} is registered with {source.connector or 'no connector'} for"
            " good; only sources registered with"
            f" --connector {'|'.join(sorted(FEEDS))} can be polled"
        )
    return source


def _settings_of(
    service: Service, log: Log, options: Options, source: SourceRecord, folder: Path
) -> SourceSettings:
    """Return how a source is polled: by the options, or by its file."""
    name = log.record.name
    if (options.url is None) != (options.token_file is None):
        raise ConfigurationError("--url and --token-file go together")
    by_options = "token_file" in FEEDS[str(source.connector)].settings.__struct_fields__
    if options.token_file is not None and not by_options:
        raise ConfigurationError(
            f"--url and --token-file do not reach {source.connector}: write a table"
            f" [poll] into a TOML file in {folder}"
        )
    if options.token_file is not None:
        poll = {"url": options.url, "token_file": str(options.token_file.absolute())}
        return SourceSettings(Path("the options"), options.source, name, poll=poll)
    settings = service.settings.find(name, options.source)
    if settings is None:
        options_too = " give --url and --token-file, or" if by_options else ""
        raise ConfigurationError(
            f"nothing says how to reach the provider of {options.source}:{options_too}"
            f" write a TOML file in {folder} with this source, the log {name} and a"
            " table [poll]"
        )
    if not settings.poll:
        raise ConfigurationError(f"{settings.path} has no table [poll]")
    return settings


@contextlib.asynccontextmanager
async def _closed(feed: Feed) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await feed.close()


@contextlib.asynccontextmanager
async def _tended(service: Service, stop: Stop) -> AsyncIterator[None]:
    """Listen to signals, and tend the service as a server does."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.request)
    loop.add_signal_handler(signal.SIGUSR1, service.clock.accept)
    tending = asyncio.create_task(service.tend())
    try:
        yield
    finally:
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)


def parse_since(text: str, now: int) -> int:
    """Return the Unix milliseconds of a time, or of a duration before `now`.

    Raises `ConfigurationError` where it is neither, and for a time to come: nothing
    would ever be fetched.
    """
    try:
        time = parse_time(normalise_time(text))
    except ValueError:
        try:
            time = now - parse_duration(text, "--since")
        except ConfigurationError:
            raise ConfigurationError(
                f"--since: {text!r} is neither a duration, such as 7d or 12h, nor a"
                " time, such as 2026-11-27T08:00:00Z"
            ) from None
    if time > now:
        raise ConfigurationError(f"--since: {text!r} lies in the future")
    return max(0, time)


class _Teller:
    """Prints what became of each page, and the cursor once it stands where it leads."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        # Whether events were told of since, without a cursor behind them.
        self._owes_cursor = False

    def tell(self, taken: Taken) -> None:
        """Print what is new."""
        cursor = None if taken.cursor is None else format_time(taken.cursor)
        made = taken.delivered
        if self._as_json:
            line = {
                "records": taken.records,
                "logged": made.logged,
                "repeated": made.repeated,
                "erased": made.erased,
                "cursor": cursor,
            }
            click.echo(json.dumps(line))
        elif made.logged:
            self._owes_cursor = cursor is None
            click.echo(
                f"{taken.records} records: {made.logged} events logged,"
                f" {made.repeated + made.erased} known"
                f"{'' if cursor is None else f'; cursor {cursor}'}"
            )
        elif self._owes_cursor and cursor is not None:
            self._owes_cursor = False
            click.echo(f"end of the round; cursor {cursor}")
