"""Lets a test fail when something secret or personal is shown by what it ran.

Everything that shows something is wrapped here once: loggers, HTTP answers, metrics;
`support.servers` adds what processes print. A test's findings fail it; the terminal
summary ends with how much was searched.
"""

import base64
import copy
import json
import logging
from collections import Counter
from collections.abc import Generator, Mapping
from functools import wraps
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from prometheus_client import generate_latest

from provlog.merkle.cosigners import Cosigner
from provlog.merkle.keys import SigningKey
from provlog.server.http.access import HEADER
from provlog.server.keyring import LogKeys
from provlog.server.metrics import Metrics
from provlog.server.tokens import MintedToken
from support.leaks import LOG, METRICS, PROBLEM, WATCH

_PROPERTY = "searched"
_PLAIN = logging.Formatter()
_STANDARD = frozenset((*logging.makeLogRecord({}).__dict__, "message", "asctime"))

_metrics: list[Metrics] = []
_made: set[str] = set()


class _Records(logging.Handler):
    """Shows the watch every record: text, exception and further fields."""

    def emit(self, record: logging.LogRecord) -> None:
        own = copy.copy(record)
        further = {name: own.__dict__[name] for name in own.__dict__.keys() - _STANDARD}
        place = f"{record.name} {record.levelname}, {record.module}:{record.lineno}"
        WATCH.saw(LOG, place, f"{_PLAIN.format(own)} {further}")


def pytest_configure() -> None:
    root = logging.getLogger()
    root.setLevel(logging.INFO)  # what `serve` writes
    root.addHandler(_Records())
    _note_metrics()
    _note_tokens()
    _note_keys()
    _note_answers()


def _note_metrics() -> None:
    make = Metrics.__init__

    @wraps(make)
    def init(self: Metrics) -> None:
        make(self)
        _metrics.append(self)

    Metrics.__init__ = init  # type: ignore[method-assign]


def _note_tokens() -> None:
    make = MintedToken.__init__

    @wraps(make)
    def init(self: MintedToken, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        make(self, *arguments, **named)
        WATCH.note_token(self.text)

    MintedToken.__init__ = init  # type: ignore[method-assign]


def _note_keys() -> None:
    make = LogKeys.__init__

    @wraps(make)
    def init(self: LogKeys, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        make(self, *arguments, **named)
        origin = self.signing.name
        WATCH.note_key(f"the id key of {origin}", self.id_key)
        for epoch, key in self.epoch_keys.items():
            WATCH.note_key(f"the key of epoch {epoch} of {origin}", key)
        signers: list[SigningKey | Cosigner] = [self.signing, *self.further]
        signers += [] if self.mldsa is None else [self.mldsa]
        for signer in signers:
            # The base64 may hold plus signs itself.
            encoded = signer.encode().split("+", 4)[4]
            WATCH.note_text(f"the signing key of {origin}", encoded)
            seed = base64.b64decode(encoded)[1:]
            WATCH.note_key(f"the signing key of {origin}", seed)

    LogKeys.__init__ = init  # type: ignore[method-assign]


def _note_answers() -> None:
    """Note answers where they are made, and where those of other processes arrive."""
    prepare, read = web.StreamResponse.prepare, ClientResponse.read

    @wraps(prepare)
    async def made(self: web.StreamResponse, request: web.BaseRequest) -> Any:  # noqa: ANN401
        if isinstance(self, web.Response) and isinstance(self.body, bytes | None):
            _made.add(self.headers.get(HEADER, ""))
            place = f"{request.method} {self.status}"
            _note_answer(place, self.status, self.headers, self.body or b"")
        return await prepare(self, request)

    @wraps(read)
    async def arrived(self: ClientResponse) -> bytes:
        body = await read(self)
        if self.headers.get(HEADER) not in _made:
            place = f"{self.method} {self.status}"
            _note_answer(place, self.status, self.headers, body)
        return body

    web.StreamResponse.prepare = made  # type: ignore[method-assign]
    ClientResponse.read = arrived  # type: ignore[method-assign]


def _note_answer(
    place: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    if status >= 400:
        text = f"{body.decode('utf-8', 'replace')} {dict(headers)}"
        WATCH.saw(PROBLEM, place, text)
    elif headers.get("Content-Type", "").startswith("text/plain; version="):
        WATCH.saw(METRICS, place, body.decode())
    elif b'"results":[' in body and b'"problem":' in body:
        for result in json.loads(body)["results"]:
            if "problem" in result:
                WATCH.saw(PROBLEM, place, json.dumps(result["problem"]))


def _settle() -> None:
    """Search what was shown; fail where something was found."""
    for metrics in _metrics:
        WATCH.saw(METRICS, "at the end", generate_latest(metrics.registry).decode())
    _metrics.clear()
    _made.clear()
    if found := WATCH.findings():
        pytest.fail("\n".join(["what was run here leaks:", *found]), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    _settle()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    yield
    try:
        _settle()
    finally:
        counts = WATCH.take_counts()
        item.user_properties += [(_PROPERTY, list(pair)) for pair in counts.items()]


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    yield
    counts: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for name, value in report.user_properties:
                    if name == _PROPERTY:
                        counts[value[0]] += value[1]
    terminalreporter.section("searched for secrets and personal data")
    for kind, count in sorted(counts.items()):
        terminalreporter.line(f"{count:6} {kind}")
