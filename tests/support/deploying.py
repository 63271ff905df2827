"""What `deploy/` holds, read as data."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its stubs are another distribution

from support.vectors import REPOSITORY

DEPLOY = REPOSITORY / "deploy"


def read_yaml(path: Path) -> Any:  # noqa: ANN401
    """Return what a YAML file says."""
    return yaml.safe_load(path.read_text())
