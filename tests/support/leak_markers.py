"""The personal data in the tests' events, as far as it does not occur by chance.

Taken from the events and records themselves, so that whoever adds one adds its people:
`support.events`, `support.okta`, the examples in `docs` and, where they are, the
samples.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.events import event_json
from support.okta import APP, APP_USER, GROUP, USER, okta_record
from support.vectors import REPOSITORY, located

_PERSONAL = frozenset(
    "name displayName alternateId email login userName userPrincipalName external_id"
    " ip ipAddress client_ip ticket request_id requestId actor_user_name user_name"
    " formattedName familyName phone".lower().split()
)
"""Members, in lower case, whose strings say something of a person or a case."""

_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
_NOT_PERSONAL = frozenset({"127.0.0.1", "0.0.0.0", "log.example.com"})
_SHORTEST = 4


def personal_markers() -> list[str]:
    """Return the texts that no log line, metric or refusal may hold."""
    found = {
        text
        for value in (*_fixtures(), *_files())
        for text in _strings(value)
        if _is_distinctive(text)
    }
    return sorted(found)


def _fixtures() -> Iterator[Any]:
    yield event_json()
    yield okta_record(USER, GROUP, APP, APP_USER)


def _files() -> Iterator[Any]:
    paths = [*(REPOSITORY / "docs").glob("*/*json")]
    samples = located("PROVLOG_SAMPLES", "samples")
    if samples is not None:
        paths += samples.rglob("*.ndjson")
    for path in sorted(paths):
        yield from _values(path)


def _values(path: Path) -> Iterator[Any]:
    text = path.read_text()
    for part in [text] if path.suffix == ".json" else text.splitlines():
        try:
            yield json.loads(part)
        except ValueError:  # a record that is meant to be none
            continue


def _strings(value: Any, name: str = "", holder: str = "") -> Iterator[str]:  # noqa: ANN401
    """Yield what a value says of people, by the name of the member or as mail."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _strings(member, key.lower(), name or holder)
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member, name, holder)
    elif isinstance(value, str):
        yield from _MAIL.findall(value)
        if name in _PERSONAL or (name == "id" and holder in ("actor", "target")):
            yield value


def _is_distinctive(text: str) -> bool:
    """Tell whether a text says by itself whose it is, and stands nowhere by chance."""
    telling = "@" in text or " " in text or any(each.isdigit() for each in text)
    if len(text) < _SHORTEST or not telling or text.isdigit():
        return False
    return text not in _NOT_PERSONAL
