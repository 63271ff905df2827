"""An outbox and its log are killed at random moments: each event is logged once.

Real processes, SIGKILL, a seed that is printed. `make chaos` does the same for longer,
beside other submitters.
"""

import random
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.outbox_lives import Lives
from support.servers import Server

KILLS = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server.init(tmp_path / "log").start()
    made.listen = "{}:{}".format(*made.address)
    yield made
    made.end()


def test_killed_thirty_times_each_event_is_in_the_log_exactly_once(
    server: Server, tmp_path: Path
) -> None:
    seed = secrets.randbelow(2**32)
    chance = random.Random(seed)
    lives = Lives(server, tmp_path, chance)
    kills = 0
    for _ in range(KILLS):
        lives.begin()
        kills += meddle(server, chance)
        assert lives.kill()
    if server.process is None:
        server.start()
    lives.drain()
    events = lives.require_each_once()
    print(f"seed {seed}: {events} events, {kills} kills of the server")
    assert kills
    assert len(lives.said) > KILLS


def meddle(server: Server, chance: random.Random) -> bool:
    """Perhaps kill the server, or start it, or both; tell whether it was killed."""
    killed = server.process is not None and chance.random() < 0.4
    if killed:
        server.stop(signal.SIGKILL)
    # The next lives may meet no log, or one that is about to start.
    if server.process is None and chance.random() < 0.6:
        server.start()
        time.sleep(chance.uniform(0, 0.2))
    return killed
