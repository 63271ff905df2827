"""Requests as the application meets them first: what they expect, and for no path."""

from collections.abc import Iterable
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

NOWHERE: Final = "/{unmatched}"
"""The canonical path of whatever is no path of the application's."""


def add_routes(app: web.Application, routes: Iterable[web.RouteDef]) -> None:
    """Add routes, and one below them all for what none of them takes.

    An expectation that is not known is ignored, as RFC 9110 (10.1.1) allows: aiohttp
    itself would answer it in words of its own, and fail where they are not UTF-8.
    """
    app.add_routes(
        [
            web.route(
                route.method, route.path, route.handler, expect_handler=_expectation
            )
            for route in routes
        ]
    )
    nowhere = _Nowhere()
    nowhere.add_route(hdrs.METH_ANY, _refuse, expect_handler=_expectation)
    app.router.register_resource(nowhere)


class _Nowhere(web.DynamicResource):
    """Takes whatever is asked for: paths with line ends, and `*`."""

    def __init__(self) -> None:
        super().__init__("/{unmatched:.*}")

    async def resolve(
        self,
        request: web.Request,  # noqa: ARG002  whatever it is
    ) -> tuple[web.UrlMappingMatchInfo, set[str]]:
        [route] = self
        return web.UrlMappingMatchInfo({}, route), set()


async def _expectation(request: web.Request) -> None:
    known = request.headers[hdrs.EXPECT].lower() == "100-continue"
    if known and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The answer itself has not begun.
        request.writer.output_size = 0


async def _refuse(request: web.Request) -> web.StreamResponse:
    """Raise 405 where the path is one of ours, 404 where it is not."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource.canonical != NOWHERE:
            allowed |= (await resource.resolve(request))[1]
    if allowed:
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    raise web.HTTPNotFound
