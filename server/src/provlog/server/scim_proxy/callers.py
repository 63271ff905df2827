"""Who asks, without keeping what they prove it with.

Nothing here is verified: that is the SCIM server's business, and its status tells how
it went. What stands in a record is what a caller says of itself (the claims of a JWT),
or a keyed digest by which the holder of the key can recognise a token.
"""

import hashlib
import hmac
import secrets
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from provlog.merkle.encoding import JsonValue, decode_base64url, loads_json
from provlog.merkle.errors import MalformedError
from provlog.server.errors import ConfigurationError
from provlog.server.files import read_private, write_private

KEY_FILE: Final = "scim-proxy.key"
KEY_BYTES: Final = 32
MAX_CREDENTIAL: Final = 16 * 1024
MAX_CLAIM: Final = 256
DIGEST_CHARACTERS: Final = 32
DOMAIN: Final = b"caller\0"
"""What stands before a credential in its digest: bodies have digests as well, and
whoever sends one must not learn what a credential's would be."""

_SUBJECTS = ("sub", "client_id", "azp", "appid")


class Callers:
    """Names callers, with the key of this proxy; `names` are by id or by digest."""

    def __init__(self, key: bytes, names: Mapping[str, str]) -> None:
        self._key = key
        self._names = names

    def of_credentials(self, authorization: str | None) -> dict[str, JsonValue]:
        """Return what is recorded of the field `Authorization`."""
        if not authorization or len(authorization) > MAX_CREDENTIAL:
            return self._named(
                {"type": "anonymous" if not authorization else "credential"}
            )
        scheme, _, credential = authorization.strip().partition(" ")
        digest = self.digest(f"{scheme.lower()} {credential.strip()}")
        claims = _claims(credential.strip()) if scheme.lower() == "bearer" else {}
        subject = next((claims[each] for each in _SUBJECTS if each in claims), None)
        caller: dict[str, JsonValue] = {
            "id": subject or digest,
            "type": "client" if subject else "credential",
            "digest": digest,
        }
        if "iss" in claims:
            caller["issuer"] = claims["iss"]
        return self._named(caller | ({"verified": False} if subject else {}))

    def of_certificate(self, certificate: bytes) -> dict[str, JsonValue]:
        """Return what is recorded of a client's certificate, in DER, that TLS took."""
        fingerprint = f"sha256:{hashlib.sha256(certificate).hexdigest()}"
        caller: dict[str, JsonValue] = {"id": fingerprint, "type": "certificate"}
        return self._named(caller | {"name": subject_of(certificate)})

    def of_header(self, text: str) -> dict[str, JsonValue]:
        """Return what is recorded of a certificate that a trusted proxy names."""
        return self._named({"id": text[:MAX_CLAIM], "type": "certificate"})

    def digest(self, text: str) -> str:
        """Return the keyed digest of a credential."""
        data = DOMAIN + text.encode("utf-8", "replace")
        made = hmac.new(self._key, data, hashlib.sha256)
        return f"hmac:{made.hexdigest()[:DIGEST_CHARACTERS]}"

    def _named(self, caller: dict[str, JsonValue]) -> dict[str, JsonValue]:
        known = (self._names.get(str(caller.get(each))) for each in ("id", "digest"))
        name = next((each for each in known if each), None)
        return caller if name is None else caller | {"name": name}


def subject_of(certificate: bytes) -> str:
    """Return the subject of a certificate in DER, "" where it cannot be read."""
    from cryptography import x509

    try:
        found = x509.load_der_x509_certificate(certificate).subject
        return found.rfc4514_string()[:MAX_CLAIM]
    except ValueError:
        return ""


def peer_certificate(connection: "ssl.SSLObject | None") -> bytes | None:
    """Return the certificate, in DER, that a client showed and TLS verified."""
    return None if connection is None else connection.getpeercert(binary_form=True)


def load_key(path: Path, *, create: bool) -> bytes:
    """Return the key of the digests from a file of mode 0600.

    `create`: make it where there is none. Raises `ConfigurationError`.
    """
    if create and not path.exists():
        write_private(path, secrets.token_hex(KEY_BYTES) + "\n")
    try:
        key = bytes.fromhex(read_private(path))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"{path} holds no key: {KEY_BYTES * 2} hexadecimal digits in one line"
        )
    return key


def _claims(token: str) -> dict[str, str]:
    """Return the short text claims of a JWT, none where it is another kind of token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = loads_json(decode_base64url(parts[1]))
        header = loads_json(decode_base64url(parts[0]))
    except (MalformedError, ValueError):
        return {}
    if not isinstance(claims, dict) or not isinstance(header, dict):
        return {}
    return {
        name: value
        for name in (*_SUBJECTS, "iss")
        if isinstance(value := claims.get(name), str) and 0 < len(value) <= MAX_CLAIM
    }
