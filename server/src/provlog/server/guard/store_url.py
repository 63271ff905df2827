"""Where a guard in an object store is: its URL, which holds no secret."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from provlog.server.errors import ConfigurationError

SCHEMES: Final = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure"}
_MAX_LENGTH: Final = 512
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}", re.ASCII)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_.-]+)*/?", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A bucket and a prefix in it, as in ``s3://bucket/prefix``."""

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}{'/' * bool(self.prefix)}{self.prefix}"


def parse_guard(text: str) -> Path | StoreUrl:
    """Return where a guard is: a folder, or a place in an object store.

    `ConfigurationError` for a URL that names none. What was written is not repeated:
    somebody may have put a key into it.
    """
    if "://" not in text:
        return Path(text)
    if len(text) > _MAX_LENGTH or not text.isascii() or not text.isprintable():
        raise ConfigurationError("--guard: no usable URL")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ConfigurationError("--guard: no usable URL") from None
    if parts.scheme == "file":
        raise ConfigurationError(
            "--guard: name a folder by its path; a file:// URL cannot be shared by"
            " several servers"
        )
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(
            "--guard: write a folder's path, or s3://BUCKET/PREFIX, gs://… or az://…"
        )
    return _checked(parts)


def _checked(parts: SplitResult) -> StoreUrl:
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(
            "--guard: a bucket and a prefix are all the URL may hold; keys and regions"
            " come from the environment, such as AWS_ACCESS_KEY_ID and AWS_REGION"
        )
    climbs = any(set(part) == {"."} for part in parts.path.split("/"))
    if not _BUCKET.fullmatch(parts.netloc) or not _PREFIX.fullmatch(parts.path):
        climbs = True
    if climbs:
        raise ConfigurationError(
            "--guard: a bucket has 2 to 63 of a-z, 0-9, '.', '_' and '-', a prefix has"
            " letters, digits, '_', '.', '-' and '/'"
        )
    return StoreUrl(parts.scheme, parts.netloc, parts.path.strip("/"))
