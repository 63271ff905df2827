"""Which method and path is whose."""

from aiohttp import web

from provlog.server.http import (
    entries,
    hooks,
    manage,
    ops,
    proofs,
    read,
    sources_health,
    submit,
)


def routes() -> list[web.RouteDef]:
    """Return the routes of the API."""
    return [
        web.post("/logs/{log}/events", submit.post_events),
        web.get("/logs/{log}/hooks/{source}", hooks.get_hook),
        web.post("/logs/{log}/hooks/{source}", hooks.post_hook),
        web.get("/logs/{log}/checkpoint", read.get_checkpoint),
        web.get("/logs/{log}/announcements", read.get_announcements),
        web.get("/logs/{log}/tile/{path:.+}", read.get_tile),
        web.get("/logs/{log}/proofs/inclusion", proofs.get_inclusion),
        web.get("/logs/{log}/proofs/consistency", proofs.get_consistency),
        web.get("/logs/{log}/proofs/range", proofs.get_range),
        web.get("/logs/{log}/entries", entries.find_entry),
        web.get("/logs/{log}/entries/{index}", entries.get_entry),
        web.get("/logs", manage.list_logs),
        web.post("/logs", manage.create_log),
        web.get("/logs/{log}", manage.get_log),
        web.get("/logs/{log}/tokens", manage.list_tokens),
        web.post("/logs/{log}/tokens", manage.create_token),
        web.delete("/logs/{log}/tokens/{id}", manage.revoke_token),
        web.get("/logs/{log}/sources", manage.list_sources),
        web.post("/logs/{log}/sources", manage.create_source),
        web.get(
            "/logs/{log}/sources/{source}/health", sources_health.get_source_health
        ),
        web.get("/healthz", ops.get_health),
        web.get("/readyz", ops.get_ready),
        web.get("/openapi.json", ops.get_openapi),
    ]
