"""`provlog-server witnesses`: who cosigns a log's checkpoints."""

import time
from pathlib import Path
from typing import Any

import click

from provlog.merkle.encoding import JsonValue
from provlog.merkle.keys import SigningKey
from provlog.server.cli.common import (
    dir_option,
    json_option,
    log_option,
    print_json,
    print_table,
)
from provlog.server.durations import parse_duration
from provlog.server.errors import ConfigurationError
from provlog.server.instance import Instance, load_instance
from provlog.server.keyring import Keyring
from provlog.server.witnessing.settings import (
    WitnessSettings,
    read_witnesses,
)
from provlog.server.witnessing.showing import Seen, State, read_state, state_path
from provlog.server.witnessing.writing import Wanted, remove_witnesses, write_witnesses


@click.group()
def witnesses() -> None:
    """Have a log's checkpoints cosigned by witnesses.

    \b
    provlog-server witnesses set --dir data --policy witnesses.policy
    provlog-server witnesses show --dir data

    A running server takes it up within seconds.
    """


@witnesses.command("set")
@dir_option
@log_option
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A tlog-policy file: witness lines with their URLs, groups, the quorum. It is"
    " copied.",
)
@click.option(
    "--fail",
    type=click.Choice(["closed", "open"]),
    default="closed",
    show_default=True,
    help="Without a quorum: serve the newest checkpoint that has one (closed), or after"
    " a while the newest head with the cosignatures it has (open).",
)
@click.option(
    "--refresh",
    default="1h",
    show_default=True,
    metavar="DURATION",
    help="Have an unchanged head cosigned anew once its cosignatures are this old.",
)
@click.option(
    "--timeout",
    default="5s",
    show_default=True,
    metavar="DURATION",
    help="How long a witness has for one answer.",
)
@click.option(
    "--grace",
    default="30s",
    show_default=True,
    metavar="DURATION",
    help="With --fail open: how long a newer head waits for its quorum.",
)
@click.option(
    "--wait",
    default="20s",
    show_default=True,
    metavar="DURATION",
    help="How long submitters with wait=witnessed wait.",
)
@click.option(
    "--insecure", is_flag=True, help="Allow plain HTTP to witnesses on other machines."
)
@json_option
def set_(
    folder: Path,
    log_name: str,
    policy: Path,
    as_json: bool,
    **members: Any,  # noqa: ANN401  click's own types
) -> None:
    """Have witnesses cosign a log's checkpoints, by a policy.

    Each witness has to know the log first: give its operator the log's key.
    """
    for name in ("refresh", "timeout", "grace", "wait"):
        parse_duration(members[name], f"--{name}")
    instance, origin = _instance(folder, log_name)
    wanted = Wanted(policy, members)
    settings = write_witnesses(instance.witnesses, log_name, origin, wanted)
    _show(instance, log_name, settings, as_json=as_json)


@witnesses.command("show")
@dir_option
@log_option
@json_option
def show(folder: Path, log_name: str, as_json: bool) -> None:
    """Show a log's witnesses: what they know, and what they answered last."""
    instance, origin = _instance(folder, log_name)
    settings = read_witnesses(instance.witnesses, log_name, origin)
    _show(instance, log_name, settings, as_json=as_json)


@witnesses.command("unset")
@dir_option
@log_option
@json_option
def unset(folder: Path, log_name: str, as_json: bool) -> None:
    """Ask no witnesses any more: checkpoints carry the log's signature alone.

    Whoever verifies by a policy believes none of them.
    """
    instance, _ = _instance(folder, log_name)
    removed = remove_witnesses(instance.witnesses, log_name)
    if as_json:
        print_json({"log": log_name, "removed": removed})
    elif removed:
        click.echo(f"log {log_name} has no witnesses any more")
    else:
        click.echo(f"log {log_name} had no witnesses")


def _instance(folder: Path, log: str) -> tuple[Instance, str]:
    """Return an instance that has the keys of a log, and the log's origin."""
    instance = load_instance(folder, None)
    if "/" in log or not (instance.keys / log).is_dir():
        raise ConfigurationError(f"there is no log {log!a} in {folder}; see `log list`")
    signing: SigningKey = Keyring(instance.keys).load(log).signing
    return instance, signing.name


def _show(
    instance: Instance, log: str, settings: WitnessSettings | None, *, as_json: bool
) -> None:
    state = read_state(state_path(instance.witnessed, log))
    if as_json:
        print_json(_json(log, settings, state))
        return
    if settings is None:
        click.echo(f"log {log} has no witnesses; see `witnesses set --help`")
        return
    click.echo(
        f"log {log}: quorum {settings.policy.quorum or 'none'}, fails"
        f" {'open' if settings.fail_open else 'closed'}"
    )
    if state is None:
        click.echo("nobody has asked them yet: is the log served?")
    rows = [_row(each) for each in _seen(settings, state)]
    print_table(rows, ("WITNESS", "SIZE", "COSIGNED", "STATE", "URL"))
    for each in _seen(settings, state):
        if each.detail:
            click.echo(f"{each.names[0]}: {each.detail}")


def _seen(settings: WitnessSettings, state: State | None) -> list[Seen]:
    """Return what is known of each witness of the settings."""
    known = {} if state is None else {each.url: each for each in state.witnesses}
    return [
        known.get(each.submission)
        or Seen(
            [*each.names.values()], each.submission, None, "new", "", None, None, {}
        )
        for each in settings.endpoints
    ]


def _row(seen: Seen) -> tuple[str, ...]:
    newest = max(seen.cosigned.values(), default=None)
    return (
        ", ".join(seen.names),
        "-" if seen.size is None else str(seen.size),
        "never" if newest is None else f"{max(0, time.time() - newest):.0f} s ago",
        seen.state,
        seen.url,
    )


def _json(
    log: str, settings: WitnessSettings | None, state: State | None
) -> dict[str, JsonValue]:
    if settings is None:
        return {"log": log, "witnesses": None}
    rows: list[JsonValue] = [
        {
            "names": [*each.names],
            "url": each.url,
            "size": each.size,
            "state": each.state,
            "detail": each.detail or None,
            "answered": None if each.answered is None else int(each.answered),
            "cosigned": dict(each.cosigned),
        }
        for each in _seen(settings, state)
    ]
    return {
        "log": log,
        "quorum": settings.policy.quorum,
        "fail": "open" if settings.fail_open else "closed",
        "written": None if state is None else int(state.written),
        "witnesses": rows,
    }
