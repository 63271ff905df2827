"""The command `provlog`.

Exit codes: 0 fine; 1 something does not verify; 2 usage, configuration, or an event
that was refused; 3 the server is unavailable; 4 sources have gaps, or rules found
something. Neither this package
nor `provlog verify` loads anything that speaks HTTP.
"""

import os
import sys
from typing import IO, Any, NoReturn

import click

from provlog.client.cli.auditing import audit
from provlog.client.cli.comparing import compare
from provlog.client.cli.monitoring import monitor
from provlog.client.cli.reading import checkpoint, entry, proof
from provlog.client.cli.reporting import gaps
from provlog.client.cli.ruling import rules
from provlog.client.cli.spooling import spool
from provlog.client.cli.submitting import submit
from provlog.client.cli.verifying import verify
from provlog.client.errors import ClientError, UnavailableError
from provlog.merkle.errors import MerkleError

__all__ = ["cli", "main"]

VERIFICATION_FAILED = 1
USAGE = 2
UNAVAILABLE = 3
INTERNAL = 70
INTERRUPTED = 130
BROKEN_PIPE = 141


class _Failure(click.ClickException):
    """An error as a person sees it: what was wrong, and what to do."""

    label = "error"
    exit_code = USAGE

    def __init__(self, error: Exception) -> None:
        lines = [f"{self.label}: {error}", *getattr(error, "__notes__", ())]
        super().__init__("\n".join(lines))

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=file is None)


class _NotVerified(_Failure):
    label = "VERIFICATION FAILED"
    exit_code = VERIFICATION_FAILED


class _NotAvailable(_Failure):
    label = "unavailable"
    exit_code = UNAVAILABLE


class _Provlog(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except MerkleError as error:
            raise _NotVerified(error) from error
        except UnavailableError as error:
            raise _NotAvailable(error) from error
        except ClientError as error:
            raise _Failure(error) from error


@click.group(cls=_Provlog, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="provlog-client")
def cli() -> None:
    """Submit provisioning events to a transparency log, and verify what it says.

    The log's key (or a policy) is what everything is verified against. Get it from
    whoever runs the log, not from the log.

    \b
      export PROVLOG_URL=https://log.example PROVLOG_TOKEN=plt_…
      export PROVLOG_LOG_KEY='log.example/main+1234abcd+AZ…'
      provlog submit event.json --receipts receipts/
      provlog verify receipts/*.receipt.json

    Options can also stand in config.toml in the user's configuration folder. Exit
    codes: 0 fine, 1 verification failed, 2 usage or configuration, 3 unavailable, 4
    sources have gaps, or rules found something.
    """


for _command in (
    submit,
    spool,
    verify,
    checkpoint,
    entry,
    proof,
    monitor,
    audit,
    gaps,
    rules,
    compare,
):
    cli.add_command(_command)


def main() -> NoReturn:
    """Run the command and end the process with its exit code."""
    sys.exit(_run())


def _run() -> int:
    try:
        result = cli.main(prog_name="provlog", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; without this the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if os.environ.get("PROVLOG_DEBUG"):
            raise
        # Not its text, which may hold anything.
        kind = type(error).__name__
        click.echo(f"internal error ({kind}); PROVLOG_DEBUG=1 shows where", err=True)
        return INTERNAL
    return result if isinstance(result, int) else 0
