"""A server on the loopback that behaves as JumpCloud documents Directory Insights.

Events come oldest first, as many as are asked for; `X-Search_after` is there with every
page and leads behind its last event, together with the query it was given for. Only
what is documented is believed: other members, and another key, are refused.
"""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from provlog.merkle.encoding import format_time, parse_time
from provlog.server.intake.times import normalise_time
from support.jumpcloud import jumpcloud_record
from support.services import now_ms

PATH: Final = "/insights/directory/v1/events"
KEY: Final = "a-key-of-jumpcloud-s"
_MEMBERS: Final = {"service", "start_time", "sort", "limit", "search_after"}


@dataclass
class FakeJumpCloud:
    """One organization's events, and what goes wrong with the next answers.

    `faults` are the names of `fault_*` methods, one for each coming request, None for a
    good answer.
    """

    key: str = KEY
    url: str = ""
    stored: list[tuple[int, str, bytes]] = field(default_factory=list)
    faults: deque[str | None] = field(default_factory=deque)
    asked: list[dict[str, Any]] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)

    def store(self, *times: int, padding: int = 0) -> None:
        """Store events of these moments."""
        for time in times:
            number = f"e{len(self.stored)}"
            record = jumpcloud_record(
                "user_update",
                id=number,
                timestamp=format_time(time),
                padding="x" * padding,
            )
            self.stored.append((time, number, json.dumps(record).encode()))
        self.stored.sort()

    def store_record(self, time: int, record: bytes) -> None:
        """Store a record as it is, dated with a moment."""
        self.stored.append((time, f"e{len(self.stored)}", record))
        self.stored.sort()

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer a query, well or with the next fault."""
        if request.headers.get("x-api-key") != self.key:
            return web.json_response({"message": "unauthorized"}, status=401)
        assert "Authorization" not in request.headers
        query = await request.json()
        assert query.keys() <= _MEMBERS
        assert query["sort"] == "ASC"
        self.asked.append(query)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            answer: web.StreamResponse = getattr(self, f"fault_{fault}")()
            return answer
        return self._page(query)

    def _page(self, query: dict[str, Any]) -> web.Response:
        start = parse_time(normalise_time(query["start_time"]))
        after = tuple(query.get("search_after", [start, ""]))
        found = [each for each in self.stored if each[:2] > after][: query["limit"]]
        last = found[-1][:2] if found else after
        headers = {
            "X-Result-Count": str(len(found)),
            "X-Limit": str(query["limit"]),
            "X-Search_after": json.dumps(last),
            "Date": formatdate(now_ms() / 1000, usegmt=True),
        }
        body = b"[" + b",".join(record for *_, record in found) + b"]"
        return web.Response(body=body, headers=headers, content_type="application/json")

    def fault_500(self) -> web.Response:
        """Fail."""
        return web.Response(status=500)

    def fault_redirect(self) -> web.Response:
        """Send elsewhere."""
        return web.Response(status=302, headers={"Location": "https://x.example"})

    def fault_half(self) -> web.Response:
        """Answer with half a page."""
        return web.Response(body=b'[{"id":"e0"},{"id"')

    def fault_object(self) -> web.Response:
        """Answer with no page at all."""
        return web.Response(body=b'{"message":"busy"}')

    def fault_texts(self) -> web.Response:
        """Answer with a page of something else."""
        return web.Response(body=b'["a"]')

    def fault_unmarked(self) -> web.Response:
        """Answer with a full page that does not lead on."""
        return self._marked("")

    def fault_odd(self) -> web.Response:
        """Answer with a full page that leads to nothing."""
        return self._marked('{"a":1}')

    def fault_itself(self) -> web.Response:
        """Answer with a full page that leads to itself."""
        return self._marked(json.dumps(self.asked[-1].get("search_after", [1])))

    def _marked(self, mark: str) -> web.Response:
        limit = self.asked[-1]["limit"]
        body = b"[" + b",".join([b'{"id":"x"}'] * limit) + b"]"
        return web.Response(body=body, headers={"X-Search_after": mark})


def write_settings(folder: Path, fake: FakeJumpCloud, source: str) -> Path:
    """Write settings that lead to a fake, and the key; return the file."""
    path = folder / "jumpcloud.toml"
    key = folder / "jumpcloud.key"
    key.touch(0o600)
    key.write_text(fake.key)
    path.write_text(
        f'source = "{source}"\n[poll]\nkey_file = "jumpcloud.key"\nurl = "{fake.url}"\n'
    )
    return path


@asynccontextmanager
async def fake_jumpcloud(key: str = KEY) -> AsyncIterator[FakeJumpCloud]:
    """Serve a fake JumpCloud."""
    fake = FakeJumpCloud(key)
    app = web.Application()
    app.router.add_post(PATH, fake.events)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
