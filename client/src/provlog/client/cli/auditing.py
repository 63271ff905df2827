"""`provlog audit`: download a whole log and recompute it."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import click

from provlog.client.cli.output import note, note_missed, print_json, progress
from provlog.client.cli.settings import Settings, connecting, json_option
from provlog.client.errors import printable
from provlog.client.kept_announcements import describe_end
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.trust import SignedCheckpoint

if TYPE_CHECKING:
    from provlog.client.auditing import Auditor
    from provlog.client.auditing_parts import Finding


@click.command()
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    metavar="N",
    help="How many downloads run at a time; each holds 16 MiB at the very most.",
)
@click.option(
    "--fresh", is_flag=True, help="Start anew even if the last run did not finish."
)
@json_option
@connecting
def audit(parallel: int, fresh: bool, as_json: bool, settings: Settings) -> None:
    """Download the whole log, and recompute all of it from its leaves.

    Every leaf hash, every tile at each level, the root, and each entry's count `n`;
    `recorded` never decreasing, kinds and epochs in their order, the canonical form of
    every leaf. All of it is held against the log's checkpoint, which is verified and
    consistent with the newest one this user has seen; where that one is newer, a line
    says so. Each entry and tile that is wrong is named, and the audit goes on to find
    the others. It reads no personal data: the token needs the role monitor, and a
    public log none.

    A run that is interrupted goes on where it stopped when the command is run again,
    against the same checkpoint; one that finished starts anew.

    \b
    Examples:
      provlog audit
      provlog audit --json | jq -r 'select(.event == "finding").place'

    Exit code 0 if nothing is wrong, 1 if anything is, 2 for a mistake in the call, 3
    if the log is unavailable (run it again to go on).
    """
    # Not at the top: `provlog verify` does without anything that knows of networks.
    import asyncio

    auditor = asyncio.run(_audit(settings, parallel, fresh, as_json))
    if auditor.total:
        raise click.exceptions.Exit(1)


async def _audit(
    settings: Settings, parallel: int, fresh: bool, as_json: bool
) -> "Auditor":
    from provlog.client.auditing_run import begin_audit, run_audit

    trust = settings.trust()
    reader = settings.reader(trust)
    try:
        run = await begin_audit(reader, trust, settings.memory(), fresh=fresh)
        size, first = run.signed.checkpoint.size, run.auditor.done
        _print_start(run.signed, first, run.missed, as_json=as_json)
        _print_findings(run.auditor.findings, as_json=as_json)
        started = time.monotonic()
        with progress("auditing", size, done=first, unit="entries") as advance:
            await run_audit(
                run,
                reader,
                parallel=parallel,
                on_findings=lambda found: _print_findings(found, as_json=as_json),
                on_progress=advance,
            )
        seconds = time.monotonic() - started
        _print_end(run.signed, run.auditor, size - first, seconds, as_json=as_json)
    finally:
        await reader.close()
    return run.auditor


def _print_start(
    signed: SignedCheckpoint, first: int, missed: int | None, *, as_json: bool
) -> None:
    checkpoint = signed.checkpoint
    if as_json:
        started: dict[str, JsonValue] = {"event": "started", **_of(signed)}
        known: dict[str, JsonValue] = {} if missed is None else {"missed": missed}
        print_json({**started, "first": first, **known})
        return
    origin = printable(checkpoint.origin)
    note(f"auditing {origin}, a log of {checkpoint.size}")
    note_missed(checkpoint.size, missed)
    if first:
        note(f"going on at entry {first}, where the last run stopped")


def _print_findings(findings: "Sequence[Finding]", *, as_json: bool) -> None:
    for each in findings:
        if as_json:
            print_json({"event": "finding", **each.to_json()})
        else:
            click.echo(f"WRONG  {each.place}: {printable(each.problem)}")


def _print_end(
    signed: SignedCheckpoint,
    auditor: "Auditor",
    count: int,
    seconds: float,
    *,
    as_json: bool,
) -> None:
    rate = count / max(seconds, 0.001)
    if as_json:
        finished: dict[str, JsonValue] = {"event": "finished", **_of(signed)}
        finished |= {"ok": auditor.total == 0, "findings": auditor.total}
        if auditor.frozen is not None:
            finished["frozen"] = auditor.frozen
        if auditor.previous is not None:
            finished["previous"] = auditor.previous
        print_json({**finished, "seconds": round(seconds, 3), "rate": round(rate)})
        return
    unlisted = auditor.total - len(auditor.findings)
    if unlisted:
        click.echo(f"WRONG  and {unlisted} more")
    checkpoint = signed.checkpoint
    verdict = f"{auditor.total} things are wrong" if auditor.total else "all is well"
    root = encode_base64(checkpoint.root)
    click.echo(f"{verdict}: {checkpoint.size} entries held against root {root}")
    if auditor.frozen is not None:
        size, named = auditor.frozen["size"], auditor.frozen.get("successor")
        told = describe_end(cast(int, size), cast("dict[str, JsonValue] | None", named))
        click.echo(printable(told))
    if auditor.previous is not None:
        old = auditor.previous
        click.echo(
            f"succeeds {printable(str(old['origin']))}, size {old['size']}, root"
            f" {old['root']}: that log is to be held against this head on its own"
        )
    note(f"{seconds:.1f} s, {rate:,.0f} entries/s")


def _of(signed: SignedCheckpoint) -> dict[str, JsonValue]:
    checkpoint = signed.checkpoint
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": encode_base64(checkpoint.root),
    }
