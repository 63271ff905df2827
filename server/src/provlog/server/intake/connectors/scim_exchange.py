"""SCIM requests, one by one: what each asked for, and what was answered.

An exchange is one request, or one operation of a Bulk request (RFC 7644 section 3.7).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final
from urllib.parse import unquote

from provlog.merkle.encoding import JsonValue
from provlog.server.intake.connectors.scim_steps import (
    Attributes,
    attribute,
    read_members,
    read_steps,
)

MAX_OPERATIONS: Final = 1000
BULK_ID: Final = "bulkId:"

_ENDPOINTS = {name.lower(): name for name in ("Users", "Groups", "Me", "Bulk")}
_VERSION = re.compile(r"v[0-9]+", re.I)
_STATUS = re.compile(r"[1-5][0-9]{2}", re.ASCII)
_USER_ONLY = frozenset(
    {"active", "username", "nickname", "emails", "name", "usertype", "password"}
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer; `status` and `response` are None without one.

    `endpoint` is `Users`, `Groups`, `Me`, `Bulk`, or the name of another resource's,
    "" where it is not known; `inferred` says that it was read off the body.
    `number` is the place of an operation in its Bulk request, counted from 1.
    """

    method: str
    endpoint: str
    resource_id: str | None = None
    request: JsonValue = None
    response: JsonValue = None
    before: Attributes | None = None
    status: int | None = None
    location: JsonValue = None
    inferred: bool = False
    number: int | None = None
    flags: tuple[str, ...] = field(default=())


def read_exchange(record: Attributes) -> Exchange:
    """Return the request that a record tells of; a Bulk request is still whole."""
    method = record.get("method")
    path = record.get("path")
    request = record.get("request", record.get("body"))
    before = record.get("before")
    endpoint, resource_id = split_path(path) if isinstance(path, str) else ("", None)
    inferred = "" if endpoint else _endpoint_of(request)
    return Exchange(
        method.upper() if isinstance(method, str) else "",
        endpoint or inferred,
        resource_id,
        request,
        record.get("response"),
        before if isinstance(before, dict) else None,
        read_status(record.get("status")),
        record.get("location"),
        bool(inferred),
    )


def split_path(path: str) -> tuple[str, str | None]:
    """Return the endpoint and the resource's id that a path names.

    What stands before `/Users` and the like is passed over; for other resources, what
    stands before and in `/v2` or `/scim`.
    """
    parts = [part for part in path.partition("?")[0].split("/") if part]
    for place, part in enumerate(parts):
        if part.lower() in _ENDPOINTS:
            return _ENDPOINTS[part.lower()], _id_of(parts[place + 1 :])
    for known in (_VERSION, re.compile("scim", re.I)):
        for place, part in enumerate(parts):
            if known.fullmatch(part):
                return _named(parts[place + 1 :])
    return _named(parts)


def read_status(value: JsonValue) -> int | None:
    """Return an HTTP status that is a number, text, or `{"code": …}`."""
    if isinstance(value, dict):
        value = value.get("code")
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value) if not isinstance(value, int) or 0 < value < 1000 else ""
    return int(text) if _STATUS.fullmatch(text) else None


def last_segment(url: JsonValue) -> str | None:
    """Return the resource's id at the end of a location, None where there is none."""
    if not isinstance(url, str):
        return None
    return _id_of(url.partition("?")[0].rstrip("/").rpartition("/")[2:])


def operations(bulk: Exchange) -> list[Exchange]:
    """Return the operations of a Bulk request, each with its own answer.

    `bulkId:` references to what the request itself made become the ids that were given.
    """
    asked = list(islice(_listed(bulk.request), MAX_OPERATIONS))
    answers = _match(asked, list(islice(_listed(bulk.response), MAX_OPERATIONS)))
    made = {
        name: found
        for each, answer in zip(asked, answers, strict=True)
        if isinstance(name := each.get("bulkId"), str)
        and (found := last_segment(answer.get("location"))) is not None
    }
    return [
        _operation(bulk, number, each, answer, made)
        for number, (each, answer) in enumerate(
            zip(asked, answers, strict=True), start=1
        )
    ]


def _operation(
    bulk: Exchange,
    number: int,
    asked: Attributes,
    answer: Attributes,
    made: dict[str, str],
) -> Exchange:
    one = read_exchange(asked | {"request": asked.get("data"), "before": None})
    wanted = one.resource_id or ""
    if wanted.startswith(BULK_ID):
        one = replace(one, resource_id=made.get(wanted.removeprefix(BULK_ID)))
    whole_failed = bulk.status is not None and bulk.status >= 300
    return replace(
        one,
        request=_resolved(one.request, made),
        response=bulk.response if whole_failed else answer.get("response"),
        status=bulk.status if whole_failed else read_status(answer.get("status")),
        location=answer.get("location"),
        number=number,
    )


def _match(asked: list[Attributes], given: list[Attributes]) -> list[Attributes]:
    """Return the answer of each operation, an empty one where there is none.

    By `bulkId` where the request has one, else by its place, if that is one of the same
    method without `bulkId`. Answers are in no order that is promised: one that names
    another resource is not taken, and one elsewhere that names this one is.
    """
    named = {each["bulkId"]: each for each in given if _is_text(each.get("bulkId"))}
    located: dict[tuple[str, str], Attributes] = {}
    for each in given:
        found = _located(each)
        if found is not None and not _is_text(each.get("bulkId")):
            located.setdefault((str(each.get("method")).upper(), found), each)
    return [
        named.get(each["bulkId"], {})
        if _is_text(each.get("bulkId"))
        else _unnamed(each, given[place] if place < len(given) else {}, located)
        for place, each in enumerate(asked)
    ]


def _unnamed(
    asked: Attributes,
    answer: Attributes,
    located: dict[tuple[str, str], Attributes],
) -> Attributes:
    path, method = asked.get("path"), str(asked.get("method")).upper()
    wanted = (split_path(path)[1] or "").lower() if isinstance(path, str) else ""
    at_place = _at_place(asked, answer)
    there = _located(at_place)
    if there == wanted or not wanted or wanted.startswith(BULK_ID.lower()):
        return at_place
    return located.get((method, wanted), at_place if there is None else {})


def _located(answer: Attributes) -> str | None:
    found = last_segment(answer.get("location"))
    return None if found is None else found.lower()


def _at_place(asked: Attributes, answer: Attributes) -> Attributes:
    method, answered = asked.get("method"), answer.get("method", asked.get("method"))
    same = _is_text(method) and _is_text(answered)
    fits = same and str(method).upper() == str(answered).upper()
    return {} if _is_text(answer.get("bulkId")) or not fits else answer


def _resolved(body: JsonValue, made: dict[str, str]) -> JsonValue:
    """Return a request whose members are named by the ids they were given."""
    if not isinstance(body, dict):
        return body
    if isinstance(attribute(body, "Operations"), list):
        steps = attribute(body, "Operations")
        listed = steps if isinstance(steps, list) else []
        changed = [_resolved_value(each, made) for each in listed]
        return body | {"Operations": changed}
    return {name: _resolved_list(value, made) for name, value in body.items()}


def _resolved_value(step: JsonValue, made: dict[str, str]) -> JsonValue:
    if not isinstance(step, dict):
        return step
    return {name: _resolved_list(value, made) for name, value in step.items()}


def _resolved_list(value: JsonValue, made: dict[str, str]) -> JsonValue:
    if not isinstance(value, list):
        return value
    return [_resolved_member(each, made) for each in value]


def _resolved_member(member: JsonValue, made: dict[str, str]) -> JsonValue:
    if not isinstance(member, dict):
        return member
    named = member.get("value")
    if not isinstance(named, str) or not named.startswith(BULK_ID):
        return member
    found = made.get(named.removeprefix(BULK_ID))
    return member if found is None else member | {"value": found}


def _listed(body: JsonValue) -> Iterator[Attributes]:
    found = attribute(body, "Operations") if isinstance(body, dict) else None
    for each in found if isinstance(found, list) else []:
        yield each if isinstance(each, dict) else {}


def _endpoint_of(body: JsonValue) -> str:
    """Return the endpoint that a body without path must have been for, or ""."""
    if not isinstance(body, dict):
        return ""
    schemas = attribute(body, "schemas")
    for urn in schemas if isinstance(schemas, list) else []:
        for end, endpoint in ((":user", "Users"), (":group", "Groups")):
            if isinstance(urn, str) and urn.lower().endswith(f"core:2.0{end}"):
                return endpoint
    roots = {re.split(r"[.\[]", step.path)[0].lower() for step in read_steps(body)}
    if "members" in roots:
        return "Groups"
    return "Users" if roots & _USER_ONLY else ""


def members_of(resource: JsonValue) -> list[Attributes]:
    """Return the members of a group."""
    found = attribute(resource, "members") if isinstance(resource, dict) else None
    return [] if found is None else read_members(found)


def _named(parts: list[str]) -> tuple[str, str | None]:
    return (parts[0], _id_of(parts[1:])) if parts else ("", None)


def _id_of(parts: "list[str] | tuple[str, ...]") -> str | None:
    return unquote(parts[0]) or None if parts else None


def _is_text(value: JsonValue) -> bool:
    return isinstance(value, str)
