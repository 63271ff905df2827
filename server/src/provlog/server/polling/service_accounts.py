"""Grants that the account of a service signs itself, with its key (RFC 7523).

The key is the JSON file that Google hands out for an account of a service. The grant is
a JWT that is good for an hour, at one token endpoint.

Source: RFC 7523, sections 2.1 and 3; Google's "Using OAuth 2.0 for Server to Server
Applications".
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from yarl import URL

from provlog.server.errors import ConfigurationError
from provlog.server.polling.feed import UnfitError

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_URL: Final = "https://oauth2.googleapis.com/token"  # noqa: S105  an address
SECONDS: Final = 3600
"""How long a grant is good; Google takes none that is longer."""


class _KeyFile(msgspec.Struct, frozen=True):
    """What is read of the file; the rest of it is not needed."""

    type: Literal["service_account"]
    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = TOKEN_URL


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """The key of a service's account, its address, and where grants are taken."""

    email: str
    key_id: str
    token_url: str
    key: RSAKey = field(repr=False)

    def grant(self, audience: str, subject: str, scope: str, now: int) -> str:
        """Return a signed JWT with which the account asks to act for `subject`.

        `now` is in Unix seconds.
        """
        claims = {
            "iss": self.email,
            "sub": subject,
            "scope": scope,
            "aud": audience,
            "iat": now,
            "exp": now + SECONDS,
        }
        header = {"alg": "RS256", "kid": self.key_id} if self.key_id else {}
        return jwt.encode({"alg": "RS256"} | header, claims, self.key, ["RS256"])


def parse_service_key(text: str, path: Path) -> ServiceKey:
    """Return the key that a file's text is; `path` is for the error alone.

    Raises `ConfigurationError` for anything else, and repeats nothing of it.
    """
    try:
        read = msgspec.json.decode(text, type=_KeyFile)
        key = RSAKey.import_key(read.private_key)
    except (ValueError, TypeError, JoseError):
        key = None
    if key is None or not key.is_private:
        raise ConfigurationError(
            f"{path} is not the key of a service's account (JSON, with an RSA key)"
        ) from None
    return ServiceKey(read.client_email, read.private_key_id, read.token_uri, key)


def split_token_url(url: str) -> tuple[str, str]:
    """Return origin and path of a token endpoint, or raise `UnfitError`."""
    try:
        parsed = URL(url)
        origin = str(parsed.origin())
    except ValueError:
        origin = ""
    if not origin or url != f"{origin}{parsed.raw_path}":
        raise UnfitError(
            "the token endpoint (token_url, or token_uri of the key) is https://, a"
            " host and a path, and nothing else"
        )
    return origin, parsed.raw_path
