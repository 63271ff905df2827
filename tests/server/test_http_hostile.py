"""What no generator sends by itself: NUL, half surrogates, broken encodings, doubles.

Each request goes out byte for byte, and has to be answered: never with a fault of the
server's, never with a line in its log, and a refusal never repeats what was sent.
"""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import http_exceptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provlog.server.http.app import HttpSettings
from provlog.server.http.routes import routes
from support.events import event_json
from support.hostile import (
    BROKEN_ESCAPES,
    CANARY,
    HOSTILE_BYTES,
    HOSTILE_JSON,
    escaped,
    replacements,
)
from support.loopback import Loopback, serving
from support.raw_http import Header, RawAnswer, exchange, request_bytes

COMMON = settings(
    max_examples=250,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
BODIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("/logs/main/events", "submitter", event_json()),
    ("/logs", "admin", {"name": "n", "origin": "a.example/n", "public": False}),
    (
        "/logs/main/tokens",
        "admin",
        {"roles": ["submitter"], "sources": ["a"], "note": "n", "rate": 1},
    ),
    ("/logs/main/sources", "admin", {"uri": "u", "ns": "n", "connector": None}),
)
MANY = ("application/cloudevents-batch+json", "application/x-ndjson")
TEMPLATES = tuple(
    (route.method.encode(), route.path.replace(":.+", "").encode())
    for route in routes()
)


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    folder = tmp_path_factory.mktemp("hostile")
    with serving(folder, settings=HttpSettings(poll_seconds=0)) as running:
        yield running


@pytest.fixture(autouse=True)
def _silent(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    loud = [
        each.getMessage()
        for each in caplog.get_records("call")
        if each.levelno >= logging.ERROR
    ]
    # aiohttp says so much of what is no HTTP: who sent it, and the kind.
    kinds = {line.rpartition(": ")[2] for line in loud}
    assert {kind for kind in kinds if not hasattr(http_exceptions, kind)} == set()


def bearer(loopback: Loopback, role: str) -> Header:
    return b"Authorization", loopback.bearer(role)["Authorization"].encode()


def judge(answer: RawAnswer) -> None:
    """Fail unless the server took it calmly."""
    assert answer.status < 500, answer.body[:300]
    if answer.status >= 400:
        assert CANARY not in answer.body
        problem = answer.problem
        if problem is None:
            # The parser of HTTP itself refuses what is no request.
            assert (answer.status, answer.media_type) == (400, "text/plain")
        else:
            assert problem["status"] == answer.status


@COMMON
@given(
    template=st.sampled_from(TEMPLATES),
    pieces=st.lists(escaped(), min_size=3, max_size=3),
    role=st.sampled_from(["admin", "auditor", "submitter"]),
)
def test_hostile_paths(
    loopback: Loopback, template: tuple[bytes, bytes], pieces: list[bytes], role: str
) -> None:
    method, path = template
    for name, piece in zip((b"{log}", b"{path}", b"{index}"), pieces, strict=True):
        path = path.replace(name, piece)
    request = request_bytes(method, path, [bearer(loopback, role)])
    judge(exchange(loopback.url, request))


@COMMON
@given(
    place=st.sampled_from(
        [
            b"checkpoint",
            b"proofs/inclusion",
            b"proofs/consistency",
            b"proofs/range",
            b"entries",
            b"entries/0",
            b"tile/0/000.p/1",
        ]
    ),
    names=st.lists(
        st.sampled_from(
            b"index size start end from to source id as newer_than timeout".split()
        )
        | escaped(),
        max_size=4,
    ),
    values=st.lists(escaped() | st.just(b"1"), min_size=4, max_size=4),
)
def test_hostile_queries(
    loopback: Loopback, place: bytes, names: list[bytes], values: list[bytes]
) -> None:
    query = b"&".join(
        name + b"=" + value for name, value in zip(names, values, strict=False)
    )
    target = b"/logs/main/" + place + b"?" + query
    request = request_bytes(b"GET", target, [bearer(loopback, "auditor")])
    judge(exchange(loopback.url, request))


@COMMON
@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                b"Authorization Content-Type Content-Encoding Accept If-None-Match"
                b" Content-Length Transfer-Encoding Expect ce-specversion ce-id"
                b" ce-source ce-type ce-time ce-a ce-data Host X-Forwarded-For".split()
            ),
            st.sampled_from(HOSTILE_BYTES + BROKEN_ESCAPES)
            | st.binary(max_size=20)
            | st.sampled_from(
                [
                    b"Bearer",
                    b"Bearer \xff",
                    b"Bearer plt_000000000000_" + b"A" * 43,
                    b"application/json",
                    b"application/json;charset=utf-16",
                    b"application/cloudevents+json",
                    b"gzip",
                    b"chunked",
                    b"100-continue",
                    b"1.0",
                    b"a.b",
                ]
            ),
        ),
        max_size=5,
    ),
    target=st.sampled_from(
        [
            (b"POST", b"/logs/main/events"),
            (b"GET", b"/logs/main/tile/0/000.p/1"),
            (b"GET", b"/nowhere"),
            (b"PUT", b"/logs"),
        ]
    ),
    body=st.sampled_from([b"", b"{}", b"\0", b"0\r\n\r\n"]),
)
def test_hostile_headers(
    loopback: Loopback,
    headers: list[Header],
    target: tuple[bytes, bytes],
    body: bytes,
) -> None:
    both = [bearer(loopback, "submitter+auditor"), *headers]
    judge(exchange(loopback.url, request_bytes(*target, both, body)))


@settings(COMMON, max_examples=500)
@given(
    target=st.sampled_from(BODIES),
    fragment=st.sampled_from(HOSTILE_JSON) | st.binary(max_size=12),
    data=st.data(),
)
def test_hostile_json(
    loopback: Loopback,
    target: tuple[str, str, dict[str, Any]],
    fragment: bytes,
    data: st.DataObject,
) -> None:
    path, role, valid = target
    body = data.draw(st.sampled_from(replacements(valid, fragment)))
    media_type = "application/json"
    if path.endswith("events"):
        media_type = data.draw(st.sampled_from((media_type, *MANY)))
    headers = [bearer(loopback, role), (b"Content-Type", media_type.encode())]
    answer = exchange(
        loopback.url, request_bytes(b"POST", path.encode(), headers, body)
    )
    judge(answer)
    if media_type in MANY and answer.status == 200:
        for result in json.loads(answer.body)["results"]:
            assert result["status"] < 500


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "DELETE"])
def test_other_methods_are_told_what_is_allowed(
    loopback: Loopback, method: str
) -> None:
    taken: dict[bytes, set[str]] = {}
    for known, path in TEMPLATES:
        taken.setdefault(path, set()).add(known.decode())
    for path, methods in taken.items():
        if method in methods:
            continue
        target = re.sub(rb"\{\w+\}", b"0", path)
        answer = exchange(loopback.url, request_bytes(method.encode(), target))
        problem = answer.problem
        assert problem is not None
        assert problem["type"] == "urn:provlog:problem:method-not-allowed"
        for each in methods:
            assert each in problem["detail"]


@pytest.mark.parametrize("expected", [b"\xff\xfe", b"what is not known"])
@pytest.mark.parametrize(
    ("method", "target"),
    [(b"GET", b"/a%0Ab"), (b"OPTIONS", b"*"), (b"CONNECT", b"x:1")],
)
def test_what_is_no_path_is_refused_by_us_whatever_it_expects(
    loopback: Loopback, method: bytes, target: bytes, expected: bytes
) -> None:
    request = request_bytes(method, target, [(b"Expect", expected)])
    answer = exchange(loopback.url, request)
    judge(answer)
    assert answer.status == (400 if method == b"CONNECT" else 404)
