"""What the subcommands share: options, output, durations."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from provlog.merkle.encoding import JsonValue
from provlog.server.errors import (
    ConfigurationError,
    DamagedError,
    FrozenError,
    ServiceError,
)
from provlog.server.guard.store_url import StoreUrl, parse_guard
from provlog.server.instance import FAILOVERS, Instance, load_instance
from provlog.server.log import Log
from provlog.server.rates import LogRates
from provlog.server.service import Service
from provlog.server.storage.addresses import require_database_url
from provlog.server.storage.base import SchemaError, StorageError

ACTOR = "provlog-server"
"""Who acts, in the entries of what is done by a command."""

_RATE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)
_WRONG_PATH = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)

dir_option = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar="PROVLOG_DIR",
    help="Folder of the instance.  [env: PROVLOG_DIR]",
)


def guard_place(
    _: click.Context, __: click.Parameter, text: str | None
) -> Path | StoreUrl | None:
    """Return what was given as --guard: a folder or a place in an object store."""
    return None if text is None else parse_guard(text)


guard_option = click.option(
    "--guard",
    callback=guard_place,
    metavar="FOLDER|URL",
    help="Where the guard is: a folder, or a place in an object store that all servers"
    " share, as in s3://BUCKET/PREFIX; by default what the instance records, and for a"
    " new one a folder under your state directory.",
)
failover_option = click.option(
    "--failover",
    type=click.Choice([*FAILOVERS]),
    help="What is done where PostgreSQL has failed over and the guard is a folder: stop"
    " until `recover` was run, or go on, because its replication is synchronous and"
    " loses nothing; by default what the instance records.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
log_option = click.option(
    "--log", "log_name", default="main", show_default=True, help="Which log."
)


def _checked_url(_: click.Context, __: click.Parameter, url: str | None) -> str | None:
    return None if url is None else require_database_url(url)


database_option = click.option(
    "--database",
    envvar="PROVLOG_DATABASE",
    callback=_checked_url,
    metavar="URL",
    help="PostgreSQL database, as in postgresql://USER@HOST/provlog; by default what"
    " the instance records. Give a password by PGPASSWORD, ~/.pgpass or in the"
    " variable: it is not recorded.  [env: PROVLOG_DATABASE]",
)

grant_option = click.option(
    "--grant-to",
    metavar="ROLE",
    help="PostgreSQL role that serves, if it is not the one of --database: it gets the"
    " rights to read and to append, and no more. The role has to exist.",
)


def instance_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add the options of every command that works on an instance.

    The command gets what they name as `instance`, and `as_json`.
    """

    @wraps(function)
    def with_instance(
        *arguments: object,
        folder: Path,
        guard: Path | StoreUrl | None,
        database: str | None,
        failover: str | None,
        **options: object,
    ) -> object:
        instance = load_instance(folder, guard, database, failover)
        return function(*arguments, instance=instance, **options)

    options = (json_option, failover_option, database_option, guard_option, dir_option)
    for option in options:
        with_instance = option(with_instance)
    return with_instance


def report(error: Exception | str, code: int) -> int:
    """Print what went wrong as one line and return the exit code."""
    click.echo(f"Error: {error}", err=True)
    return code


def exit_code(work: Callable[[], object]) -> int:
    """Do a command's work; every failure becomes one line and an exit code."""
    try:
        code = work()
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    except (ConfigurationError, FrozenError, SchemaError) as error:
        return report(error, 2)
    except DamagedError as error:
        return report(error, 1)
    except OSError as error:
        return report(*explain(error))
    except (ServiceError, StorageError) as error:
        return report(error, 3)
    return code if isinstance(code, int) else 0


def explain(error: OSError) -> tuple[str, int]:
    """Return what the system refused, without its number, and the exit code.

    Paths that are not there or not allowed are the operator's to mend (2); a full disk
    and the like may be over later (3).
    """
    wrong = isinstance(error, _WRONG_PATH)
    text = error.strerror or type(error).__name__
    name = f"{error.filename}: " if isinstance(error.filename, str) else ""
    return f"{name}{text}", 2 if wrong else 3


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a command's coroutine to its end."""
    asyncio.run(coroutine)


@asynccontextmanager
async def opened(instance: Instance) -> AsyncIterator[Service]:
    """Open an instance's service for one command, beside a server or without."""
    async with Service.of(instance) as service:
        yield service


async def require_log(service: Service, name: str) -> Log:
    """Return an open log or raise `ConfigurationError`."""
    log = await service.log(name)
    if log is None:
        raise ConfigurationError(f"there is no log {name!r}; see `log list`")
    return log


def parse_log_rates(texts: Sequence[str]) -> LogRates:
    """Return the rates of LOG=RATE for one log and RATE for all others."""
    other: float | None = None
    named: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        nameless = bool(equals) and not name
        if nameless or _RATE.fullmatch(number) is None or not float(number):
            raise ConfigurationError(
                f"{text!r} is no rate; write 500, or main=2000 for one log"
            )
        if name in named or (not name and other is not None):
            raise ConfigurationError(f"the rate of {name or 'all others'} is repeated")
        if name:
            named[name] = float(number)
        else:
            other = float(number)
    return LogRates(other, named)


def counted(entries: int) -> str:
    """Return how many entries there are, in words."""
    return f"{entries} {'entry' if entries == 1 else 'entries'}"


def print_json(value: JsonValue) -> None:
    """Print one JSON value, readable."""
    click.echo(json.dumps(value, indent=2))


def print_table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Print rows in aligned columns under a header."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
