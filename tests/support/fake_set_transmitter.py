"""A transmitter of security event tokens on the loopback: keys, pushes and polls.

It behaves as RFC 8935 and RFC 8936 say: a pushed token is sent again until it is
acknowledged or refused for good, and a polled one is handed out until it is in `ack` or
`setErrs`. Its keys can be rotated at any time.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from support.sets import ISSUER, Key, claims_of, key_set, make_key, sign

TOKEN: Final = "a-token-of-the-transmitter-s"
MEDIA_TYPE: Final = "application/secevent+jwt"
MEDIA_TYPE_OF_MANY: Final = "application/secevents+json"


@dataclass
class FakeTransmitter:
    """Holds tokens until they are acknowledged. `asked` has every poll's body."""

    issuer: str = ISSUER
    authorization: str = f"Bearer {TOKEN}"
    url: str = ""
    keys: list[Key] = field(default_factory=lambda: [make_key("ES256", "key-1")])
    pending: dict[str, str] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    key_requests: int = 0
    keys_asked: asyncio.Event = field(default_factory=asyncio.Event)
    key_answers: list[web.Response] = field(default_factory=list)
    poll_answers: list[web.Response] = field(default_factory=list)
    hold: asyncio.Event | None = None
    deaf: bool = False

    @property
    def jwks_url(self) -> str:
        """Where the public keys are."""
        return f"{self.url}/jwks"

    @property
    def poll_url(self) -> str:
        """Where tokens are polled."""
        return f"{self.url}/poll"

    def rotate(self, algorithm: str = "ES256", *, keep: bool = False) -> None:
        """Sign with a new key from now on; the old one is no longer shown."""
        new = make_key(algorithm, f"key-{len(self.keys) + 1}-{algorithm}")
        self.keys = [new, *self.keys] if keep else [new]

    def make(self, jti: str, **changed: Any) -> str:  # noqa: ANN401
        """Return a token with the newest key."""
        key = self.keys[0]
        algorithm = {"EC": "ES256", "RSA": "RS256"}.get(key.key_type, "Ed25519")
        return sign(claims_of(jti, **{"iss": self.issuer, **changed}), algorithm, key)

    def queue(self, jti: str, **changed: Any) -> str:  # noqa: ANN401
        """Hold a token for whoever polls; return it."""
        self.pending[jti] = self.make(jti, **changed)
        return self.pending[jti]

    async def push(self, hook: str, token: str, secret: str, attempts: int = 3) -> int:
        """Push a token until it is answered 202 or 400; return the last status."""
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": MEDIA_TYPE}
        status = 0
        async with aiohttp.ClientSession() as session:
            for _ in range(attempts):
                async with session.post(hook, data=token, headers=headers) as answer:
                    status = answer.status
                if status in (202, 400):
                    break
        return status

    async def jwks(self, _: web.Request) -> web.StreamResponse:
        """Answer with the keys, or with what was put into `key_answers`."""
        self.key_requests += 1
        self.keys_asked.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.key_answers:
            return self.key_answers.pop(0)
        return web.Response(body=key_set(*self.keys), content_type="application/json")

    async def poll(self, request: web.Request) -> web.StreamResponse:
        """Answer a poll (RFC 8936 section 2.4)."""
        if request.headers.get("Authorization") != self.authorization:
            return web.Response(status=401)
        asked = json.loads(await request.read())
        self.asked.append(asked)
        if self.poll_answers:
            return self.poll_answers.pop(0)
        for jti in () if self.deaf else asked.get("ack", []):
            if self.pending.pop(jti, None) is not None:
                self.acknowledged.append(jti)
        for jti, error in asked.get("setErrs", {}).items():
            if self.pending.pop(jti, None) is not None:
                self.refused[jti] = error["err"]
        most = asked.get("maxEvents", len(self.pending))
        sets = dict([*self.pending.items()][:most])
        more = len(self.pending) > len(sets)
        return web.json_response({"sets": sets, "moreAvailable": more})


@asynccontextmanager
async def fake_transmitter(**settings: Any) -> AsyncIterator[FakeTransmitter]:  # noqa: ANN401
    """Run a transmitter on a free port."""
    transmitter = FakeTransmitter(**settings)
    app = web.Application()
    app.router.add_get("/jwks", transmitter.jwks)
    app.router.add_post("/poll", transmitter.poll)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        transmitter.url = f"http://{host}:{port}"
        yield transmitter
    finally:
        if transmitter.hold is not None:
            transmitter.hold.set()
        await runner.cleanup()
