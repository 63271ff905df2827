"""A server that stands still while it holds a log's lock is cut off.

Whoever waits for a lock longer than its time limit looks for sessions of provlog that
hold a head's row and wait for their client, and ends them. PostgreSQL rolls their
transactions back. If the server behind one goes on later, its COMMIT fails, and it
finds out behind a barrier that nothing of its batch is there.

A session that waits for the disk or for a standby is at work and is left alone: its
commit may be done already.
"""

import logging
from typing import Final

from provlog.server.storage.postgres.connecting import Pooled, fetch

logger = logging.getLogger(__name__)

# `state_change` is when the session began to wait for its client, or, where it cannot
# send its answer, when that statement began.
_END: Final = """
SELECT a.pid, pg_terminate_backend(a.pid)
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.usename = current_user
  AND a.pid <> pg_backend_pid()
  AND a.wait_event_type = 'Client' AND a.xact_start IS NOT NULL
  AND a.state_change < clock_timestamp() - make_interval(secs => $1)
  AND EXISTS (SELECT FROM pg_locks l
              WHERE l.pid = a.pid AND l.granted
                AND l.relation = 'provlog.heads'::regclass
                AND l.mode IN ('RowShareLock', 'RowExclusiveLock'))
"""


async def end_frozen_sessions(connection: Pooled, seconds: float) -> int:
    """End the sessions that stood still on a lock while somebody waited `seconds`.

    Return how many. `StorageError` where that cannot be asked.
    """
    # One that came to a standstill while we were beginning to wait counts, too.
    rows = await fetch(connection, _END, seconds * 5 / 6)
    for pid, _ in rows:
        logger.error(
            "ended session %d, which held a log's lock and stood still for %.1f s",
            pid,
            seconds,
        )
    return len(rows)
