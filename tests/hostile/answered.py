"""What is said instead of the truth of one entry; `on_answers` says what it is for."""

import base64
import json
from dataclasses import replace
from typing import Any

from hostile.liar import INDEX, Answer, Telling
from hostile.telling import (
    entry,
)
from provlog.merkle.disclosures import make_disclosure
from provlog.merkle.encoding import encode_base64

OTHER = INDEX - 2


async def dropped(telling: Telling) -> Answer | None:
    """Acknowledge an event with a true proof, in a tree that does not hold it."""
    if telling.asked.what != "events":
        return None
    other = await entry(telling, OTHER)
    body = (await telling.truth()).json()
    hashes, _, note = other["proof"].partition("\n\n")
    if "results" not in body:
        body["proof"] = other["proof"]
        body["index"] = OTHER
        return (await telling.truth()).saying(body)
    for each in body["results"]:
        each |= {"index": OTHER, "hashes": hashes.split("\n")[2:]}
    body["checkpoint"] = note
    return (await telling.truth()).saying(body)


async def known_already(telling: Telling) -> Answer | None:
    """Log an event, and say that it was there: under the entry of another one."""
    if telling.asked.what != "events":
        return None
    other = await entry(telling, OTHER)
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


async def refused(telling: Telling) -> Answer | None:
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


async def problem_inside(telling: Telling) -> Answer | None:
    """Answer 200, and a problem is what the body holds."""
    if telling.asked.what not in ("events", "entries", "checkpoint", "proofs"):
        return None
    problem = {"type": "about:blank", "title": "No", "status": 500, "detail": "no"}
    return Answer(200, json.dumps(problem).encode(), {})


async def denied(telling: Telling) -> Answer | None:
    """Say that an entry that is in the log is not there."""
    if not telling.asked.path.startswith((f"entries/{INDEX}", "proofs/inclusion")):
        return None
    problem = {"title": "Not found", "status": 404, "detail": "there is no such entry"}
    return Answer(404, json.dumps(problem).encode(), {})


async def another_entry(telling: Telling) -> Answer | None:
    """Answer with the whole, true receipt of another entry than was asked for."""
    if telling.asked.what != "entries":
        return None
    return (await telling.truth()).saying(await entry(telling, OTHER))


async def replayed(telling: Telling) -> Answer | None:
    """Answer a new event with a receipt of old, which is true."""
    if telling.asked.what != "events":
        return None
    other = await entry(telling, OTHER)
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


async def proof_of_another(telling: Telling) -> Answer | None:
    """Prove another leaf than the one asked for, and well."""
    if not telling.asked.path.startswith("proofs/inclusion"):
        return None
    other = await telling.ask(asking_for(telling, OTHER))
    return (await telling.truth()).saying(other.json())


def asking_for(telling: Telling, index: int) -> Any:  # noqa: ANN401
    return replace(telling.asked, query={**telling.asked.query, "index": str(index)})


def edit_leaf(_: Telling, body: Any) -> None:  # noqa: ANN401
    leaf = json.loads(decoded(body["leaf"]))
    leaf["recorded"] = "2026-01-01T00:00:00.000Z"
    text = json.dumps(leaf, sort_keys=True, separators=(",", ":"))
    body["leaf"] = encode_base64(text.encode())


def decoded(text: str) -> bytes:
    return base64.b64decode(text)


def edit_disclosure(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["disclosures"][0] = make_disclosure(bytes(16), "actor", {"id": "mallory"})


def withhold(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["disclosures"].pop(0)


def add(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["disclosures"].append(make_disclosure(bytes(16), "approved", True))


def twice(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["disclosures"].append(body["disclosures"][0])


def swap(body: Any, other: Any) -> None:  # noqa: ANN401
    body["disclosures"] = other["disclosures"]


def other_opening(_: Telling, body: Any) -> None:  # noqa: ANN401
    if "openings" in body:
        body["openings"]["nonce"] = encode_base64(bytes(16))


def other_index(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["index"] += 1


def reverse(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["results"].reverse()


def shorten(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["results"].pop()


def no_checkpoint(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["checkpoint"] = None


def not_canonical(_: Telling, body: Any) -> None:  # noqa: ANN401
    body["leaf"] += "\n"


def huge(each: list[str]) -> list[str]:
    return each * 2000


def retype(event: Any) -> None:  # noqa: ANN401
    event["type"] = "role.revoke"


def backdate(event: Any) -> None:  # noqa: ANN401
    event["time"] = "2026-11-20T17:53:55.516Z"


def retarget(event: Any) -> None:  # noqa: ANN401
    event["data"]["target"]["id"] = "00u-somebody-else"


def renumber(event: Any) -> None:  # noqa: ANN401
    event["sequence"] = str(int(event["sequence"]) + 1000)


def double_member(data: bytes) -> bytes:
    return data.replace(b"{", b'{"index":1,', 1) if data.startswith(b"{") else data
