"""What `provlog compare` prints: a table of who showed what, and what came of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from provlog.client.cli.output import note, print_json
from provlog.client.errors import printable
from provlog.merkle.encoding import JsonValue, encode_base64, format_time

if TYPE_CHECKING:
    from provlog.client.comparing import Head, Split
    from provlog.client.comparing_proofs import Unproved
    from provlog.client.comparing_run import Comparison, Source

_SAID = {
    "split": "SPLIT VIEW: the log signed two histories",
    "not proved": "NOT PROVED: the log owes a proof and does not give it",
    "refused": "REFUSED: something does not verify; what does is of one history",
    "not compared": "NOT COMPARED: nothing contradicts, and not all is connected",
    "consistent": "consistent: all of it is one history",
}

# The last second of the year 9999: times are shown, and a witness may write anything.
_LAST_SECOND = 253_402_300_799


def print_comparison(found: "Comparison", kept: Sequence[str]) -> None:
    """Print the table and the verdict; `kept` names the files of what was found."""
    newest = found.newest
    if newest is not None:
        click.echo(f"{'size':>12}  {'behind':>9}  root      state         shown by")
    for source in found.sources:
        _print_source(found, source, newest)
    for split, path in zip(found.board.splits, kept, strict=False):
        click.echo(f"split:       {_pair(split.older, split.newer)}")
        for name in _witnesses(split):
            click.echo(f"             witness {printable(name)} cosigned both")
        click.echo(f"             the proof: {path}")
    owed = [each for each in found.unproved if each.owed]
    for each, path in zip(owed, kept[len(found.board.splits) :], strict=False):
        click.echo(f"not proved:  {_pair(each.older, each.newer)}")
        click.echo(f"             {printable(each.reason)}")
        click.echo(f"             both signed checkpoints, no proof: {path}")
    for head, reason in _unconnected(found):
        places = ", ".join(map(printable, head.places[:3]))
        click.echo(f"not compared: {head.size} leaves, shown by {places}: {reason}")
    if found.verdict == "not compared" and found.is_alone:
        note("NOT COMPARED: there is nothing to hold against anything")
    else:
        note(_SAID[found.verdict])


def _print_source(found: "Comparison", source: "Source", newest: "Head | None") -> None:
    place, head = printable(source.place), source.newest
    if head is not None and newest is not None:
        state = _state(found, source)
        root = encode_base64(head.root)[:8]
        behind = newest.size - head.size
        click.echo(f"{head.size:>12}  {behind:>9}  {root}  {state:<12}  {place}")
        for line in _times(source):
            click.echo(f"{'':>36}{line}")
    elif source.trouble is not None:
        click.echo(f"{'-':>12}  {'-':>9}  -         unreachable   {place}")
        click.echo(f"{'':>36}{source.trouble}")
    for reason in source.refused:
        click.echo(f"{'refused':>12}  {place}: {reason}")


def _times(source: "Source") -> "list[str]":
    head, lines = source.newest, []
    if len(source.heads) > 1:
        lines.append(f"{len(source.heads)} checkpoints, this is the largest")
    if source.recorded is not None:
        lines.append(f"newest entry recorded {format_time(source.recorded)}")
    for each in head.cosignatures.values() if head else ():
        when = format_time(min(each.timestamp, _LAST_SECOND) * 1000)
        lines.append(f"cosigned by {printable(each.witness)} {when}")
    lines += [f"a false line in the name of {printable(e)}" for e in source.forged]
    return lines


def _state(found: "Comparison", source: "Source") -> str:
    """Return the worst state of what a source showed."""
    states = {found.relation(each) for each in source.heads}
    for each in ("other history", "not compared"):
        if each in states:
            return each
    return "consistent"


def _pair(older: "Head", newer: "Head") -> str:
    places = [", ".join(map(printable, e.places[:3])) for e in (older, newer)]
    return f"{older.size} leaves ({places[0]}) and {newer.size} leaves ({places[1]})"


def _witnesses(split: "Split") -> list[str]:
    both = split.witnesses()
    return [
        each.witness for key, each in split.older.cosignatures.items() if key in both
    ]


def _unconnected(found: "Comparison") -> "list[tuple[Head, str]]":
    reasons: dict[int, Unproved] = {id(each.older): each for each in found.unproved}
    listed = []
    for head in found.unconnected[:20]:
        unproved = reasons.get(id(head))
        if unproved is not None and unproved.owed:
            continue
        reason = "nobody was there to prove how it is related"
        if unproved is not None:
            reason = printable(unproved.reason)
        listed.append((head, reason))
    return listed


def print_comparison_json(found: "Comparison", kept: Sequence[str]) -> None:
    """Print the same as JSON, an object for each source and finding."""
    newest = found.newest
    for source in found.sources:
        print_json(_source_json(found, source))
    for split, path in zip(found.board.splits, kept, strict=False):
        named: list[JsonValue] = list(_witnesses(split))
        more: dict[str, JsonValue] = {"witnesses": named, "evidence": path}
        print_json({"event": "split", **_pair_json(split.older, split.newer), **more})
    owed = [each for each in found.unproved if each.owed]
    for each, path in zip(owed, kept[len(found.board.splits) :], strict=False):
        more = {"reason": each.reason, "evidence": path}
        print_json(
            {"event": "not proved", **_pair_json(each.older, each.newer), **more}
        )
    for head, reason in _unconnected(found):
        print_json({"event": "not compared", **_head_json(head), "reason": reason})
    print_json(
        {
            "event": "compared",
            "verdict": found.verdict,
            "checkpoints": len(found.board.heads),
            "newest": None if newest is None else newest.size,
            "splits": len(found.board.splits),
        }
    )


def _head_json(head: "Head") -> dict[str, JsonValue]:
    places: list[JsonValue] = list(head.places[:20])
    return {"size": head.size, "root": encode_base64(head.root), "shown_by": places}


def _pair_json(older: "Head", newer: "Head") -> dict[str, JsonValue]:
    return {"older": _head_json(older), "newer": _head_json(newer)}


def _source_json(found: "Comparison", source: "Source") -> dict[str, JsonValue]:
    value: dict[str, JsonValue] = {"event": "source", "source": source.place}
    head, newest = source.newest, found.newest
    if head is not None and newest is not None:
        value |= {
            "size": head.size,
            "root": encode_base64(head.root),
            "behind": newest.size - head.size,
            "checkpoints": len(source.heads),
            "state": _state(found, source),
            "cosignatures": [
                {"witness": each.witness, "timestamp": each.timestamp}
                for each in head.cosignatures.values()
            ],
        }
    if source.recorded is not None:
        value["recorded"] = format_time(source.recorded)
    if source.trouble is not None:
        value["trouble"] = source.trouble
    if source.others:
        value["of_other_logs"] = source.others
    value["refused"] = list[JsonValue](source.refused)
    value["forged"] = list[JsonValue](source.forged)
    return value
