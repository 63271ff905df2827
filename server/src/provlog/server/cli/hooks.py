"""What an operator enters at a provider, so that it delivers to a source's hook."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import click

from provlog.merkle.encoding import JsonValue
from provlog.server.cli.common import ACTOR
from provlog.server.cli.urls import PUBLIC_URL_VARIABLE
from provlog.server.delivery import hook_of
from provlog.server.errors import ConfigurationError
from provlog.server.log import Log
from provlog.server.service import Service
from provlog.server.storage.base import SourceRecord
from provlog.server.tokens import mint_token

HEADER = "Authorization"

public_url_option = click.option(
    "--public-url",
    default="http://127.0.0.1:8470",
    show_default=True,
    envvar=PUBLIC_URL_VARIABLE,
    help=f"Where the provider reaches the server.  [env: {PUBLIC_URL_VARIABLE}]",
)


@dataclass(frozen=True, slots=True)
class SignedAccess:
    """The address of a hook whose deliveries are signed, and how."""

    url: str
    header: str
    file: Path

    def json(self) -> dict[str, JsonValue]:
        """Return it as JSON."""
        return {"url": self.url, "header": self.header, "secret_file": str(self.file)}

    def text(self) -> str:
        """Return it as lines to paste from."""
        return (
            "enter this at the provider:\n"
            f"  URL                     {self.url}\n"
            f"  Secret                  what stands in {self.file}\n"
            f"  HMAC-SHA256 in header   {self.header}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class HookAccess:
    """The address of a source's hook, and the header that opens it."""

    url: str
    secret: str

    def json(self) -> dict[str, JsonValue]:
        """Return it as JSON."""
        return {"url": self.url, "header": HEADER, "value": self.secret}

    def text(self) -> str:
        """Return it as lines to paste from."""
        return (
            "enter this at the provider (the secret is shown once):\n"
            f"  URL                     {self.url}\n"
            f"  Authentication field    {HEADER}\n"
            f"  Authentication secret   {self.secret}"
        )


async def mint_hook(
    service: Service, log: Log, source: SourceRecord, public_url: str
) -> HookAccess | SignedAccess | None:
    """Return the access to a new hook of a source; None where it can have none.

    Its token does nothing but deliver to this source, and is recorded by an entry.
    Where the source's settings say that deliveries are signed, there is no token.
    """
    if hook_of(source) is None:
        return None
    url = hook_url(public_url, log.record.name, source.uri)
    settings = service.settings.find(log.record.name, source.uri)
    if settings is not None and settings.hook is not None:
        file = settings.file(settings.hook.hmac_secret_file)
        return SignedAccess(url, settings.hook.hmac_header, file)
    minted = mint_token(
        logs=[log.id],
        roles=["hook"],
        sources=[source.uri],
        now=service.clock.now(),
        note=f"hook of {source.uri}"[:200],
    )
    await service.store_token(log, minted.record, ACTOR)
    return HookAccess(url, f"Bearer {minted.text}")


async def require_hook(service: Service, log: Log, uri: str) -> None:
    """Raise `ConfigurationError` for a source whose hook would answer nobody."""
    source = await service.storage.source(log.id, uri)
    if source is None:
        raise ConfigurationError(
            f"log {log.record.name} has no source {uri}: register it with source create"
        )
    if hook_of(source) is None:
        raise ConfigurationError(
            f"source {uri} is registered with {source.connector or 'no connector'},"
            " which takes no deliveries"
        )


def hook_url(public_url: str, log: str, source: str) -> str:
    """Return the address of a source's hook."""
    return f"{public_url}/logs/{log}/hooks/{quote(source, safe='')}"
