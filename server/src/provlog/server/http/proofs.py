"""Inclusion, consistency and range proofs of any size up to the released head."""

from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web

from provlog.merkle.encoding import JsonValue, encode_base64
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.proof_file import format_proof_lines
from provlog.server.http.auth import FOLLOWERS, MONITORS, require_reader
from provlog.server.http.context import SERVICE
from provlog.server.http.lookup import find_index
from provlog.server.http.problems import Problem
from provlog.server.http.requests import (
    read_choice,
    read_number,
    read_query,
    require_number,
)
from provlog.server.http.responses import json_response, text_response
from provlog.server.http.served import covering_checkpoint, served_or_none
from provlog.server.log import Log
from provlog.server.reader import LogReader

PROOF_TYPE: Final = "text/x-tlog-proof"


@dataclass(frozen=True, slots=True)
class _Inclusion:
    """A proof in the tree of `size` leaves; `note` is None if none is of that size."""

    index: int
    size: int
    leaf_hash: bytes
    hashes: list[str]
    note: str | None


async def get_inclusion(request: web.Request) -> web.Response:
    """Return an inclusion proof, by index or by source and id."""
    query = read_query(request, "index", "source", "id", "size", "as")
    as_file = _wants_file(request, query)
    if "index" in query:
        if "source" in query or "id" in query:
            raise Problem("malformed", "give index, or source and id, and not both")
        log = (await require_reader(request, MONITORS)).log
        reader = LogReader(log, request.app[SERVICE].storage)
        index = require_number(query, "index")
    else:
        caller, index = await find_index(request, query)
        log = caller.log
        reader = LogReader(log, request.app[SERVICE].storage)
    proof = await _inclusion(log, reader, index, read_number(query, "size"))
    return _file(proof) if as_file else json_response(_json(proof))


async def get_consistency(request: web.Request) -> web.Response:
    """Return the proof that a larger tree begins with a smaller one."""
    log = (await require_reader(request, FOLLOWERS)).log
    query = read_query(request, "from", "to")
    old, new = require_number(query, "from"), require_number(query, "to")
    if not 0 < old <= new:
        raise Problem("malformed", "from is at least 1 and at most to")
    reader = LogReader(log, request.app[SERVICE].storage)
    hashes = await reader.consistency(old, new)
    return json_response({"from": old, "to": new, "hashes": _encode(hashes)})


async def get_range(request: web.Request) -> web.Response:
    """Return the proof that a tree holds a range of leaves."""
    log = (await require_reader(request, MONITORS)).log
    query = read_query(request, "start", "end", "size")
    start, end = require_number(query, "start"), require_number(query, "end")
    size = read_number(query, "size")
    reader = LogReader(log, request.app[SERVICE].storage)
    if size is None:
        size = (await covering_checkpoint(log, end))[0].size
    if not start < end <= size:
        raise Problem("malformed", "start is below end, and end at most size")
    hashes = await reader.range(start, end, size)
    return json_response(
        {"start": start, "end": end, "size": size, "hashes": _encode(hashes)}
    )


async def _inclusion(
    log: Log, reader: LogReader, index: int, size: int | None
) -> _Inclusion:
    note = None
    if size is None:
        head, note = await covering_checkpoint(log, index + 1)
        size = head.size
    elif (served := await served_or_none(log)) is not None and served[0].size == size:
        note = served[1]
    hashes = await reader.inclusion(index, size)
    return _Inclusion(
        index,
        size,
        leaf_hash(await reader.leaf(index)),
        _encode(hashes),
        # Nothing but a released head is ever signed, and no other is shown than the one
        # that is served.
        note,
    )


def _json(proof: _Inclusion) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {
        "index": proof.index,
        "size": proof.size,
        "leaf_hash": encode_base64(proof.leaf_hash),
        "hashes": [*proof.hashes],
    }
    if proof.note is not None:
        body["checkpoint"] = proof.note
    return body


def _file(proof: _Inclusion) -> web.Response:
    if proof.note is None:
        raise Problem(
            "not-acceptable",
            "a proof file holds a checkpoint, and there is none of that size; leave"
            " out size, or take JSON",
        )
    text = format_proof_lines(proof.index, proof.hashes, proof.note)
    return text_response(text, PROOF_TYPE)


def _wants_file(request: web.Request, query: dict[str, str]) -> bool:
    """Tell whether the proof file is asked for; `as` goes before `Accept`."""
    chosen = read_choice(query, "as", "file", "json")
    if chosen is not None:
        return chosen == "file"
    types = [
        item.partition(";")[0].strip().lower()
        for item in request.headers.get(hdrs.ACCEPT, "").split(",")
    ]
    return PROOF_TYPE in types and "application/json" not in types


def _encode(hashes: list[bytes]) -> list[str]:
    return [encode_base64(each) for each in hashes]
