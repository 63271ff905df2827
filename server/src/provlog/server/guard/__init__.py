"""The guard: a record, outside the database, of the newest head that was released.

A database that comes back older than what was released (a restored backup, a lost
disk) would fork the log. The guard lets a start notice. It is advanced after each
commit and before anything of the new head leaves the server, so nothing above it is
known outside. A guard that lags only detects less; it never refuses wrongly.

``base``    what a guard promises
``file``    one machine: a folder with a file for each log
``object_store``  servers on several machines: an object for each log
``lineage`` which databases the logs may go on in, where the guard is not shared
"""

from provlog.server.guard.base import Guard, GuardRecord, ReleasedHead
from provlog.server.guard.file import FileGuard

__all__ = ["FileGuard", "Guard", "GuardRecord", "ReleasedHead"]
