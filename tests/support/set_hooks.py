"""A served log with a source of security event tokens, and its hook."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from provlog.merkle.disclosures import parse_disclosure
from provlog.server.http.app import HttpSettings
from provlog.server.reader import LogReader
from provlog.server.source_settings import SettingsBook, SourceSettings
from provlog.server.storage.base import SourceRecord
from provlog.server.tokens import mint_token
from support.fake_set_transmitter import MEDIA_TYPE, MEDIA_TYPE_OF_MANY
from support.instances import Reply, Served, served
from support.sets import AUDIENCE, ISSUER, JWKS

SOURCE: Final = "urn:set:idp"
PATH: Final = f"/logs/main/hooks/{quote(SOURCE, safe='')}"


@dataclass
class Hook:
    """A served log with a source of tokens, and what opens its hook."""

    log: Served
    secret: str

    @property
    def url(self) -> str:
        """Where tokens are pushed."""
        return str(self.log.client.make_url(PATH))

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.log.log.released.size

    def configure(self, **issuer: Any) -> None:  # noqa: ANN401
        """Say who may issue; by default the issuer whose keys stand in a file."""
        (self.log.made.instance.folder / "keys.json").write_bytes(JWKS)
        keys = {} if "jwks_url" in issuer else {"keys_file": "keys.json"}
        table = {"issuer": ISSUER, "audience": AUDIENCE, **keys, **issuer}
        path = self.log.made.instance.folder / "set.toml"
        settings = SourceSettings(path, SOURCE, issuers=(table,))
        self.log.service.settings = SettingsBook({("main", SOURCE): settings})

    async def post(
        self, body: str | bytes, media_type: str = MEDIA_TYPE, secret: str | None = None
    ) -> Reply:
        """Return the reply to a push."""
        headers = {
            "Authorization": f"Bearer {self.secret if secret is None else secret}",
            "Content-Type": media_type,
        }
        sent = io.BytesIO(body.encode() if isinstance(body, str) else body)
        async with self.log.client.post(PATH, data=sent, headers=headers) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def many(self, sets: dict[str, Any]) -> Reply:
        """Return the reply to a push of many."""
        return await self.post(json.dumps({"sets": sets}), MEDIA_TYPE_OF_MANY)

    async def opened(self, index: int) -> dict[str, Any]:
        """Return the opened members of an entry."""
        entry = await LogReader(self.log.log, self.log.service.storage).entry(index)
        found = map(parse_disclosure, entry.disclosures or ())
        return {each.name: each.value for each in found}


@asynccontextmanager
async def hooked(folder: Path) -> AsyncIterator[Hook]:
    """Serve a log with a source of tokens, whose issuer's keys stand in a file."""
    async with served(folder, settings=HttpSettings(hook_seconds=5)) as running:
        source = SourceRecord(SOURCE, "idp", "set")
        await running.service.register_source(running.log, source, "test")
        now = running.service.clock.now()
        minted = mint_token(
            logs=[running.log.id], roles=["hook"], sources=[SOURCE], now=now
        )
        await running.service.store_token(running.log, minted.record, "test")
        made = Hook(running, minted.text)
        made.configure()
        yield made


def refusal(reply: Reply) -> str:
    """Return the code of a refusal, which has the form of RFC 8935 section 2.3."""
    assert reply.status == 400
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Content-Language"] == "en"
    body = reply.json()
    assert set(body) == {"err", "description"}
    assert body["description"]
    return str(body["err"])
