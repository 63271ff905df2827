"""Options that several commands share, and where their values come from.

An option on the command line goes before its `PROVLOG_*` variable, and that before the
configuration file: TOML with the options' names, ``log_key`` for ``--log-key``.
"""

import functools
import sys
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from provlog.client.errors import UsageError
from provlog.client.memory import FileMemory
from provlog.merkle.errors import MerkleError
from provlog.merkle.policy import MAX_POLICY_SIZE
from provlog.merkle.trust import Trust

if TYPE_CHECKING:
    from provlog.client.fetching import LogReader
    from provlog.client.sync import Client

_KEYS: dict[str, type] = {
    "url": str,
    "log": str,
    "token": str,
    "log_key": str,
    "policy": str,
    "state": str,
    "insecure": bool,
    "patience": float,
}

MANY_LOGS = "provlog.client.many_logs"
"""Where a context says which file names many logs, if one was given."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of the shared options, wherever they came from."""

    log_key: str | None = None
    policy: Path | None = None
    url: str | None = None
    log: str = "main"
    token: str | None = field(default=None, repr=False)
    state: Path | None = None
    insecure: bool = False
    patience: float = 30.0

    def trust(self) -> Trust:
        """Return what the user believes in; raises `UsageError` if that is nothing."""
        if self.policy is None and self.log_key is None:
            raise UsageError(
                "nothing to verify against: give the log's key with --log-key (or "
                "PROVLOG_LOG_KEY), or a policy with --policy; both come from whoever "
                "runs the log, by another way than the log itself"
            )
        try:
            return self._trust()
        except MerkleError as error:
            raise UsageError(str(error)) from None

    def _trust(self) -> Trust:
        # Names of keys hold no spaces.
        given = None if self.log_key is None else self.log_key.split()
        keys = None if given is None else Trust.from_log_key(given)
        if self.policy is None:
            return keys or Trust.from_log_key(())
        text = read_file(self.policy, MAX_POLICY_SIZE + 1)
        trust = Trust.from_policy(text, keys.origin if keys else None)
        if keys is not None and not set(keys.log_keys) <= set(trust.log_keys):
            raise UsageError("the policy does not name the log key that was given")
        return trust

    def memory(self) -> FileMemory:
        """Return where checkpoints are remembered."""
        return FileMemory(self.state)

    def client(self, *, wait_witnessed: bool = False) -> "Client":
        """Return a client of the log, or raise `UsageError`: something is missing.

        `wait_witnessed`: its receipts have to be cosigned by the quorum of a policy.
        """
        if self.url is None:
            raise UsageError("no server: give its URL with --url (or PROVLOG_URL)")
        trust = self.trust()
        # Not at the top: `provlog verify` does without HTTP.
        from provlog.client.sync import Client

        return Client(
            self.url,
            trust,
            log=self.log,
            token=self.token,
            memory=self.memory(),
            patience=self.patience,
            insecure=self.insecure,
            wait_witnessed=wait_witnessed,
        )

    def reader(self, trust: Trust, *, patience: float | None = None) -> "LogReader":
        """Return what reads the log's public parts, or raise `UsageError`.

        `patience` is how long a request is tried, in seconds, if not as long as the
        user said.
        """
        if self.url is None:
            raise UsageError("no server: give its URL with --url (or PROVLOG_URL)")
        from provlog.client.fetching import LogReader
        from provlog.client.transport import Transport

        patience = self.patience if patience is None else patience
        transport = Transport(
            self.url, self.log, self.token, patience, insecure=self.insecure
        )
        return LogReader(transport, trust)


def read_file(path: Path, most: int) -> bytes:
    """Return at most `most` bytes of a file, of standard input for ``-``."""
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(most)
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _read_config(
    context: click.Context, _: click.Parameter, given: Path | None
) -> None:
    path = given or _default_config()
    if given is None and not path.is_file():
        return
    try:
        values = tomllib.loads(read_file(path, 1 << 20).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    if isinstance(values.get("log"), list):
        _leave_to_monitor(context, path)
        return
    for name, value in values.items():
        if name not in _KEYS:
            raise UsageError(f"{path}: {name!r} is none of {', '.join(_KEYS)}")
        # By type: true is an int to isinstance, and would be a patience of 1 second.
        accepted = (int, float) if _KEYS[name] is float else (_KEYS[name],)
        if type(value) not in accepted:
            raise UsageError(f"{path}: {name} is not a {_KEYS[name].__name__}")
    if "policy" in values:
        # Beside the file that names it, wherever the command runs.
        values["policy"] = str(path.parent / values["policy"])
    context.default_map = values


def _leave_to_monitor(context: click.Context, path: Path) -> None:
    """Leave a file that names many logs to the one command that follows many."""
    if context.command.name != "monitor":
        raise UsageError(
            f"{path}: [[log]] is for `provlog monitor`, which follows many logs; this "
            "command is about one, which `log` names"
        )
    context.meta[MANY_LOGS] = path


def _default_config() -> Path:
    import platformdirs

    folder = platformdirs.user_config_path("provlog", appauthor=False)
    return folder / "config.toml"


_TRUST_OPTIONS = (
    click.option(
        "--config",
        envvar="PROVLOG_CONFIG",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="TOML file with values for these options.",
    ),
    click.option(
        "--log-key",
        envvar="PROVLOG_LOG_KEY",
        metavar="VKEY",
        help="The log's public key, as its operator gave it to you; of several, with"
        " spaces between them, any one is enough.",
    ),
    click.option(
        "--policy",
        envvar="PROVLOG_POLICY",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A tlog-policy: log keys, witnesses and their quorum.",
    ),
)
_STATE_OPTION = click.option(
    "--state",
    envvar="PROVLOG_STATE",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that remembers the newest checkpoints, and what logs announced.",
)
_CONNECTION_OPTIONS = (
    click.option("--url", envvar="PROVLOG_URL", help="The server: https://HOST[:PORT]"),
    click.option(
        "--log",
        envvar="PROVLOG_LOG",
        default="main",
        show_default=True,
        help="The log's name on that server.",
    ),
    click.option(
        "--token",
        envvar="PROVLOG_TOKEN",
        metavar="TOKEN",
        help="plt_…; better in PROVLOG_TOKEN: others can see command lines.",
    ),
    _STATE_OPTION,
    click.option(
        "--insecure",
        envvar="PROVLOG_INSECURE",
        is_flag=True,
        help="Send the token over plain http to other machines too.",
    ),
    click.option(
        "--patience",
        envvar="PROVLOG_PATIENCE",
        type=click.FloatRange(min=0),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to try again while the server is unavailable.",
    ),
)


def trusting(command: Command) -> Callable[..., Any]:
    """Give a command the options on trust, as its argument `settings`."""
    return _with_options(command, (_STATE_OPTION, *_TRUST_OPTIONS))


def connecting(command: Command) -> Callable[..., Any]:
    """Give a command the options on trust and server, as its argument `settings`."""
    return _with_options(command, (*_CONNECTION_OPTIONS, *_TRUST_OPTIONS))


def _with_options(
    command: Command, options: tuple[Callable[[Any], Any], ...]
) -> Callable[..., Any]:
    @functools.wraps(command)
    def call(**values: Any) -> Any:  # noqa: ANN401  click's own types
        given = {name: values.pop(name) for name in _KEYS if name in values}
        return command(settings=Settings(**given), **values)

    decorated: Callable[..., Any] = call
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object a line."
)


def typed_options(known: Collection[str]) -> list[str]:
    """Return the options that were given on the command line itself, beside `known`."""
    context = click.get_current_context()
    return [
        each.opts[0]
        for each in context.command.params
        if each.name not in known
        and context.get_parameter_source(each.name) is ParameterSource.COMMANDLINE
    ]
