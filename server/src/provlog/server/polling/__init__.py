"""Polling: providers' records fetched with their own APIs, for `provlog-server poll`.

A feed speaks one provider's API (`feed`, `okta`), the poller decides what is fetched,
delivered and remembered (`poller`), and is the same for all of them. A further provider
is one more feed in `FEEDS`, under the name of the connector that reads its records.
"""

from collections.abc import Callable

from provlog.server.polling.feed import Feed
from provlog.server.polling.okta import OktaFeed

FEEDS: dict[str, Callable[[str, Callable[[], str]], Feed]] = {"okta": OktaFeed}
"""What makes the feed of a base URL and of what returns the token, by connector."""
