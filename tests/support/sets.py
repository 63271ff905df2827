"""Security event tokens for tests: issuers with keys of each algorithm, and claims.

Signed with joserfc, a library that this project does not use to verify.
"""

import json
from typing import Any, Final

from joserfc import jws
from joserfc.jwk import ECKey, KeyParameters, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from provlog.merkle.encoding import encode_base64url

ISSUER: Final = "https://idp.example.com"
AUDIENCE: Final = "https://log.example.com/hooks"
PROV: Final = "urn:ietf:params:scim:event:prov"
RISC: Final = "https://schemas.openid.net/secevent/risc/event-type"
CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type"

Key = OKPKey | ECKey | RSAKey


def make_key(algorithm: str, kid: str | None = None) -> Key:
    """Return a new private key for one of the algorithms."""
    parameters: KeyParameters = {} if kid is None else {"kid": kid}
    match algorithm:
        case "ES256":
            return ECKey.generate_key("P-256", parameters)
        case "RS256":
            return RSAKey.generate_key(2048, parameters)
    return OKPKey.generate_key("Ed25519", parameters)


KEYS: Final[dict[str, Key]] = {
    name: make_key(name, f"{name}-1") for name in ("Ed25519", "ES256", "RS256")
}


def key_set(*keys: Key) -> bytes:
    """Return the public halves of keys as a JWK Set."""
    return json.dumps(KeySet([*keys]).as_dict(private=False)).encode()


JWKS: Final = key_set(*KEYS.values())


def claims_of(jti: str = "4d3559ec", **changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the claims of an account that was disabled; arguments replace parts."""
    return {
        "iss": ISSUER,
        "jti": jti,
        "iat": 1_795_283_635,
        "aud": AUDIENCE,
        "txn": "txn-7",
        "sub_id": {"format": "scim", "uri": "/Users/u-1", "externalId": "zoe"},
        "events": {f"{PROV}:deactivate": {}},
        **changed,
    }


def sign(
    claims: object,
    algorithm: str = "Ed25519",
    key: Key | None = None,
    **header: Any,  # noqa: ANN401
) -> str:
    """Return a token; `claims` may be bytes. A header member of None is left out."""
    chosen = key or KEYS[algorithm]
    members = {"alg": algorithm, "typ": "secevent+jwt", "kid": chosen.kid, **header}
    kept = {name: value for name, value in members.items() if value is not None}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    registry = JWSRegistry(algorithms=[str(kept["alg"])], strict_check_header=False)
    return jws.serialize_compact(kept, payload, chosen, registry=registry)


def unsigned(claims: object, **header: Any) -> str:  # noqa: ANN401
    """Return a token without signature (RFC 7519 section 6)."""
    members = {"alg": "none", "typ": "secevent+jwt", **header}
    parts = [json.dumps(each).encode() for each in (members, claims)]
    return ".".join([*map(encode_base64url, parts), ""])
