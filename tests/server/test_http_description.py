"""The API's description is of use to people: words and examples, and they are right."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from provlog.server.intake.connectors import CONNECTORS
from provlog.server.open_logs import MAX_LOGS
from support.api_contract import ApiContract
from support.generated_calls import described
from support.instances import served

DOCUMENT = described()
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
]


def parameters() -> Iterator[dict[str, Any]]:
    for item in DOCUMENT["paths"].values():
        for holder in (item, *item.values()):
            if isinstance(holder, dict):
                yield from map(ApiContract().resolve, holder.get("parameters", []))


def fits(value: object, schema: dict[str, Any]) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    validator = jsonschema.Draft202012Validator(
        whole, format_checker=jsonschema.FormatChecker()
    )
    return bool(validator.is_valid(value))


@pytest.mark.parametrize(
    ("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS]
)
def test_each_operation_says_what_it_is_for_and_who_may_use_it(
    name: str, operation: dict[str, Any]
) -> None:
    assert operation["operationId"].isidentifier()
    assert operation["summary"]
    assert operation["description"].endswith(".")
    assert operation["tags"]
    names = [other["operationId"] for _, other in OPERATIONS]
    assert names.count(operation["operationId"]) == 1
    for status, response in operation["responses"].items():
        assert ApiContract().resolve(response)["description"], status


def test_each_parameter_is_described_and_its_example_fits() -> None:
    for parameter in parameters():
        assert parameter["description"], parameter["name"]
        assert "example" in parameter or not parameter["required"], parameter["name"]
        if "example" in parameter:
            assert fits(parameter["example"], parameter["schema"]), parameter["name"]


def test_each_body_has_an_example_that_fits() -> None:
    bodies = [
        (media_type, content)
        for _, operation in OPERATIONS
        for media_type, content in operation.get("requestBody", {})
        .get("content", {})
        .items()
    ]
    assert len(bodies) == 10
    for media_type, content in bodies:
        assert fits(content["example"], content["schema"])
        if media_type == "application/x-ndjson":
            event = {"$ref": "#/components/schemas/Event"}
            for line in content["example"].splitlines():
                assert fits(json.loads(line), event)


async def test_each_example_of_a_body_is_taken(tmp_path: Path) -> None:
    async with served(tmp_path, sources=("*",)) as log:
        for name, operation in OPERATIONS:
            path = name.removeprefix("POST ").replace("{log}", "main")
            if not name.startswith("POST") or "hooks" in path:
                continue
            role = "submitter" if path.endswith("events") else "admin"
            for media_type, content in operation["requestBody"]["content"].items():
                example = content["example"]
                body = example.encode() if isinstance(example, str) else example
                reply = await log.post(
                    body, role=role, media_type=media_type, path=path
                )
                assert reply.status in (200, 201), (name, reply.body)
                results = reply.json().get("results", ())
                assert {each["status"] for each in results} <= {200, 201}


def test_the_bound_of_logs_is_the_code_s() -> None:
    logs = DOCUMENT["components"]["schemas"]["LogList"]["properties"]["logs"]
    assert logs["maxItems"] == MAX_LOGS
    for name, operation in OPERATIONS:
        if name.endswith(" /logs"):
            assert f"{MAX_LOGS:,} logs" in operation["description"]


def test_every_connector_is_among_formats_and_those_of_new_sources() -> None:
    [format_] = [each for each in parameters() if each["name"] == "format"]
    assert format_["schema"]["enum"] == sorted(CONNECTORS)
    connector = DOCUMENT["components"]["schemas"]["NewSource"]["properties"]
    assert connector["connector"]["enum"] == [*sorted(CONNECTORS), None]
