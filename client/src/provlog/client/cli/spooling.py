"""`provlog spool`: an outbox for scripts, files and programs that speak HTTP."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provlog.client.cli.settings import Settings, connecting, json_option
from provlog.client.cli.spool_telling import Teller
from provlog.client.cli.spool_views import (
    drop,
    failed,
    number_option,
    open_spool,
    put,
    receipts,
    retry,
    spool_option,
    status,
)
from provlog.client.errors import UsageError

if TYPE_CHECKING:
    from provlog.client.outbox.daemon import Work
    from provlog.client.outbox.delivery import OutboxClient
    from provlog.client.outbox.following import Follower
    from provlog.client.outbox.spool import Spool

PATIENCE = 10.0


@click.group()
def spool() -> None:
    """Keep events on disk until the log has them.

    A spool is one file. What is put into it is on disk when the command returns, or
    the request is answered; `provlog spool run` sends it, for days if it must, and
    keeps the verified receipts. Each event is in the log exactly once, whoever dies.

    \b
    Examples:
      provlog spool put event.json
      provlog spool run --listen 127.0.0.1:8480 --heartbeat 5m --source urn:hr:acme
      provlog spool run --from /var/log/hr/events.ndjson
      provlog spool status
    """


@spool.command()
@spool_option
@click.option(
    "--from",
    "from_",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Put the lines of a file as it grows, a pipe, or - for standard input.",
)
@click.option(
    "--format",
    "format_",
    metavar="NAME",
    help="The lines are records of a provider; NAME as for `provlog submit`.",
)
@click.option("--source", metavar="URI", help="Whose records or heartbeats these are.")
@click.option("--listen", metavar="HOST:PORT", help="Take events over HTTP there.")
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --listen: holds the token that submitters have to present.",
)
@click.option(
    "--heartbeat",
    metavar="INTERVAL",
    help="Put an event of type source.heartbeat this often, such as 5m.",
)
@click.option(
    "--receipts",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Move receipts to DIR/<index>.receipt.json (they hold personal data).",
)
@click.option("--once", is_flag=True, help="Send everything there is, and end.")
@click.option(
    "--max-events",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="How many events may wait.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=1 << 30,
    show_default=True,
    help="How many bytes of events may wait.",
)
@number_option
@json_option
@connecting
def run(
    spool_file: Path | None,
    max_events: int,
    max_bytes: int,
    numbered: bool,
    as_json: bool,
    once: bool,
    settings: Settings,
    **options: Any,  # noqa: ANN401  handed on by name
) -> None:
    """Send what is in the spool, and what comes in, until it is told to stop.

    \b
    Examples:
      provlog spool run --once
      provlog spool run --listen 127.0.0.1:8480 --token-file /etc/hr/spool.token
      hr-export | provlog spool run --from -

    What the log refuses for good is kept as failed (`provlog spool failed`) and holds
    up nothing. With --json one line for each event that was logged or refused.

    SIGTERM and Ctrl-C end it with 0; what is not in the log then waits in the spool.
    1 if the log misbehaves: everything stays in the spool, and its answer is kept as
    evidence; 2 for a mistake in the call, a damaged spool, or, with --once, a refused
    event; 3 with --once if the log is unavailable.
    """
    import asyncio
    import logging

    from provlog.client.outbox.daemon import Daemon

    # What is to be said is said here, and not once more on standard error.
    logging.getLogger().addHandler(logging.NullHandler())
    teller = Teller(as_json=as_json)
    connect, origin = _connecting(settings)
    box = open_spool(spool_file, max_events, max_bytes, numbered=numbered)
    try:
        work = _work(box, settings, teller, once=once, **options)
        daemon = Daemon(box, connect, origin, teller.callbacks(), work)
        with teller.progress(box if once else None):
            asyncio.run(daemon.run(once=once))
    finally:
        box.close()
    teller.finish()
    if once and teller.refused:
        raise click.exceptions.Exit(2)


for _command in (put, status, failed, retry, drop, receipts):
    spool.add_command(_command)


def _connecting(settings: Settings) -> "tuple[Callable[[], OutboxClient], str]":
    """Return what connects to the log, and the log's origin; or `UsageError`."""
    if settings.url is None:
        raise UsageError("no server: give its URL with --url (or PROVLOG_URL)")
    trust = settings.trust()
    url = settings.url
    from provlog.client.outbox.delivery import OutboxClient

    def connect() -> OutboxClient:
        return OutboxClient(
            url,
            trust,
            log=settings.log,
            token=settings.token,
            memory=settings.memory(),
            # The spool is more patient than any request.
            patience=min(settings.patience, PATIENCE),
            insecure=settings.insecure,
        )

    connect()  # what cannot work is found out before anything is taken
    return connect, trust.origin


def _work(
    box: "Spool",
    settings: Settings,
    teller: "Teller",
    *,
    once: bool,
    from_: Path | None,
    format_: str | None,
    source: str | None,
    listen: str | None,
    token_file: Path | None,
    heartbeat: str | None,
    receipts: Path | None,
) -> "Work":
    from provlog.client.outbox.daemon import Work
    from provlog.client.outbox.heartbeat import parse_interval
    from provlog.client.outbox.listening import Listener, parse_address, read_token

    if once and (listen or heartbeat):
        raise UsageError("--once goes with neither --listen nor --heartbeat")
    if (format_ or heartbeat) and source is None:
        raise UsageError("--format and --heartbeat go with --source")
    token = None if token_file is None else read_token(token_file)
    if listen and settings.insecure and token is None:
        raise UsageError("--insecure with --listen needs a --token-file")
    beats = None
    if heartbeat is not None and source is not None:
        beats = source, float(parse_interval(heartbeat))
    return Work(
        follower=_follower(box, teller, from_, format_, source),
        ends=str(from_) == "-" and not listen and not heartbeat,
        listener=Listener(box, token) if listen else None,
        address=parse_address(listen, insecure=settings.insecure)
        if listen
        else ("", 0),
        heartbeat=beats,
        receipts=receipts,
        on_listening=teller.listening,
        on_full=teller.full,
    )


def _follower(
    box: "Spool",
    teller: "Teller",
    path: Path | None,
    format_: str | None,
    source: str | None,
) -> "Follower | None":
    if path is None:
        if format_ is not None:
            raise UsageError("--format goes with --from")
        return None
    from provlog.client.outbox.following import (
        Follower,
        Read,
        read_events,
        read_records,
    )

    read: Read = read_events
    if format_ is not None and source is not None:
        read = read_records(format_, source)
    return Follower(box, path, read, on_failed=teller.failed, on_full=teller.full)
