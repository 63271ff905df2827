"""Lies about one entry: to whoever submits it, and to whoever asks for it later."""

import base64
import json
from dataclasses import replace
from typing import Any

from hostile.liar import INDEX, Answer, Telling, Telltale
from hostile.lie import Lie
from hostile.telling import (
    batches,
    borrowed,
    entry,
    events,
    first_hash,
    hashes,
    receipts,
    texts,
)
from provlog.merkle.disclosures import make_disclosure
from provlog.merkle.encoding import encode_base64

_OTHER = INDEX - 2


async def _dropped(telling: Telling) -> Answer | None:
    """Acknowledge an event with a true proof, in a tree that does not hold it."""
    if telling.asked.what != "events":
        return None
    other = await entry(telling, _OTHER)
    body = (await telling.truth()).json()
    hashes, _, note = other["proof"].partition("\n\n")
    if "results" not in body:
        body["proof"] = other["proof"]
        body["index"] = _OTHER
        return (await telling.truth()).saying(body)
    for each in body["results"]:
        each |= {"index": _OTHER, "hashes": hashes.split("\n")[2:]}
    body["checkpoint"] = note
    return (await telling.truth()).saying(body)


async def _known_already(telling: Telling) -> Answer | None:
    """Log an event, and say that it was there: under the entry of another one."""
    if telling.asked.what != "events":
        return None
    other = await entry(telling, _OTHER)
    true = await telling.truth()
    body = true.json()
    head, _, note = other["proof"].partition("\n\n")
    if "results" not in body:
        other.pop("openings", None)
        return Answer(200, json.dumps(other).encode(), true.headers)
    for each in body["results"]:
        each |= {name: other[name] for name in ("index", "leaf", "disclosures")}
        each |= {"status": 200, "hashes": head.split("\n")[2:]}
    body["checkpoint"] = note
    return true.saying(body)


async def _refused(telling: Telling) -> Answer | None:
    """Log what was sent, and say that it was refused."""
    if telling.asked.what != "events":
        return None
    true = await telling.truth()
    problem = {
        "type": "urn:provlog:problem:conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "the id is taken by another event",
    }
    body = true.json()
    if "results" not in body:
        return Answer(409, json.dumps(problem).encode(), true.headers)
    body["results"] = [{"status": 409, "problem": problem} for _ in body["results"]]
    return true.saying(body)


async def _problem_inside(telling: Telling) -> Answer | None:
    """Answer 200, and a problem is what the body holds."""
    if telling.asked.what not in ("events", "entries", "checkpoint", "proofs"):
        return None
    problem = {"type": "about:blank", "title": "No", "status": 500, "detail": "no"}
    return Answer(200, json.dumps(problem).encode(), {})


async def _denied(telling: Telling) -> Answer | None:
    """Say that an entry that is in the log is not there."""
    if not telling.asked.path.startswith((f"entries/{INDEX}", "proofs/inclusion")):
        return None
    problem = {"title": "Not found", "status": 404, "detail": "there is no such entry"}
    return Answer(404, json.dumps(problem).encode(), {})


async def _another_entry(telling: Telling) -> Answer | None:
    """Answer with the whole, true receipt of another entry than was asked for."""
    if telling.asked.what != "entries":
        return None
    return (await telling.truth()).saying(await entry(telling, _OTHER))


async def _replayed(telling: Telling) -> Answer | None:
    """Answer a new event with a receipt of old, which is true."""
    if telling.asked.what != "events":
        return None
    other = await entry(telling, _OTHER)
    other.pop("openings", None)
    body = (await telling.truth()).json()
    head, _, note = other["proof"].partition("\n\n")
    if "results" not in body:
        return (await telling.truth()).saying(other)
    for each in body["results"]:
        each |= {name: other[name] for name in ("index", "leaf", "disclosures")}
        each["hashes"] = head.split("\n")[2:]
    body["checkpoint"] = note
    return (await telling.truth()).saying(body)


async def _proof_of_another(telling: Telling) -> Answer | None:
    """Prove another leaf than the one asked for, and well."""
    if not telling.asked.path.startswith("proofs/inclusion"):
        return None
    other = await telling.ask(_asking_for(telling, _OTHER))
    return (await telling.truth()).saying(other.json())


def _asking_for(telling: Telling, index: int) -> Any:  # noqa: ANN401
    return replace(telling.asked, query={**telling.asked.query, "index": str(index)})


def _edit_leaf(_: Telling, body: Any) -> None:  # noqa: ANN401
    leaf = json.loads(_decoded(body["leaf"]))
    leaf["recorded"] = "2026-01-01T00:00:00.000Z"
    text = json.dumps(leaf, sort_keys=True, separators=(",", ":"))
    body["leaf"] = encode_base64(text.encode())


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)


def _edit_disclosure(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["disclosures"][0] = make_disclosure(bytes(16), "actor", {"id": "mallory"})


def _withhold(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["disclosures"].pop(0)


def _add(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["disclosures"].append(make_disclosure(bytes(16), "approved", True))


def _twice(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["disclosures"].append(body["disclosures"][0])


def _swap(body: Any, other: Any) -> None:  # noqa: ANN401
    body["disclosures"] = other["disclosures"]


def _other_opening(_: Telling, body: Any) -> None:  # noqa: ANN401
    if "openings" in body:
        body["openings"]["nonce"] = encode_base64(bytes(16))


def _other_index(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["index"] += 1


def _reverse(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["results"].reverse()


def _shorten(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["results"].pop()


def _no_checkpoint(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["checkpoint"] = None


def _not_canonical(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["leaf"] += "\n"


def _huge(each: list[str]) -> list[str]:
    return each * 2000


def _retype(event: Any) -> None:  # noqa: ANN401
    event["type"] = "role.revoke"


def _backdate(event: Any) -> None:  # noqa: ANN401
    event["time"] = "2026-11-20T17:53:55.516Z"


def _retarget(event: Any) -> None:  # noqa: ANN401
    event["data"]["target"]["id"] = "00u-somebody-else"


def _renumber(event: Any) -> None:  # noqa: ANN401
    event["sequence"] = str(int(event["sequence"]) + 1000)


def _double_member(data: bytes) -> bytes:
    return data.replace(b"{", b'{"index":1,', 1) if data.startswith(b"{") else data


ANSWERS = (
    Lie(
        "dropped",
        "drops an event: acknowledges it with a proof in a tree without it",
        Telltale(_dropped),
        "who answered",
    ),
    Lie(
        "replayed-receipt",
        "replays an old receipt for a new event",
        Telltale(_replayed),
        "who answered",
    ),
    Lie(
        "another-s-index",
        "answers a new event as a repetition, with the index of another one",
        Telltale(_known_already),
        "who answered",
    ),
    Lie(
        "edited-type",
        "logs another type of event than was sent",
        Telltale(events(_retype)),
        "the log",
    ),
    Lie(
        "backdated",
        "logs another time than was sent",
        Telltale(events(_backdate)),
        "the log",
    ),
    Lie(
        "edited-target",
        "logs another target than was sent",
        Telltale(events(_retarget)),
        "the log",
    ),
    Lie(
        "renumbered",
        "logs another number of the source than was sent",
        Telltale(events(_renumber)),
        "the log",
    ),
    Lie(
        "edited-leaf",
        "edits a leaf in the answer",
        Telltale(receipts(_edit_leaf)),
        "who answered",
    ),
    Lie(
        "swapped-disclosures",
        "swaps disclosures between two entries",
        Telltale(borrowed(_OTHER, _swap)),
        "who answered",
    ),
    Lie(
        "edited-disclosure",
        "edits a disclosure",
        Telltale(receipts(_edit_disclosure)),
        "who answered",
    ),
    Lie(
        "withheld-disclosure",
        "withholds a disclosure",
        Telltale(receipts(_withhold)),
        "who answered",
    ),
    Lie(
        "added-disclosure",
        "adds a disclosure that the entry does not have",
        Telltale(receipts(_add)),
        "who answered",
    ),
    Lie(
        "doubled-disclosure",
        "discloses a member twice",
        Telltale(receipts(_twice)),
        "who answered",
    ),
    Lie(
        "false-opening",
        "opens an entry's tags with another nonce",
        Telltale(receipts(_other_opening)),
        "who answered",
    ),
    Lie(
        "other-index",
        "says that an entry stands at another index than the one proved",
        Telltale(receipts(_other_index)),
        "who answered",
    ),
    Lie(
        "another-entry",
        "returns the receipt of another index",
        Telltale(_another_entry),
        "who answered",
    ),
    Lie(
        "another-proof",
        "returns the proof of another index",
        Telltale(_proof_of_another),
        "who answered",
    ),
    Lie(
        "changed-proof",
        "changes a hash of a proof",
        Telltale(receipts(first_hash(lambda text: encode_base64(bytes(32))))),
        "who answered",
    ),
    Lie(
        "short-proof",
        "leaves the last hash of a proof out",
        Telltale(receipts(hashes(lambda each: each[:-1]))),
        "who answered",
    ),
    Lie(
        "huge-proof",
        "sends a huge proof, of thousands of hashes",
        Telltale(receipts(hashes(_huge))),
        "who answered",
    ),
    Lie(
        "malformed-proof",
        "sends a proof with a hash of 31 bytes",
        Telltale(receipts(first_hash(lambda text: encode_base64(bytes(31))))),
        "who answered",
    ),
    Lie(
        "base64-proof",
        "sends a proof in base64 that is not canonical",
        Telltale(receipts(first_hash(lambda text: text[:-1]))),
        "who answered",
    ),
    Lie(
        "base64-leaf",
        "sends a leaf in base64 that is not canonical",
        Telltale(receipts(_not_canonical)),
        "who answered",
    ),
    Lie(
        "batch-order",
        "answers a batch in another order",
        Telltale(batches(_reverse)),
        "who answered",
    ),
    Lie(
        "batch-result",
        "leaves a result of a batch out",
        Telltale(batches(_shorten)),
        "who answered",
    ),
    Lie(
        "batch-checkpoint",
        "answers a batch without a checkpoint",
        Telltale(batches(_no_checkpoint)),
        "who answered",
    ),
    Lie(
        "refused",
        "logs an event, and says that it was refused",
        Telltale(_refused),
        "nobody",
    ),
    Lie(
        "denied",
        "denies an entry that it has",
        Telltale(_denied),
        "nobody",
    ),
    Lie(
        "problem-inside",
        "answers 200 with a problem inside",
        Telltale(_problem_inside),
        "who answered",
    ),
    Lie(
        "double-member",
        "answers with a member of JSON that stands there twice",
        Telltale(texts(_double_member, "events", "entries", "proofs")),
        "who answered",
    ),
    Lie(
        "no-json",
        "answers with something that is not what was asked for",
        Telltale(texts(lambda data: b"<html>", "events", "entries", "proofs")),
        "who answered",
    ),
    Lie(
        "deep-json",
        "answers with JSON nested ten thousand deep",
        Telltale(texts(lambda data: b"[" * 10_000, "events", "entries", "proofs")),
        "who answered",
    ),
)
