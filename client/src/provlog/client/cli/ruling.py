"""`provlog rules`: explain a file of rules, and try it on receipts, without any log."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from provlog.client.cli.output import note, print_json
from provlog.client.cli.settings import Settings, json_option, read_file, trusting
from provlog.client.cli.trusting import newest_trust
from provlog.client.entry_rules import Finding, read_rules
from provlog.client.errors import UsageError, printable
from provlog.merkle.errors import MerkleError
from provlog.merkle.receipts import MAX_RECEIPT, VerifiedReceipt, verify_receipt
from provlog.merkle.trust import Trust

TO_TELL = 4

_RULES = click.Path(exists=True, dir_okay=False, path_type=Path)
_RECEIPT = click.Path(exists=True, path_type=Path)


@click.group()
def rules() -> None:
    """Rules on entries: what a monitor raises an alarm about.

    A file of rules is TOML: docs/rules.md explains it. These two commands need no log.

    \b
    Examples:
      provlog rules check rules.toml
      provlog rules try rules.toml receipts/
    """


@rules.command()
@click.argument("file", metavar="FILE", type=_RULES)
@json_option
def check(file: Path, as_json: bool) -> None:
    """Read FILE, and explain each rule in a sentence.

    \b
    Example:
      provlog rules check rules.toml

    Exit code 2, with rule and member, if anything in it is not understood.
    """
    for rule in read_rules(file).rules:
        if as_json:
            named = {"rule": rule.name, "severity": rule.severity}
            print_json({**named, "explained": rule.explain()})
        else:
            click.echo(printable(rule.explain()))


@rules.command(name="try")
@click.argument("file", metavar="FILE", type=_RULES)
@click.argument(
    "receipts", metavar="RECEIPT...", nargs=-1, required=True, type=_RECEIPT
)
@json_option
@trusting
def try_(
    file: Path, receipts: tuple[Path, ...], as_json: bool, settings: Settings
) -> None:
    """Say what the rules in FILE find in receipts. Offline: it takes the log's key.

    RECEIPT is a receipt file, or a folder of *.receipt.json files. They are judged in
    the order of the log; a rule that needs what a receipt withholds says so. What rules
    remember (bursts, accounts that were disabled) they see in these receipts only.

    \b
    Examples:
      provlog rules try rules.toml --log-key "$LOG_KEY" receipts/
      provlog rules try rules.toml --log-key "$LOG_KEY" --json 17.receipt.json

    Exit code 0 if the rules find nothing, 4 if they do, 1 if a receipt does not verify,
    2 for a mistake in a file or in the call.
    """
    judge, trust = read_rules(file), newest_trust(settings)
    found = 0
    judged = _in_order(_read(path, trust) for path in receipt_files(receipts))
    for receipt in judged:
        for finding in judge.judge(receipt):
            found += 1
            _print(finding, as_json=as_json)
    if not as_json:
        note(f"{len(judged)} entries judged, {found} finding(s)")
    if found:
        raise click.exceptions.Exit(TO_TELL)


def receipt_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as they are, and of each folder the receipts in it, by name."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(path.glob("*.receipt.json"))
        if not inside:
            raise UsageError(f"{path}: no *.receipt.json in this folder")
        yield from inside


def _read(path: Path, trust: Trust) -> VerifiedReceipt:
    try:
        return verify_receipt(read_file(path, MAX_RECEIPT + 1), trust)
    except MerkleError as error:
        error.add_note(f"This is said of {path}.")
        raise


def _in_order(receipts: Iterable[VerifiedReceipt]) -> list[VerifiedReceipt]:
    """Return one receipt of each entry, by index: the one that opens most of it."""
    best: dict[int, VerifiedReceipt] = {}
    for each in receipts:
        known = best.get(each.index)
        if known is None or len(known.disclosures) < len(each.disclosures):
            best[each.index] = each
    return [best[index] for index in sorted(best)]


def _print(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        print_json(finding.to_json())
        return
    text = printable(finding.text)
    click.echo(f"{finding.severity:<8}  {finding.index}  {finding.rule}: {text}")
