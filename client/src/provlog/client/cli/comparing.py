"""`provlog compare`: hold what a log showed to different people together."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provlog.client.cli.comparing_telling import (
    print_comparison,
    print_comparison_json,
)
from provlog.client.cli.output import progress
from provlog.client.cli.settings import Settings, connecting, json_option
from provlog.client.cli.trusting import newest_trust
from provlog.client.errors import UsageError
from provlog.merkle.trust import Trust

if TYPE_CHECKING:
    from provlog.client.comparing_files import FileSource
    from provlog.client.comparing_run import Comparison

_EXIT = {"split": 1, "not proved": 1, "refused": 1, "not compared": 3, "consistent": 0}


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1)
@click.option("--offline", is_flag=True, help="Ask nobody: compare files only.")
@json_option
@connecting
def compare(
    sources: tuple[str, ...], offline: bool, as_json: bool, settings: Settings
) -> None:
    """Compare what a log showed to different people, and prove a split view.

    SOURCE is a URL (a log such as https://log.example/logs/main, a mirror, or the
    monitoring prefix of a monitor or witness), a file (a receipt, a tlog-proof, a
    checkpoint, evidence, an answer to a batch, a spool) or a folder (receipts, a
    mirror, the folder of --state). With --url (or PROVLOG_URL) the log is asked, too,
    and gets the token; nobody else does.

    What counts is the log's own signature: no quorum of witnesses is asked for. Two
    roots of one size are a split at once. Of two sizes somebody has to prove that the
    larger tree begins with the smaller one: the log, a mirror, or the receipts
    themselves. A split is written to a file below the folder of --state that
    `provlog verify` judges without any network; with --policy it also names witnesses
    that cosigned both.

    \b
    What it says:
      consistent    all of it is one history
      SPLIT VIEW    the log signed two histories; the file convicts it
      NOT PROVED    the log answered and did not prove what it owes: both signed
                    checkpoints are kept, but the file alone shows no contradiction
      REFUSED       something is not signed by the log, or does not verify
      NOT COMPARED  nobody could be asked how some of it is related

    \b
    Examples:
      provlog compare https://monitor.example https://witness.example/w1
      provlog compare receipts/ https://auditor.example/monitor
      provlog compare --offline ours/ theirs/ 17.receipt.json

    Exit code 0 if consistent, 1 for a split view and what is not proved or refused, 3
    for what could not be compared, 2 for a mistake in the call.
    """
    found, kept = _compare(sources, settings, offline=offline)
    if as_json:
        print_comparison_json(found, kept)
    else:
        print_comparison(found, kept)
    raise click.exceptions.Exit(_EXIT[found.verdict])


def _compare(
    sources: Sequence[str], settings: Settings, *, offline: bool
) -> "tuple[Comparison, list[str]]":
    """Return what came of it, and the names of the files that were kept of it."""
    # Not at the top: nothing else needs it, and `provlog verify` does without HTTP.
    import asyncio

    from provlog.client.comparing_places import Caller
    from provlog.client.comparing_run import MAX_PLACES
    from provlog.client.comparing_run import compare as run

    trust = newest_trust(settings)
    urls, paths = _sort(sources, settings, offline=offline)
    if not urls and not paths:
        raise UsageError("nothing to compare: name files, folders or URLs")
    if len(urls) > MAX_PLACES:
        raise UsageError(f"more than {MAX_PLACES} URLs")
    caller = Caller(
        settings.trust(),
        trust,
        settings.memory(),
        settings.log,
        settings.url,
        settings.token,
        settings.patience,
        settings.insecure,
    )
    # Each file is read, and asked about at most once.
    with progress("reading and asking", 2 * _count(paths) + len(urls)) as advance:
        read = partial(_read, paths, advance)
        found = asyncio.run(run(urls, read, caller, advance))
    return found, _keep(found, settings, trust.origin)


def _sort(
    sources: Sequence[str], settings: Settings, *, offline: bool
) -> tuple[list[str], list[Path]]:
    """Return URLs, the log's own among them, and paths; each once, in their order."""
    given = dict.fromkeys(sources)
    urls = [each for each in given if each.startswith(("https://", "http://"))]
    paths = [Path(each) for each in given if each not in urls]
    if offline and urls:
        raise UsageError("with --offline no URL is asked: leave out one or the other")
    if settings.url is not None and not offline:
        own = f"{settings.url.rstrip('/')}/logs/{settings.log}"
        urls = list(dict.fromkeys([own, *(each.rstrip("/") for each in urls)]))
    return urls, paths


def _count(paths: Sequence[Path]) -> int:
    from provlog.client.comparing_files import count_files

    return count_files(paths)


def _read(
    paths: Sequence[Path], advance: Callable[[int], None], trust: Trust
) -> "list[FileSource]":
    from provlog.client.comparing_files import read_source

    return [read_source(each, trust, advance) for each in paths]


def _keep(found: "Comparison", settings: Settings, origin: str) -> list[str]:
    """Write a file for each split, then for each proof that is owed; return names."""
    from provlog.client.comparing import Split

    pairs = list(found.board.splits)
    pairs += [Split(each.older, each.newer) for each in found.unproved if each.owed]
    memory = settings.memory()
    return [memory.convict(each.evidence(origin)) for each in pairs]
