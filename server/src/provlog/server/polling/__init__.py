"""Polling: providers' records fetched with their own APIs, for `provlog-server poll`.

A feed speaks one provider's API (`feed`; `okta`, `google` and so on), the poller
decides what is fetched, delivered and remembered (`poller`), and is the same for all of
them. A further provider is one more kind in `FEEDS`, under the name of the connector
that reads its records.
"""

from provlog.server.polling import entra, google, jumpcloud, keycloak, okta, sets
from provlog.server.polling.kinds import FeedKind

FEEDS: dict[str, FeedKind] = {
    "entra": entra.KIND,
    "google": google.KIND,
    "jumpcloud": jumpcloud.KIND,
    "keycloak": keycloak.KIND,
    "okta": okta.KIND,
    "set": sets.KIND,
}
"""How the sources of a connector are polled."""
