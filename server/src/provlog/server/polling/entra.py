"""Microsoft Entra ID's provisioning and audit logs, read with Microsoft Graph.

`GET /v1.0/auditLogs/provisioning` and `/v1.0/auditLogs/directoryAudits`, both in the
order of their dates. The first knows `gt` for these, the second `ge`. Graph refuses to
be asked for what is older than it keeps, so nothing older is asked for; and it lets an
application ask five times in ten seconds.

The access token is that of an application (client credentials): its id and secret go to
the login server, and the token to Graph. The permissions `AuditLog.Read.All` and
`Directory.Read.All` are needed.

Sources: Microsoft's Graph v1.0 reference ("List directoryAudits", "List
provisioningObjectSummary"), "Get access without a user", "Microsoft Entra data
retention", "Microsoft Graph service-specific throttling limits".
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from provlog.server.polling.feed import Feed, Page, UnfitError
from provlog.server.polling.fetching import ANSWER_SECONDS, Fetcher
from provlog.server.polling.graph import GraphFeed, Log
from provlog.server.polling.kinds import FeedKind
from provlog.server.polling.oauth import AccessToken
from provlog.server.polling.streams import Streams
from provlog.server.source_settings import SourceSettings

LOGIN: Final = "https://login.microsoftonline.com"
GRAPH: Final = "https://graph.microsoft.com"
OVERLAP: Final = "1h"
LOGS: Final = (
    Log("/v1.0/auditLogs/provisioning", "gt"),
    Log("/v1.0/auditLogs/directoryAudits", "ge"),
)
MAX_DAYS: Final = 3650
DAY: Final = 86_400_000

_TENANT = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}", re.I | re.ASCII)
_CLIENT = re.compile(r"[a-z0-9-]{1,64}", re.I | re.ASCII)


class EntraPoll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[poll]`: an application of a tenant, and the file of its secret.

    `tenant` is the tenant's id or domain. `login_url` and `graph_url` are other ones in
    national clouds. `keeps_days` is for how many days Entra keeps its logs: 30, and 7
    without a premium licence.
    """

    tenant: str
    client_id: str
    client_secret_file: str
    login_url: str = LOGIN
    graph_url: str = GRAPH
    keeps_days: int = 30


class EntraFeed:
    """The two logs of one tenant, one after the other.

    `secret` returns the application's secret each time that a token is asked for.
    Raises `ConfigurationError` for a URL that cannot be.
    """

    def __init__(
        self,
        poll: EntraPoll,
        secret: Callable[[], str],
        seconds: float = ANSWER_SECONDS,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._poll = poll
        self._secret = secret
        login = Fetcher(poll.login_url, lambda: "", seconds)
        path = f"/{poll.tenant}/oauth2/v2.0/token"
        self._token = AccessToken(login, path, self._grant)
        graph = Fetcher(poll.graph_url, self._token.header, seconds, self._token.forget)
        self._scope = f"{graph.origin}/.default"
        self._streams = Streams(
            [
                GraphFeed(graph, log, lambda: now() - poll.keeps_days * DAY)
                for log in LOGS
            ]
        )

    async def page(self, since: int, link: str | None) -> Page:
        """Return a page; see `Feed.page`."""
        return await self._streams.page(since, link)

    async def close(self) -> None:
        """Close all connections."""
        await self._streams.close()
        await self._token.close()

    def _grant(self) -> Mapping[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": self._poll.client_id,
            "client_secret": self._secret(),
            "scope": self._scope,
        }


def _make(poll: EntraPoll, settings: SourceSettings) -> Feed:
    wrong = {
        "tenant": _TENANT.fullmatch(poll.tenant) is None,
        "client_id": _CLIENT.fullmatch(poll.client_id) is None,
        "keeps_days": not 1 <= poll.keeps_days <= MAX_DAYS,
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise UnfitError(f"{name} cannot be that")
    settings.secret(poll.client_secret_file)
    return EntraFeed(poll, lambda: settings.secret(poll.client_secret_file))


KIND: Final = FeedKind(EntraPoll, _make, OVERLAP)
