"""An instance's folder: where database, secrets and settings of a server stand.

::

    provlog.db        the database, mode 0600, unless it is in PostgreSQL
    keys/<log>/…      the secrets of each log (keyring)
    provlog.json      where guard and database are, and the version of this file
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from provlog.server.errors import ConfigurationError
from provlog.server.files import flush_path, write_private
from provlog.server.storage.addresses import recordable

_SETTINGS = "provlog.json"


@dataclass(frozen=True, slots=True)
class Instance:
    """Paths of one initialised folder. `guard` lies outside of it.

    `database_url` is where its PostgreSQL database is, None where SQLite holds it. It
    may contain a password and is never printed.
    """

    folder: Path
    guard: Path
    database_url: str | None = field(default=None, repr=False)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "provlog.db"

    @property
    def keys(self) -> Path:
        """The folder of the logs' secrets."""
        return self.folder / "keys"


def default_guard() -> Path:
    """Return the guard folder under the user's state directory."""
    return platformdirs.user_state_path("provlog") / "guard"


def create_instance(
    folder: Path, guard: Path | None, database_url: str | None = None
) -> Instance:
    """Make an instance's folder, mode 0700; refuse one that is in use."""
    chosen = (guard or default_guard()).absolute()
    if chosen.is_relative_to(folder.absolute()):
        raise ConfigurationError(
            "the guard must lie outside the folder it guards: a restored backup would"
            " bring its own guard along"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            f"{folder} is not empty; nothing was changed (what an interrupted init left"
            " may be removed)"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Instance(folder, chosen, database_url)


def record_instance(instance: Instance, role: str | None = None) -> None:
    """Write an instance's settings, durably: the last step of making one.

    Until then the folder counts as not initialised. No password is
    written; `role` is who serves from PostgreSQL, if not the URL's.
    """
    settings = {"version": 1, "guard": str(instance.guard)}
    if instance.database_url is not None:
        settings["database"] = recordable(instance.database_url, role)
    write_private(instance.folder / _SETTINGS, json.dumps(settings) + "\n")
    flush_path(instance.folder)


def load_instance(
    folder: Path, guard: Path | None, database_url: str | None = None
) -> Instance:
    """Return an instance that was initialised.

    `guard` and `database_url` override its settings; an instance that was made with
    SQLite stays with it.
    """
    try:
        settings = json.loads((folder / _SETTINGS).read_bytes())
        recorded = Path(settings["guard"])
        database = settings.get("database")
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} is not initialised; run provlog-server init --dir {folder}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{folder / _SETTINGS} cannot be read") from None
    if database is None and database_url is not None:
        raise ConfigurationError(
            f"{folder} was made with SQLite; --database is for instances that were made"
            " with it"
        )
    return Instance(folder, guard or recorded, database_url or database)
