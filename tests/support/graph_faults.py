"""What can go wrong with an answer of Graph's, each by name."""

import asyncio
import gzip
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web


def say(answer: web.Response, records: Sequence[bytes], link: str | None) -> None:
    """Write a page into an answer."""
    named = "" if link is None else f',"@odata.nextLink":{json.dumps(link)}'
    begin = b'{"@odata.context":"x"' + named.encode() + b',"value":['
    answer.body = begin + b",".join(records) + b"]}"


def error(
    status: int, code: str, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a refusal as OData has them."""
    body = {"error": {"code": code, "message": "Ann", "innerError": {}}}
    return web.json_response(body, status=status, headers=headers)


@dataclass
class GraphFaults(ABC):
    """Makes a bad answer of a good one.

    `elsewhere` is the URL of a server that nobody should ask; `links` are those that
    were given out, with the log and the place in it that each leads to.
    """

    url: str = ""
    elsewhere: str = ""
    links: dict[str, tuple[str, int]] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @abstractmethod
    def link(self, request: web.Request, after: int) -> str:
        """Return a link to where the next page begins."""

    def fault_429(self, _: web.Request, __: web.Response) -> web.Response:
        return error(429, "TooManyRequests", {"Retry-After": "17"})

    def fault_503(self, _: web.Request, __: web.Response) -> web.Response:
        return error(503, "serviceNotAvailable", {"Retry-After": "9"})

    def fault_504(self, _: web.Request, __: web.Response) -> web.Response:
        return error(504, "UnknownError", {"Retry-After": "8"})

    def fault_500(self, _: web.Request, __: web.Response) -> web.Response:
        return web.Response(text="<html>Ann's data</html>", status=500)

    def fault_400(self, _: web.Request, __: web.Response) -> web.Response:
        return error(400, "BadRequest: Ann")

    def fault_403(self, _: web.Request, __: web.Response) -> web.Response:
        return error(403, "Authentication_RequestFromUnsupportedUserRole")

    def fault_drop(self, request: web.Request, answer: web.Response) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return answer

    async def fault_slow(
        self, request: web.Request, answer: web.Response
    ) -> web.StreamResponse:
        """Send the beginning, and then nothing as long as this server runs."""
        slow = web.StreamResponse(headers=answer.headers)
        await slow.prepare(request)
        await slow.write(b'{"value":[')
        await self.ended.wait()
        return slow

    def fault_cut(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send a body that ends early and does not say so."""
        assert isinstance(answer.body, bytes)
        answer.body = answer.body[:-3]
        return answer

    def fault_odataerror(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send an error as if it were a page."""
        answer.body = b'{"error":{"code":"UnknownError","message":"Ann"}}'
        return answer

    def fault_array(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b'[{"id":"in-an-array"}]'
        return answer

    def fault_scalars(self, _: web.Request, answer: web.Response) -> web.Response:
        answer.body = b'{"value":[{"id":"among-scalars"},7]}'
        return answer

    def fault_value_twice(self, _: web.Request, answer: web.Response) -> web.Response:
        assert isinstance(answer.body, bytes)
        answer.body = answer.body[:-1] + b',"value":[]}'
        return answer

    def fault_gzip(self, _: web.Request, answer: web.Response) -> web.Response:
        assert isinstance(answer.body, bytes)
        answer.body = gzip.compress(answer.body)
        answer.headers["Content-Encoding"] = "gzip"
        return answer

    def fault_redirect(self, request: web.Request, _: web.Response) -> web.Response:
        return web.Response(
            status=302, headers={"Location": f"{self.elsewhere}{request.path}"}
        )

    def fault_empty(self, request: web.Request, answer: web.Response) -> web.Response:
        """Send a page without records that is not the last."""
        begin = self.links.get(request.rel_url.raw_query_string, ("", 0))[1]
        say(answer, [], self.link(request, begin))
        return answer

    def fault_twice(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send each record of the page two times."""
        assert isinstance(answer.body, bytes)
        page = json.loads(answer.body)
        link = page.get("@odata.nextLink")
        records = [json.dumps(each).encode() for each in page["value"]]
        say(answer, [*records, *records], link)
        return answer

    def fault_backwards(self, _: web.Request, answer: web.Response) -> web.Response:
        """Send the page's records with the newest first."""
        assert isinstance(answer.body, bytes)
        page = json.loads(answer.body)
        records = [json.dumps(each).encode() for each in page["value"][::-1]]
        say(answer, records, page.get("@odata.nextLink"))
        return answer

    def _linked(self, answer: web.Response, link: object) -> web.Response:
        assert isinstance(answer.body, bytes)
        page = json.loads(answer.body)
        page["@odata.nextLink"] = link
        answer.body = json.dumps(page).encode()
        return answer

    def fault_circle(self, request: web.Request, answer: web.Response) -> web.Response:
        """Send the records, and a link to the beginning, the same each time."""
        query = f"{request.rel_url.raw_query_string.partition('&$skiptoken')[0]}"
        query += "&$skiptoken=again"
        self.links[query] = (request.path, 0)
        return self._linked(answer, f"{self.url}{request.path}?{query}")

    def fault_link_elsewhere(
        self, request: web.Request, answer: web.Response
    ) -> web.Response:
        link = f"{self.elsewhere}{request.path}?$skiptoken=1"
        return self._linked(answer, link)

    def fault_link_with_user(
        self, request: web.Request, answer: web.Response
    ) -> web.Response:
        rest = self.url.removeprefix("http://")
        return self._linked(answer, f"http://a:b@{rest}{request.path}?$skiptoken=1")

    def fault_link_up(self, _: web.Request, answer: web.Response) -> web.Response:
        return self._linked(answer, f"{self.url}/v1.0/users?$skiptoken=1")

    def fault_link_nowhere(
        self, request: web.Request, answer: web.Response
    ) -> web.Response:
        return self._linked(answer, f"{self.url}{request.path}?$top=5")

    def fault_link_long(
        self, request: web.Request, answer: web.Response
    ) -> web.Response:
        link = f"{self.url}{request.path}?$skiptoken={'9' * 20_000}"
        return self._linked(answer, link)

    def fault_link_no_url(self, _: web.Request, answer: web.Response) -> web.Response:
        return self._linked(answer, "http://[::1/v1.0?$skiptoken=1")

    def fault_link_no_text(self, _: web.Request, answer: web.Response) -> web.Response:
        return self._linked(answer, ["http://127.0.0.1/"])

    def fault_two_links(
        self, request: web.Request, answer: web.Response
    ) -> web.Response:
        assert isinstance(answer.body, bytes)
        link = json.dumps(self.link(request, 0)).encode()
        head = b'{"@odata.nextLink":' + link + b',"@odata\\u002enextLink":' + link
        answer.body = head + b"," + answer.body[1:]
        return answer
