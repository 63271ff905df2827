"""Calls that schemathesis makes up from the API's description, and what judges them."""

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, CheckContext, GenerationMode, Response
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from provlog.server.http.ops import description
from provlog.server.intake.cloudevents import STRUCTURED

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]
AnyCase: TypeAlias = "Case[Any]"

ABOVE_THE_SCHEMA: Mapping[str, frozenset[int]] = {
    # format and source come together, an event is more than its JSON, and one in
    # application/json may be anything; a schema says none of it.
    "submitEvents": frozenset({400, 415, 422}),
    "getInclusion": frozenset({400, 406}),  # index, or source and id; file or size
    "getConsistency": frozenset({400}),  # from <= to
    "getRange": frozenset({400}),  # start < end <= size
    "createToken": frozenset({422}),  # expires in the future
}
REJECTIONS = frozenset({400, 406, 410, 413, 415, 422})
HTTP_SECONDS = 30
TOKENS = 3


def described() -> dict[str, Any]:
    """Return the API's description."""
    document: dict[str, Any] = json.loads(description()[0])
    return document


def aimed(parameters: Mapping[str, Sequence[str]], largest: int) -> dict[str, Any]:
    """Return the description, narrowed to what an instance holds.

    Text parameters of the names in `parameters` have these values, and numbers are at
    most `largest`: then calls get past the first look-up.
    """
    document = described()
    for parameter in _parameters(document):
        schema = parameter["schema"]
        if parameter["name"] in parameters:
            parameter["schema"] = {"enum": list(parameters[parameter["name"]])}
        elif schema.get("type") == "integer":
            schema["maximum"] = largest
    return document


def of_one_event(document: dict[str, Any]) -> dict[str, Any]:
    """Return a description of submitting one event, and of nothing else."""
    narrow = copy.deepcopy(document)
    path = narrow["paths"]["/logs/{log}/events"]
    submit = path["post"]
    submit["parameters"] = []
    content = submit["requestBody"]["content"]
    submit["requestBody"]["content"] = {STRUCTURED: content[STRUCTURED]}
    narrow["paths"] = {"/logs/{log}/events": path}
    return narrow


def _parameters(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document["components"]["parameters"].values()
    for path in document["paths"].values():
        for holder in path.values():
            items = holder if isinstance(holder, list) else holder.get("parameters", [])
            yield from (item for item in items if "name" in item)


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Yield the operations of a description, in its order."""
    schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config())
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        yield result.ok()


def accepted_as_valid(ctx: CheckContext, response: Response, case: AnyCase) -> None:
    """Fail where what the description calls valid was refused for its form."""
    assert case.meta is not None
    operation = case.operation.definition.raw["operationId"]
    tolerated = ABOVE_THE_SCHEMA.get(operation, frozenset())
    if case.meta.generation.mode.is_positive:
        assert response.status_code not in REJECTIONS - tolerated, response.text


def guarded_headers(ctx: CheckContext, response: Response, case: AnyCase) -> None:
    """Fail where an answer names software, may be sniffed, or may be stored."""
    headers = response.headers
    assert "server" not in headers
    assert headers["x-content-type-options"] == ["nosniff"]
    [cached] = headers["cache-control"]
    immutable = case.path.startswith("/logs/{log}/tile/") and response.status_code < 400
    assert cached.endswith("immutable") if immutable else cached == "no-store"


CHECKED: Sequence[CheckFunction] = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    accepted_as_valid,
    guarded_headers,
)
"""What each answer to a generated call has to pass."""


@dataclass
class Caller:
    """Makes each generated call under several tokens, and counts what it makes.

    `bearers` are the headers of each role; every answer has to pass all `checks`.
    """

    url: str
    bearers: Mapping[str, Mapping[str, str]]
    count: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    checks: list[CheckFunction] = field(default_factory=lambda: [*CHECKED])

    def __post_init__(self) -> None:
        self._session = requests.Session()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(
        self,
        operation: Operation,
        mode: GenerationMode,
        examples: int,
    ) -> None:
        """Make calls from up to `examples` cases of one operation.

        They are the same ones in every run. A case costs several times as much as a
        call: each is called under up to `TOKENS` of the tokens.
        """
        cases = operation.as_strategy(generation_mode=mode)
        count = min(TOKENS, len(self.bearers))
        roles = st.permutations(sorted(self.bearers)).map(lambda each: each[:count])

        @_bounded(examples)
        @given(case=cases, chosen=roles)
        def make(case: AnyCase, chosen: Sequence[str]) -> None:
            for role in chosen:
                self.one(case, role)

        try:
            make()
        except Unsatisfiable:
            # Nothing about this operation can be wrong: it takes nothing.
            assert mode is GenerationMode.NEGATIVE

    def one(self, case: AnyCase, role: str) -> Response:
        """Make one call under a role's token and check the answer."""
        headers = dict(self.bearers[role])
        response = case.call(
            base_url=self.url,
            session=self._session,
            headers=headers,
            timeout=HTTP_SECONDS,
        )
        self.count += 1
        self.statuses[response.status_code] += 1
        case.validate_response(response, checks=self.checks)
        return response


def _bounded(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    # No shrinking: the server remembers, so the same call need not fail again.
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
