"""`provlog-server serve`: the service on HTTP, until it is told to stop."""

import math

import click

from provlog.server.cli.announcing import Announcer
from provlog.server.cli.common import instance_options, parse_log_rates
from provlog.server.cli.listening import Listening, listening_options
from provlog.server.cli.serving import Alone, Task, serve_task
from provlog.server.cli.workers import MOST_WORKERS, serve_with_workers
from provlog.server.instance import Instance
from provlog.server.intake.event import EVENT_NAME, is_event_name
from provlog.server.journal import FORMATS, set_up


def _number(_: click.Context, __: click.Parameter, rate: float) -> float:
    # Of `nan` the range above does not think.
    if not math.isfinite(rate):
        raise click.BadParameter("give a number of entries a second")
    return rate


def _source(_: click.Context, __: click.Parameter, source: str | None) -> str | None:
    if source is not None and not is_event_name(source):
        raise click.BadParameter(f"a source is {EVENT_NAME}")
    return source


@click.command()
@instance_options
@listening_options
@click.option(
    "--selfcheck",
    "rate",
    type=click.FloatRange(min=0),
    callback=_number,
    default=200,
    show_default=True,
    help="Entries a second that are re-read and recomputed meanwhile; 0 for none.",
)
@click.option(
    "--log-rate",
    "log_rates",
    multiple=True,
    metavar="[LOG=]RATE",
    help="Events a second that each log takes, or the one named; may be given several"
    " times.  [default: no bound]",
)
@click.option(
    "--log-format",
    type=click.Choice([*FORMATS]),
    default="text",
    show_default=True,
    help="How the log is written to standard error; json: one object per line.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    default=1,
    show_default=True,
    help="Processes that serve on one address; the metrics of each further one are on"
    " the next port.",
)
@click.option(
    "--log-requests", is_flag=True, help="Write one line to the log for each request."
)
@click.option(
    "--compat-add",
    metavar="SOURCE",
    callback=_source,
    help="Take any bytes at POST /logs/LOG/add as events of this source, and answer"
    " their index: for load generators that were written for other logs."
    "  [default: no such route]",
)
def serve(
    instance: Instance,
    as_json: bool,
    rate: float,
    log_rates: tuple[str, ...],
    log_format: str,
    workers: int,
    log_requests: bool,
    compat_add: str | None,
    listening: Listening,
) -> None:
    """Serve every log of an instance.

    Before it answers, each log's right edge is recomputed and compared with its head
    and with the guard; where one of them contradicts what was released, nothing is
    served.

    SIGTERM, SIGHUP or Ctrl-C finishes what was taken and refuses the rest. SIGUSR1
    accepts the clock as it is, after it was set right.

    With --workers several processes share the address. One that dies is replaced, and
    what the signals do they do to all.

    \b
    provlog-server serve --dir data --workers 3
    """
    limits = parse_log_rates(log_rates)
    set_up(log_format)
    task = Task(instance, rate, limits, listening, log_requests, compat_add)
    announcer = Announcer(instance.folder, as_json, listening.public_url)
    if workers == 1:
        serve_task(task, Alone(listening, announcer))
        return
    code = serve_with_workers(workers, task, announcer)
    click.get_current_context().exit(code)
