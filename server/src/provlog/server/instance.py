"""An instance's folder: where database, secrets and settings of a server stand.

::

    provlog.db        the database, mode 0600
    keys/<log>/…      the secrets of each log (keyring)
    provlog.json      where the guard is, and the schema of this file
"""

import json
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from provlog.server.errors import ConfigurationError
from provlog.server.files import flush_path, write_private

_SETTINGS = "provlog.json"


@dataclass(frozen=True, slots=True)
class Instance:
    """Paths of one initialised folder. `guard` lies outside of it."""

    folder: Path
    guard: Path

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


def create_instance(folder: Path, guard: Path | None) -> Instance:
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
    return Instance(folder, chosen)


def record_instance(instance: Instance) -> None:
    """Write an instance's settings, durably: the last step of making one.

    Until then the folder counts as not initialised.
    """
    settings = {"version": 1, "guard": str(instance.guard)}
    write_private(instance.folder / _SETTINGS, json.dumps(settings) + "\n")
    flush_path(instance.folder)


def is_initialised(folder: Path) -> bool:
    """Tell whether a folder is an instance's, made to the end."""
    return (folder / _SETTINGS).exists()


def load_instance(folder: Path, guard: Path | None) -> Instance:
    """Return an instance that was initialised; `guard` overrides its setting."""
    try:
        settings = json.loads((folder / _SETTINGS).read_bytes())
        recorded = Path(settings["guard"])
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} is not initialised; run provlog-server init --dir {folder}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{folder / _SETTINGS} cannot be read") from None
    return Instance(folder, guard or recorded)
