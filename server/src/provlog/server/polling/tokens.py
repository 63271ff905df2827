"""A provider's token, in a file of its own."""

import re
from pathlib import Path
from typing import Final

from provlog.server.errors import ConfigurationError
from provlog.server.files import read_private

MAX_TOKEN: Final = 8192
_TOKEN = re.compile(r"(?:(?:SSWS|Bearer) )?[!-~]+", re.ASCII)


def read_token(path: Path) -> str:
    """Return a provider's token from its file; `ConfigurationError` without one."""
    try:
        token = read_private(path, MAX_TOKEN)
    except ValueError:
        token = ""
    if _TOKEN.fullmatch(token) is None:
        raise ConfigurationError(
            f"{path} holds no token: one line of printable ASCII, with SSWS or Bearer"
            " and a blank before it, or without"
        )
    return token
