"""`serve --workers N`: what the parent binds, and the place of each worker."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from provlog.server.cli.announcing import Announcement, Announcer
from provlog.server.cli.bound import Bound, bind_all
from provlog.server.cli.common import exit_code
from provlog.server.cli.serving import Task, serve_task
from provlog.server.journal import name_worker
from provlog.server.supervisor import Supervisor, Worker

logger = logging.getLogger(__name__)

MOST_WORKERS: Final = 64


@dataclass(frozen=True, slots=True)
class Shared:
    """The place of one of several workers: it listens on what its parent has bound."""

    worker: Worker
    api: Bound
    metrics: Bound | None

    def watch(self, stop: asyncio.Event) -> None:
        """Stop when the parent is gone: nobody would replace this one, or stop it."""
        loop = asyncio.get_running_loop()

        def orphaned() -> None:
            loop.remove_reader(self.worker.parent)
            logger.error("the process that started this one is gone: stopping")
            stop.set()

        loop.add_reader(self.worker.parent, orphaned)

    async def listen(self) -> tuple[Bound, Bound | None]:
        """Return what the parent has bound."""
        return self.api, self.metrics

    def announce(self, made: Announcement, metrics_url: str | None) -> None:  # noqa: ARG002  the parent knows it
        """Tell the parent, which tells when all of them serve."""
        self.worker.announce(msgspec.json.encode(made))


def serve_with_workers(count: int, task: Task, announcer: Announcer) -> int:
    """Serve with `count` processes until told to stop; return the exit code.

    All of them accept from the same sockets, which the parent holds: whoever is free
    takes the next client, and while one is replaced nobody is refused. Raises what
    keeps the addresses from being listened on.
    """
    listening = task.listening
    api, metrics = asyncio.run(bind_all(listening.api, listening.metrics, count))
    api = replace(api, shared=True)

    def serving(message: bytes) -> None:
        made = msgspec.json.decode(message, type=Announcement)
        announcer.print(made, [each.url() for each in metrics])

    def stopping() -> None:
        for each in (api, *metrics):
            each.close()

    supervisor = Supervisor(
        count, lambda worker: _work(worker, task, api, metrics), serving, stopping
    )
    return supervisor.run()


def _work(worker: Worker, task: Task, api: Bound, metrics: Sequence[Bound]) -> int:
    """Serve as one of the workers, in its process; return the exit code."""
    name_worker(worker.number)
    for number, bound in enumerate(metrics):
        # Only its owner and the parent hold it, and the latter accepts nobody.
        if number != worker.number:
            bound.close()
    own = metrics[worker.number] if metrics else None
    # What an instance needs once is done by one of them.
    selfcheck = task.selfcheck if worker.number == 0 else 0
    mine = replace(task, worker=worker.number, selfcheck=selfcheck)
    return exit_code(lambda: serve_task(mine, Shared(worker, api, own)))
