"""A supervisor whose workers do as they are told, in processes of their own.

The folder that is given holds `worker-K`, what worker K does when it starts: `serve`,
`exit N` or `kill`; and `events`, to which everybody adds what happens to them.
"""

import os
import signal
import sys
from pathlib import Path

from provlog.server import supervisor
from provlog.server.supervisor import Supervisor, Worker


class Told:
    """One worker's doings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def say(self, *words: object) -> None:
        """Add a line to the events."""
        with (self._folder / "events").open("a") as file:
            file.write(" ".join(map(str, words)) + "\n")

    def work(self, worker: Worker) -> int:
        """Do what a file says."""
        number = worker.number
        self.say("start", number, os.getpid())
        what, _, code = (self._folder / f"worker-{number}").read_text().partition(" ")
        if what == "exit":
            return int(code)
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGUSR1, lambda *_: self.say("usr1", number))
        signal.signal(signal.SIGTERM, lambda *_: self._end(number))
        worker.announce(f"hello of {number}".encode())
        os.read(worker.parent, 1)  # which ends with the supervisor
        self.say("orphaned", number)
        return 0

    def _end(self, number: int) -> None:
        self.say("term", number)
        os._exit(0)


def main(folder: Path, count: int) -> int:
    """Supervise until told to stop."""
    told = Told(folder)
    supervisor.FIRST_PAUSE = 0.01  # type: ignore[misc]
    return Supervisor(
        count,
        told.work,
        lambda message: told.say("serving", message.decode().strip()),
        lambda: told.say("stopping"),
    ).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
