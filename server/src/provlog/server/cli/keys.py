"""`provlog-server key` and `log freeze`: a log's signing keys, and its end."""

import click

from provlog.merkle.encoding import JsonValue
from provlog.server import key_changes
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
from provlog.server.instance import Instance
from provlog.server.key_changes import KeyState
from provlog.server.log import Log
from provlog.server.representations import log_json


@click.group()
def key() -> None:
    """Change the keys that a log signs its checkpoints with.

    \b
    provlog-server key prepare  --dir data   make the next key, in the keyring
    provlog-server key announce --dir data   an entry names it; both sign from now on
    provlog-server key retire   --dir data   the old key signs nothing any more

    Whoever verifies the log with its first key follows the announcement. docs/keys.md
    says how long to wait in between, and what to do once a key was stolen.
    """


@key.command("list")
@instance_options
@log_option
def key_list(instance: Instance, as_json: bool, log_name: str) -> None:
    """List the keys of a log, and what each does on this machine."""

    async def show() -> None:
        async with opened(instance) as service:
            keys = _keys(await require_log(service, log_name))
        if as_json:
            print_json([*keys])
            return
        rows = [
            (str(each["state"]), _dash(each["index"]), str(each["log_key"]))
            for each in keys
        ]
        print_table(rows, ("STATE", "ENTRY", "LOG KEY"))

    run(show())


@key.command("prepare")
@instance_options
@log_option
def key_prepare(instance: Instance, as_json: bool, log_name: str) -> None:
    """Make a log's next signing key, a file of mode 0600 in the keyring.

    Copy that file to the same place on every other machine that serves the log before
    you announce the key: a server that lacks it signs nothing from then on. To call
    this again changes nothing.
    """

    async def prepare() -> None:
        async with opened(instance) as service:
            log = await require_log(service, log_name)
            made, is_new = await key_changes.prepare_key(log)
            path = log.signer.files.key_path(made.verifier())
        vkey = made.verifier().vkey()
        if as_json:
            print_json({"log_key": vkey, "file": str(path), "new": is_new})
            return
        click.echo(vkey)
        note = f"in {path}; other machines that serve the log need it before `announce`"
        click.echo(note if is_new else f"prepared before, {note}", err=True)

    run(prepare())


@key.command("announce")
@instance_options
@log_option
@click.option("--key", "key_id", help="Its key ID, where several keys are prepared.")
def key_announce(
    instance: Instance, as_json: bool, log_name: str, key_id: str | None
) -> None:
    """Announce the prepared key by an entry of the log; both keys sign from now on.

    Prints the new log key. To call this again changes nothing.
    """

    async def announce() -> None:
        async with opened(instance) as service:
            log = await require_log(service, log_name)
            new, made = await key_changes.announce_key(service, log, key_id, ACTOR)
        if as_json:
            print_json({"log_key": new.vkey(), "index": made.index, "new": made.is_new})
            return
        click.echo(new.vkey())
        again = "" if made.is_new else ", announced before"
        click.echo(f"entry {made.index} of log {log_name}{again}", err=True)

    run(announce())


@key.command("retire")
@instance_options
@log_option
@click.option(
    "--destroy", is_flag=True, help="Remove the files of keys that are retired, too."
)
def key_retire(instance: Instance, as_json: bool, log_name: str, destroy: bool) -> None:
    """Let every key that was replaced sign nothing any more.

    Each leaves its last checkpoint beside the keys, which proves for ever what was
    announced under it; it is no secret. Do this on every machine that serves the log.
    Servers that run notice within a second.
    """

    async def retire() -> None:
        async with opened(instance) as service:
            log = await require_log(service, log_name)
            keys = await key_changes.retire_keys(log, destroy=destroy)
        if as_json:
            print_json([each.json() for each in keys])
            return
        for each in keys:
            click.echo(f"{each.state.value}  {each.key.vkey()}")

    run(retire())


@key.command("add-mldsa")
@instance_options
@log_option
def key_add_mldsa(instance: Instance, as_json: bool, log_name: str) -> None:
    """Let a log sign with ML-DSA-44 beside its Ed25519 key, and print that key.

    It makes a file in the keyring; copy it to every other machine that serves the log.
    Nothing of it stands in the log: give the printed key to whoever shall use it. To
    call this again changes nothing.
    """

    async def add() -> None:
        async with opened(instance) as service:
            log = await require_log(service, log_name)
            made = log.signer.files.add_mldsa(log.origin)
        vkey = made.verifier().vkey()
        if as_json:
            print_json({"log_key": vkey})
        else:
            click.echo(vkey)

    run(add())


@click.command("show")
@instance_options
@click.argument("name")
def log_show(instance: Instance, as_json: bool, name: str) -> None:
    """Show a log: its origin, size, keys, and whether it ended."""

    async def show() -> None:
        async with opened(instance) as service:
            log = await require_log(service, name)
            shown = log_json(log)
        if as_json:
            print_json(shown)
            return
        for member in ("origin", "size", "created"):
            click.echo(f"{member:<10} {shown[member]}")
        for each in key_changes.known_keys(log):
            click.echo(f"{each.state.value:<10} {each.key.vkey()}")
        frozen = log.announced.frozen
        if frozen is not None:
            goes_on = (frozen.successor or {}).get("origin", "no other log")
            click.echo(f"ended      with entry {frozen.index}; {goes_on} goes on")

    run(show())


@click.command("freeze")
@instance_options
@click.argument("name")
@click.option("--successor-origin", help="Origin of the log that goes on.")
@click.option("--successor-key", help="The log key of that log.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def log_freeze(
    instance: Instance,
    as_json: bool,
    name: str,
    successor_origin: str | None,
    successor_key: str | None,
    yes: bool,
) -> None:
    """End the log NAME, for ever: the entry that says so is its last.

    It is read and verified as before. Nothing is added to it by any server; whatever
    were signed of it beyond that entry would convict it. There is no way back.

    \b
    provlog-server log freeze --dir data main --successor-origin log.example.com/next \\
        --successor-key log.example.com/next+0f1e2d3c+AXu…
    """
    if not yes and not click.confirm(f"End the log {name} for ever?", err=True):
        raise click.UsageError("not confirmed; nothing was changed")

    async def end() -> None:
        async with opened(instance) as service:
            log = await require_log(service, name)
            successor = key_changes.successor_of(log, successor_origin, successor_key)
            made = await key_changes.freeze(service, log, successor, ACTOR)
        if as_json:
            print_json({"index": made.index, "successor": successor})
        else:
            click.echo(f"log {name} ended with entry {made.index}")

    run(end())


def _keys(log: Log) -> list[dict[str, JsonValue]]:
    """Return a log's keys in order, those that are only prepared last."""
    prepared: list[dict[str, JsonValue]] = [
        {
            "log_key": each.verifier().vkey(),
            "state": KeyState.PREPARED.value,
            "index": None,
        }
        for each in key_changes.prepared_keys(log)
    ]
    mldsa = log.signer.keys.mldsa
    if mldsa is not None:
        vkey = mldsa.verifier().vkey()
        prepared.append({"log_key": vkey, "state": "signing", "index": None})
    return [*(each.json() for each in key_changes.known_keys(log)), *prepared]


def _dash(value: JsonValue) -> str:
    return "-" if value is None else str(value)
