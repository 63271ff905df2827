"""Public keys of issuers: JWK Sets (RFC 7517) and PEM.

A key has one algorithm, which follows from its type: Ed25519 (OKP), ES256 (EC on
P-256), RS256 (RSA). Keys of a set that are of other types, for another use, or not well
formed are passed over, as RFC 7517 section 5 asks; one that gives its private half away
is passed over as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from provlog.merkle.encoding import JsonValue, decode_base64url, loads_json
from provlog.merkle.errors import MalformedError

ALGORITHMS: Final = ("Ed25519", "ES256", "RS256")
"""The algorithms that are understood (RFC 9864, RFC 7518)."""

MAX_KEY_SET: Final = 128 * 1024
"""The longest key set in bytes."""
MAX_KEYS: Final = 64
"""How many keys a set may hold: a token without `kid` is tried with all of them."""
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192

_SPELLINGS: Final = {"EdDSA": "Ed25519"}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
_PEM: Final = b"-----BEGIN "
_PEM_END: Final = b"-----END PUBLIC KEY-----"
_COORDINATE: Final = 32

PublicKey: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key, and the one algorithm it verifies. `kid` is its name, if any."""

    public: PublicKey
    algorithm: str
    kid: str | None = None

    def may_be(self, kid: str | None) -> bool:
        """Tell whether this can be the key that a token names: either may not say."""
        return self.kid is None or kid is None or self.kid == kid


def algorithm_of(name: str) -> str | None:
    """Return which of `ALGORITHMS` a name stands for, None if none."""
    name = _SPELLINGS.get(name, name)
    return name if name in ALGORITHMS else None


def parse_keys(data: bytes) -> tuple[IssuerKey, ...]:
    """Return the keys of a file: a JWK Set, a single JWK, or PEM with public keys.

    Raises `MalformedError` where it is none of these, too long, or holds no key that
    could be used.
    """
    if len(data) > MAX_KEY_SET:
        raise MalformedError(f"keys: more than {MAX_KEY_SET} bytes")
    keys = _parse_pem(data) if _PEM in data else parse_key_set(data, single=True)
    if not keys:
        raise MalformedError(
            "keys: none that can be used (Ed25519, P-256, or RSA of 2048 bits or more)"
        )
    return keys


def parse_key_set(data: bytes, *, single: bool = False) -> tuple[IssuerKey, ...]:
    """Return the keys of a JWK Set that can be used, perhaps none, in its order.

    With `single`, one JWK by itself is taken too. Raises `MalformedError`.
    """
    if len(data) > MAX_KEY_SET:
        raise MalformedError(f"keys: more than {MAX_KEY_SET} bytes")
    value = loads_json(data, "keys")
    if not isinstance(value, dict):
        raise MalformedError("keys: not a JWK Set")
    listed = [value] if single and "kty" in value else value.get("keys")
    if not isinstance(listed, list):
        raise MalformedError("keys: not a JWK Set")
    if len(listed) > MAX_KEYS:
        raise MalformedError(f"keys: more than {MAX_KEYS}")
    keys = (_key_of(each) for each in listed if isinstance(each, dict))
    return tuple(key for key in keys if key is not None)


def _parse_pem(data: bytes) -> tuple[IssuerKey, ...]:
    blocks = [block for block in data.split(_PEM_END) if _PEM in block]
    if len(blocks) > MAX_KEYS:
        raise MalformedError(f"keys: more than {MAX_KEYS}")
    keys = []
    for block in blocks:
        try:
            public = load_pem_public_key(block[block.index(_PEM) :] + _PEM_END)
        except (ValueError, UnsupportedAlgorithm):
            raise MalformedError("keys: PEM that is no public key") from None
        key = _usable(public, None)
        if key is not None:
            keys.append(key)
    return tuple(keys)


def _key_of(jwk: Mapping[str, JsonValue]) -> IssuerKey | None:
    kid = jwk.get("kid")
    if not _is_for_signatures(jwk) or not (kid is None or isinstance(kid, str)):
        return None
    try:
        key = _usable(_public_of(jwk), kid)
    except (MalformedError, ValueError):
        return None
    named = jwk.get("alg")
    if key is None or named is None:
        return key
    fits = isinstance(named, str) and algorithm_of(named) == key.algorithm
    return key if fits else None


def _is_for_signatures(jwk: Mapping[str, JsonValue]) -> bool:
    ops = jwk.get("key_ops", ["verify"])
    return (
        _PRIVATE.isdisjoint(jwk)
        and jwk.get("use", "sig") == "sig"
        and isinstance(ops, list)
        and "verify" in ops
    )


def _public_of(jwk: Mapping[str, JsonValue]) -> object:
    match jwk.get("kty"), jwk.get("crv"):
        case "OKP", "Ed25519":
            return Ed25519PublicKey.from_public_bytes(_bytes(jwk, "x"))
        case "EC", "P-256":
            x, y = _bytes(jwk, "x"), _bytes(jwk, "y")
            if len(x) != _COORDINATE or len(y) != _COORDINATE:
                return None
            return EllipticCurvePublicNumbers(
                int.from_bytes(x, "big"), int.from_bytes(y, "big"), SECP256R1()
            ).public_key()
        case "RSA", _:
            n, e = _bytes(jwk, "n"), _bytes(jwk, "e")
            if len(n) * 8 > MAX_RSA_BITS or len(e) > 4:
                return None
            return RSAPublicNumbers(
                int.from_bytes(e, "big"), int.from_bytes(n, "big")
            ).public_key()
    return None


def _bytes(jwk: Mapping[str, JsonValue], name: str) -> bytes:
    value = jwk.get(name)
    return decode_base64url(value if isinstance(value, str) else "", "keys")


def _usable(public: object, kid: str | None) -> IssuerKey | None:
    match public:
        case Ed25519PublicKey():
            return IssuerKey(public, "Ed25519", kid)
        case EllipticCurvePublicKey() if isinstance(public.curve, SECP256R1):
            return IssuerKey(public, "ES256", kid)
        case RSAPublicKey() if MIN_RSA_BITS <= public.key_size <= MAX_RSA_BITS:
            return IssuerKey(public, "RS256", kid)
    return None
