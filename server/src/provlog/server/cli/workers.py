"""`serve --workers N`: what the parent binds, and what each worker serves with."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from provlog.server.cli.announcing import Announcement
from provlog.server.cli.bound import Bound, listen_on, next_ports
from provlog.server.cli.common import exit_code
from provlog.server.cli.listening import Listening
from provlog.server.journal import name_worker
from provlog.server.supervisor import Supervisor, Worker


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's place: what it listens on, with others, and for itself."""

    worker: Worker
    api: Bound
    metrics: Bound | None


async def bind_all(listening: Listening, count: int) -> tuple[Bound, list[Bound]]:
    """Bind the API's address and, if they are wanted, one for the metrics of each.

    Raises what `listen_on` does.
    """
    addresses = next_ports(listening.metrics, count) if listening.metrics else []
    api = await listen_on(listening.api)
    return api, [await listen_on(each) for each in addresses]


def serve_with_workers(
    count: int,
    listening: Listening,
    serve: Callable[[Place], None],
    announce: Callable[[Announcement, list[str]], None],
) -> int:
    """Serve with `count` processes until told to stop; return the exit code.

    All of them accept from the same sockets, which the parent holds: whoever is free
    takes the next client, and while one is replaced nobody is refused. `serve` is
    called in each worker, `announce` once in the parent, with the metrics' URLs in
    the workers' order.
    """
    api, metrics = asyncio.run(bind_all(listening, count))
    api = replace(api, shared=True)

    def work(worker: Worker) -> int:
        name_worker(worker.number)
        for number, bound in enumerate(metrics):
            # Only its owner and the parent hold it, and the latter accepts nobody.
            if number != worker.number:
                bound.close()
        own = metrics[worker.number] if metrics else None
        return exit_code(lambda: serve(Place(worker, api, own)))

    def serving(message: bytes) -> None:
        made = msgspec.json.decode(message, type=Announcement)
        announce(made, [each.url() for each in metrics])

    def stopping() -> None:
        for each in (api, *metrics):
            each.close()

    return Supervisor(count, work, serving, stopping).run()
