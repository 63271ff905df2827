"""How the settings of a log's witnesses are made, changed and removed.

The policy stands in ``<log>.policy`` beside the settings. Each file is replaced as a
whole, the policy first: a server that looks in between reads the new policy under the
settings that it knows.
"""

from dataclasses import dataclass
from pathlib import Path

from provlog.merkle.policy import MAX_POLICY_SIZE
from provlog.server.errors import ConfigurationError
from provlog.server.files import require_regular
from provlog.server.witnessing import folder
from provlog.server.witnessing.settings import (
    WitnessSettings,
    read_witnesses,
    settings_path,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator wants: a policy, and members of the settings by name."""

    policy: Path
    members: dict[str, str | bool]


def write_witnesses(
    place: Path, log: str, origin: str, wanted: Wanted
) -> WitnessSettings:
    """Have a log's checkpoints cosigned from now on; return the settings.

    They are checked as the server does before they take the place of others. Raises
    `ConfigurationError`, and nothing is changed then, and `OSError`.
    """
    name = f"{log}.policy"
    settings = _format(name, wanted.members)
    # Tried in a folder beside it, so that a mistake costs nobody the settings there.
    draft = place / f".draft-{log}"
    draft.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        text = _read(wanted.policy)
        folder.replace(draft / name, text, durable=False)
        folder.replace(settings_path(draft, log), settings, durable=False)
        try:
            read_witnesses(draft, log, origin)
        except ConfigurationError as error:
            why = str(error).replace(str(draft / name), str(wanted.policy))
            why = why.removeprefix(f"{settings_path(draft, log)}: ")
            raise ConfigurationError(why) from None
    finally:
        for path in (draft / name, settings_path(draft, log)):
            path.unlink(missing_ok=True)
        draft.rmdir()
    folder.replace(place / name, text, durable=True)
    folder.replace(settings_path(place, log), settings, durable=True)
    written = read_witnesses(place, log, origin)
    if written is None:
        raise ConfigurationError(f"{settings_path(place, log)} is gone")
    return written


def remove_witnesses(place: Path, log: str) -> bool:
    """Have a log's checkpoints cosigned no more; False where they were not."""
    path = settings_path(place, log)
    if not path.exists():
        return False
    path.unlink()
    (place / f"{log}.policy").unlink(missing_ok=True)
    return True


def _format(policy: str, members: dict[str, str | bool]) -> bytes:
    lines = [f'policy = "{policy}"']
    for name, value in members.items():
        # Choices and durations, which hold nothing that TOML would have to escape.
        text = str(value).lower() if isinstance(value, bool) else f'"{value}"'
        lines.append(f"{name} = {text}")
    return "\n".join([*lines, ""]).encode()


def _read(path: Path) -> bytes:
    require_regular(path)
    with path.open("rb") as file:
        data = file.read(MAX_POLICY_SIZE + 1)
    if len(data) > MAX_POLICY_SIZE:
        raise ConfigurationError(f"{path} is longer than {MAX_POLICY_SIZE} bytes")
    return data
