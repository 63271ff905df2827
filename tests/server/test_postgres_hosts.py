"""Which of several hosts is connected to, and what is noticed of one that is gone."""

import asyncio
import socket
from dataclasses import dataclass

import asyncpg
import pytest

from provlog.server.errors import ConfigurationError
from provlog.server.storage.base import Incarnation, InterruptedStorageError
from provlog.server.storage.postgres import hosts as hosts_module
from provlog.server.storage.postgres.connecting import connect
from provlog.server.storage.postgres.hosts import Hosts, single_hosts
from support.postgres import Cluster

ONE, TWO = "postgresql://one/log", "postgresql://two/log"


@dataclass(eq=False)
class Connected:
    """A connection to a host."""

    incarnation: Incarnation
    closed: bool = False

    def terminate(self) -> None:
        self.closed = True


class Network:
    """Hosts by URL: the incarnation that answers, or what stands in the way."""

    def __init__(self, **hosts: Incarnation | Exception | None) -> None:
        self.answers = {
            f"postgresql://{name}/log": each for name, each in hosts.items()
        }
        self.made: list[Connected] = []
        self.asked: list[str] = []

    async def reach(self, url: str, seconds: float) -> Connected:
        self.asked.append(url)
        found = self.answers[url]
        if found is None:  # no answer, ever
            await asyncio.sleep(seconds)
            raise InterruptedStorageError("no answer")
        if isinstance(found, Exception):
            raise found
        self.made.append(Connected(found))
        return self.made[-1]

    def hosts(self) -> Hosts[Connected]:
        return Hosts("postgresql://one,two/log", self.reach)

    def open(self) -> list[Connected]:
        return [each for each in self.made if not each.closed]


def run_of(timeline: int, started: str = "now") -> Incarnation:
    return Incarnation(7, timeline, started)


async def test_of_two_primaries_the_one_on_the_newest_timeline_is_chosen() -> None:
    network = Network(one=run_of(1), two=run_of(2))
    chosen = await network.hosts().connect()
    assert chosen.incarnation == run_of(2)
    assert network.open() == [chosen]


async def test_the_chosen_host_alone_is_asked_as_long_as_it_runs_on() -> None:
    network = Network(one=InterruptedStorageError("down"), two=run_of(2))
    hosts = network.hosts()
    await hosts.connect()
    network.asked.clear()
    await hosts.connect()
    assert network.asked == [TWO]
    # It was started anew, and meanwhile the other one was promoted.
    network.answers = {ONE: run_of(3), TWO: run_of(2, "later")}
    chosen = await hosts.connect()
    assert chosen.incarnation == run_of(3)
    assert len(network.open()) == 3


async def test_a_host_that_was_left_behind_is_not_the_only_one_asked() -> None:
    network = Network(one=run_of(1), two=InterruptedStorageError("a standby"))
    hosts = network.hosts()
    await hosts.connect()
    network.answers[TWO] = run_of(2)
    assert (await hosts.connect()).incarnation == run_of(1)
    hosts.forget()
    assert (await hosts.connect()).incarnation == run_of(2)


async def test_a_dead_host_does_not_keep_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosts_module, "HOST_SECONDS", 0.05)
    chosen = await Network(one=None, two=run_of(1)).hosts().connect()
    assert chosen.incarnation == run_of(1)


async def test_where_no_host_can_be_used_the_operator_is_told_what_to_mend() -> None:
    network = Network(
        one=InterruptedStorageError("down"), two=ConfigurationError("fsync=off")
    )
    with pytest.raises(ConfigurationError, match="fsync=off"):
        await network.hosts().connect()


async def test_that_one_is_a_standby_is_no_news_where_the_primary_is_down() -> None:
    standby = InterruptedStorageError("a standby")
    standby.__cause__ = asyncpg.TargetServerAttributeNotMatched()
    network = Network(one=standby, two=InterruptedStorageError("down"))
    with pytest.raises(InterruptedStorageError, match="down"):
        await network.hosts().connect()


async def test_who_goes_away_leaves_no_connection() -> None:
    network = Network(one=run_of(1), two=None)
    connecting = asyncio.create_task(network.hosts().connect())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    assert len(network.made) == 1
    assert network.open() == []


@pytest.mark.parametrize(
    ("url", "single"),
    [
        ("postgresql://me:pw@one/log", ["postgresql://me:pw@one/log"]),
        (
            "postgresql://me@one:1,[::1]:2/log?sslmode=require",
            [
                "postgresql://me@one:1/log?sslmode=require",
                "postgresql://me@[::1]:2/log?sslmode=require",
            ],
        ),
        (
            "postgresql://me@/log?host=/a,/b&port=1,2",
            [
                "postgresql://me@/log?host=%2Fa&port=1",
                "postgresql://me@/log?host=%2Fb&port=2",
            ],
        ),
        (
            "postgresql://me@/log?host=one,two&port=5",
            [
                "postgresql://me@/log?host=one&port=5",
                "postgresql://me@/log?host=two&port=5",
            ],
        ),
        ("postgresql:///log", ["postgresql:///log"]),
    ],
)
def test_each_host_of_a_url_has_a_url(url: str, single: list[str]) -> None:
    assert single_hosts(url) == single


@pytest.mark.needs("postgres")
async def test_a_machine_that_is_gone_is_noticed_while_nothing_is_sent() -> None:
    with Cluster.create(tcp=True) as cluster:
        connection = await connect(cluster.dsn())
        reached = connection._transport.get_extra_info("socket")
        assert reached.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert reached.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
        assert reached.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000
        await connection.close()
