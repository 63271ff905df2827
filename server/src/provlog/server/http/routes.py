"""Which method and path is whose."""

from aiohttp import web

from provlog.server.http import ops, read, submit


def routes() -> list[web.RouteDef]:
    """Return the routes of the API."""
    return [
        web.post("/logs/{log}/events", submit.post_events),
        web.get("/logs/{log}/checkpoint", read.get_checkpoint),
        web.get("/logs/{log}/tile/{path:.+}", read.get_tile),
        web.get("/healthz", ops.get_health),
        web.get("/readyz", ops.get_ready),
    ]
