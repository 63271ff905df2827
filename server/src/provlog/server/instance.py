"""An instance's folder: where database, secrets and settings of a server stand.

::

    provlog.db        the database, mode 0600, unless it is in PostgreSQL
    keys/<log>/…      the secrets of each log (keyring)
    connect/*.toml    settings of single sources (source_settings), where there are any
    witnesses/        which witnesses each log has (witnessing), where it has any
    witnessed/        what these cosigned, and know of the log; made anew if lost
    health/*.json     what was found of each log's sources (health); made anew if lost
    provlog.json      where guard and database are, and the version of this file
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import platformdirs

from provlog.server.errors import ConfigurationError
from provlog.server.files import flush_path, write_private
from provlog.server.guard.store_url import StoreUrl, parse_guard
from provlog.server.storage.addresses import recordable, require_database_url

STOP: Final = "stop"
SYNCHRONOUS: Final = "synchronous"
FAILOVERS: Final = (STOP, SYNCHRONOUS)
"""What the servers do where the database has failed over; the first by default."""

_SETTINGS = "provlog.json"


@dataclass(frozen=True, slots=True)
class Instance:
    """Paths of one initialised folder. `guard` lies outside of it.

    `database_url` is where its PostgreSQL database is, None where SQLite holds it. It
    may contain a password and is never printed. `guard_url` is where its guard is,
    None where that is the folder `guard`. `synchronous_failover` declares that no
    failover of the database loses a commit.
    """

    folder: Path
    guard: Path
    database_url: str | None = field(default=None, repr=False)
    guard_url: StoreUrl | None = None
    synchronous_failover: bool = False

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "provlog.db"

    @property
    def keys(self) -> Path:
        """The folder of the logs' secrets."""
        return self.folder / "keys"

    @property
    def health(self) -> Path:
        """The folder of what was found of the sources; it need not be there."""
        return self.folder / "health"

    @property
    def witnesses(self) -> Path:
        """The folder of what an operator says of witnesses; it need not be there."""
        return self.folder / "witnesses"

    @property
    def witnessed(self) -> Path:
        """The folder of what witnesses cosigned; it need not be there."""
        return self.folder / "witnessed"

    @property
    def connect(self) -> Path:
        """The folder of the settings of single sources; it need not be there."""
        return self.folder / "connect"


def default_guard() -> Path:
    """Return the guard folder under the user's state directory."""
    return platformdirs.user_state_path("provlog") / "guard"


def plan_instance(
    folder: Path,
    guard: Path | StoreUrl | None,
    database_url: str | None = None,
    *,
    synchronous_failover: bool = False,
) -> Instance:
    """Return an instance that can be made in a folder, which is not made yet.

    Refuses a folder that is in use, and a guard inside of it.
    """
    url = guard if isinstance(guard, StoreUrl) else None
    chosen = (guard if isinstance(guard, Path) else default_guard()).absolute()
    if url is None and chosen.is_relative_to(folder.absolute()):
        raise ConfigurationError(
            "the guard must lie outside the folder it guards: a restored backup would"
            " bring its own guard along"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            f"{folder} is not empty; nothing was changed (what an interrupted init left"
            " may be removed)"
        )
    return Instance(folder, chosen, database_url, url, synchronous_failover)


def make_folder(instance: Instance) -> None:
    """Make the folder of an instance that was planned."""
    instance.folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def record_instance(instance: Instance, role: str | None = None) -> None:
    """Write an instance's settings, durably: the last step of making one.

    Until then the folder counts as not initialised. No password is
    written; `role` is who serves from PostgreSQL, if not the URL's.
    """
    settings = {"version": 1, "guard": str(instance.guard_url or instance.guard)}
    if instance.synchronous_failover:
        settings["failover"] = SYNCHRONOUS
    if instance.database_url is not None:
        settings["database"] = recordable(instance.database_url, role)
    write_private(instance.folder / _SETTINGS, json.dumps(settings) + "\n")
    flush_path(instance.folder)


def is_initialised(folder: Path) -> bool:
    """Tell whether a folder is an instance's, made to the end."""
    return (folder / _SETTINGS).exists()


def load_instance(
    folder: Path,
    guard: Path | StoreUrl | None,
    database_url: str | None = None,
    failover: str | None = None,
) -> Instance:
    """Return an instance that was initialised.

    `guard`, `database_url` and `failover` override its settings; an instance that was
    made with SQLite stays with it.
    """
    try:
        settings = json.loads((folder / _SETTINGS).read_bytes())
        recorded = parse_guard(settings["guard"])
        database = _recorded_database(settings)
        failover = failover or settings.get("failover", STOP)
        if failover not in FAILOVERS:
            raise ValueError("another failover")
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} is not initialised; run provlog-server init --dir {folder}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            f"{folder / _SETTINGS} cannot be read: restore it, or write it as init"
            ' does, {"version": 1, "guard": "FOLDER or URL"}, with "database" and'
            ' "failover" where they were given'
        ) from None
    if database is None and database_url is not None:
        raise ConfigurationError(
            f"{folder} was made with SQLite; --database is for instances that were made"
            " with it, and export and import move a log from one to the other"
        )
    chosen = guard or recorded
    url = chosen if isinstance(chosen, StoreUrl) else None
    return Instance(
        folder,
        chosen if isinstance(chosen, Path) else default_guard(),
        database_url or database,
        url,
        failover == SYNCHRONOUS,
    )


def _recorded_database(settings: dict[str, object]) -> str | None:
    """Return the URL that settings hold, None where they hold none."""
    url = settings.get("database")
    if url is None:
        return None
    if not isinstance(url, str):
        raise TypeError("a URL of another type")
    return require_database_url(url)
