"""Files that may convict a log: who judges them, and how a conviction is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from provlog.client.cli.output import print_json
from provlog.client.errors import printable
from provlog.client.evidence import (
    MAX_EVIDENCE,
    Conviction,
    is_evidence,
    judge_evidence,
)
from provlog.client.freeze_evidence import FreezeConviction
from provlog.client.rule_evidence import (
    MAX_RULE_EVIDENCE,
    RuleConviction,
    is_rule_evidence,
    judge_rule_evidence,
)
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.trust import Trust

MAX_KEPT: Final = max(MAX_EVIDENCE, MAX_RULE_EVIDENCE)
"""Bytes of the longest file that one of the judges reads."""

Found = Conviction | FreezeConviction | RuleConviction


def judge_of(data: bytes) -> Callable[[bytes, Trust], Found] | None:
    """Return what judges a file by what it claims to be, None if it is no evidence."""
    if is_evidence(data):
        return judge_evidence
    return judge_rule_evidence if is_rule_evidence(data) else None


def print_conviction(file: Path, found: Found, *, as_json: bool) -> None:
    """Say of what a log is convicted, and what shows it."""
    if as_json:
        judged: dict[str, JsonValue] = {"verified": True, "convicted": True}
        print_json({"file": str(file), **judged, **found.to_json(), **_said(found)})
        return
    place, origin = printable(str(file)), printable(found.origin)
    if isinstance(found, RuleConviction):
        click.echo(f"CONVICTED  {place}: {origin} signed what breaks its own rules")
        for breach in found.breaches:
            click.echo(f"        {printable(breach.sentence())}")
        for tree in found.trees():
            _print_signed(tree)
        return
    click.echo(f"CONVICTED  {place}: {origin} lied: {found.sentence()}")
    if isinstance(found, FreezeConviction):
        _print_signed(found.larger.checkpoint)
        return
    _print_histories(found)


def _print_histories(found: Conviction) -> None:
    for signed in (found.older, found.newer):
        _print_signed(signed.checkpoint)
    if found.older.checkpoint.size < found.newer.checkpoint.size:
        begins, root = encode_base64(found.begins), encode_base64(found.root)
        click.echo(f"        shown:  the larger has root {begins} at {found.at} leaves")
        if found.at < found.older.checkpoint.size:
            click.echo(f"        shown:  the smaller has root {root} there")
    for each in found.witnesses:
        click.echo(f"        and:    witness {printable(each.witness)} cosigned both")
    trees = found.older.checkpoint, found.newer.checkpoint
    for named, tree in zip(found.shown_by, trees, strict=True):
        # The root as `provlog compare` shows it: both may be of one size.
        shown = f"showed the one of {tree.size}, root {encode_base64(tree.root)[:8]}"
        for who in named:
            click.echo(f"        said, and not signed: {printable(who)} {shown}")


def _print_signed(tree: Checkpoint) -> None:
    root = encode_base64(tree.root)
    click.echo(f"        signed: {tree.size} leaves, root {root}")


def _said(found: Found) -> dict[str, JsonValue]:
    """Return who is said to have shown either checkpoint; nobody signed that."""
    if not isinstance(found, Conviction):
        return {}
    older, newer = (list[JsonValue](each) for each in found.shown_by)
    return {"said": {"older": older, "newer": newer}}
