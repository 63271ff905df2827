"""Signed tokens: JWS in its compact form (RFC 7515), three algorithms, nothing else.

A token is three parts of canonical base64url. Its algorithm is never taken from the
token alone: a key is of one algorithm, by its type, and a token is verified with keys
of the algorithm that it names. So a public key is no HMAC secret, `none` is no
algorithm, and what else a header may offer to verify itself with (`jwk`, `jku`, `x5u`,
`x5c`) is never looked at. `crit` and `b64` are refused.

`EdDSA` (RFC 8037, deprecated by RFC 9864) is read as `Ed25519`, its fully specified
name, since only keys of that curve are taken.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from provlog.merkle.encoding import JsonValue, decode_base64url, loads_json
from provlog.merkle.errors import MalformedError, SignatureError
from provlog.merkle.jwk import ALGORITHMS, IssuerKey, algorithm_of

__all__ = ["MAX_TOKEN", "Token", "UnknownKeyError", "parse_token_unverified", "verify"]

MAX_TOKEN: Final = 256 * 1024
"""The longest token in characters: as long as an original may be."""
MAX_HEADER: Final = 4096
MAX_KEY_ID: Final = 256
_COORDINATE: Final = 32
_REFUSED: Final = ("crit", "b64")


class UnknownKeyError(SignatureError):
    """None of the keys is the one that a token names."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose signature nobody has looked at.

    `algorithm` is one of `ALGORITHMS`, None where the header names another (or none).
    `kid` names the key, None where the header does not. `payload` is what was signed.
    """

    header: dict[str, JsonValue]
    payload: bytes
    algorithm: str | None
    kid: str | None
    signed: bytes
    signature: bytes


def parse_token_unverified(text: str) -> Token:
    """Return what a token says, before anything is believed.

    Raises `MalformedError` for what is no JWS in canonical compact form, is longer
    than `MAX_TOKEN`, or has a header that cannot be understood in full.
    """
    if len(text) > MAX_TOKEN:
        raise MalformedError(f"token: more than {MAX_TOKEN} characters")
    parts = text.split(".")
    if len(parts) != 3 or not text.isascii() or not parts[0]:
        raise MalformedError("token: not three parts with dots between them")
    header = _header(parts[0])
    payload = decode_base64url(parts[1], "token: payload")
    signature = decode_base64url(parts[2], "token: signature")
    signed = f"{parts[0]}.{parts[1]}".encode("ascii")
    name, kid = header.get("alg"), header.get("kid")
    if not isinstance(name, str):
        raise MalformedError("token: its header names no algorithm")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_KEY_ID):
        raise MalformedError(f"token: kid is no text of {MAX_KEY_ID} characters")
    return Token(header, payload, algorithm_of(name), kid, signed, signature)


def verify(
    token: Token, keys: Sequence[IssuerKey], algorithms: Collection[str] = ALGORITHMS
) -> IssuerKey:
    """Return the key that signed a token, one of `keys` and of `algorithms`.

    Raises `UnknownKeyError` where none is the one the token names, and
    `SignatureError` where the signature is not that of one, or the algorithm is not
    accepted.
    """
    if token.algorithm is None or token.algorithm not in algorithms:
        raise SignatureError("token: signed with an algorithm that is not accepted")
    fitting = [key for key in keys if key.may_be(token.kid)]
    if not fitting:
        raise UnknownKeyError("token: signed with a key that is not the issuer's")
    for key in fitting:
        if key.algorithm == token.algorithm and _signed_with(token, key):
            return key
    raise SignatureError("token: the signature is not one of the issuer's keys'")


def _header(part: str) -> dict[str, JsonValue]:
    if len(part) > MAX_HEADER:
        raise MalformedError(f"token: a header of more than {MAX_HEADER} characters")
    header = loads_json(decode_base64url(part, "token: header"), "token: header")
    if not isinstance(header, dict):
        raise MalformedError("token: its header is not an object")
    for name in _REFUSED:
        if name in header:
            raise MalformedError(f"token: its header has {name}")
    return header


def _signed_with(token: Token, key: IssuerKey) -> bool:
    public, signature = key.public, token.signature
    try:
        match public:
            case Ed25519PublicKey():
                public.verify(signature, token.signed)
            case RSAPublicKey():
                public.verify(signature, token.signed, padding.PKCS1v15(), SHA256())
            case EllipticCurvePublicKey():
                public.verify(_as_der(signature), token.signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _as_der(signature: bytes) -> bytes:
    """Return an ECDSA signature as the library takes it (RFC 7518 section 3.4)."""
    if len(signature) != 2 * _COORDINATE:
        raise InvalidSignature
    r = int.from_bytes(signature[:_COORDINATE], "big")
    s = int.from_bytes(signature[_COORDINATE:], "big")
    return utils.encode_dss_signature(r, s)
