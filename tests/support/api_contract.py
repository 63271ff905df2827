"""Holds every answer of a served application against its own description.

A middleware around the whole application notes each answer that `openapi.json` does
not announce: its status, its content type, or a body that its schema does not fit.
"""

from typing import Any

import jsonschema  # type: ignore[import-untyped]
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from provlog.merkle.encoding import loads_json
from provlog.server.http.ops import description
from provlog.server.http.unmatched import NOWHERE

LARGEST_BODY = 1 << 20
NO_ROUTE = (404, 405)


class ApiContract:
    """The description, and the answers that did not keep it."""

    def __init__(self) -> None:
        document: Any = loads_json(description()[0])
        self.document: dict[str, Any] = document
        self.violations: list[str] = []

    def middleware(self) -> Middleware:
        """Return the middleware that looks at every answer."""

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            found = self._judge(request, response)
            if found is not None:
                resource = request.match_info.route.resource
                self.violations.append(f"{request.method} {resource}: {found}")
            return response

        return watch

    def resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        """Return the component a reference stands for, or the node itself."""
        while "$ref" in node:
            found: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def _judge(self, request: web.Request, response: web.StreamResponse) -> str | None:
        resource = request.match_info.route.resource
        problem = self.document["components"]["schemas"]["Problem"]
        if resource is None or resource.canonical == NOWHERE:
            return self._fits(problem, response) if _no_route(response) else "a route?"
        method = "get" if request.method == "HEAD" else request.method.lower()
        operation = self.document["paths"][resource.canonical][method]
        announced = operation["responses"].get(str(response.status))
        if announced is None:
            return f"status {response.status} is not announced"
        announced = self.resolve(announced)
        for name, header in announced.get("headers", {}).items():
            if self.resolve(header).get("required") and name not in response.headers:
                return f"no header {name}"
        contents = announced.get("content")
        if contents is None or request.method == "HEAD":
            return None
        content = contents.get(response.content_type)
        if content is None:
            return f"content type {response.content_type} is not announced"
        return self._fits(content.get("schema", {}), response)

    def _fits(self, schema: dict[str, Any], response: web.StreamResponse) -> str | None:
        body = response.body if isinstance(response, web.Response) else None
        if not response.content_type.endswith("json") or not isinstance(body, bytes):
            return None
        if len(body) > LARGEST_BODY:
            return None
        whole = {**schema, "components": self.document["components"]}
        validator = jsonschema.Draft202012Validator(whole)
        error = jsonschema.exceptions.best_match(
            validator.iter_errors(loads_json(body))
        )
        return None if error is None else f"{error.json_path}: {error.message[:200]}"


def _no_route(response: web.StreamResponse) -> bool:
    return response.status in NO_ROUTE
