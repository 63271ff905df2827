"""Tokens verify where an issuer's key signed them, and in no other case."""

import base64
import contextlib
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from provlog.merkle.encoding import encode_base64url
from provlog.merkle.errors import MalformedError, MerkleError, SignatureError
from provlog.merkle.event_tokens import (
    MAX_EVENTS,
    WrongAudienceError,
    WrongIssuerError,
    open_unverified,
    verify_set,
)
from provlog.merkle.jwk import MAX_KEYS, parse_key_set, parse_keys
from provlog.merkle.jws import MAX_TOKEN, UnknownKeyError
from support.sets import (
    AUDIENCE,
    ISSUER,
    JWKS,
    KEYS,
    claims_of,
    key_set,
    make_key,
    sign,
    unsigned,
)

TRUSTED = parse_keys(JWKS)
ALGORITHMS = ("Ed25519", "ES256", "RS256")


def spoiled(token: str, place: int, part: str) -> str:
    parts = token.split(".")
    parts[place] = part
    return ".".join(parts)


def header_of(**members: Any) -> str:  # noqa: ANN401
    return encode_base64url(json.dumps(members).encode())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_another_library_signed_verifies(algorithm: str) -> None:
    found = verify_set(
        sign(claims_of(), algorithm), TRUSTED, issuer=ISSUER, audiences=[AUDIENCE]
    )
    assert found.claims.all == claims_of()
    assert (found.claims.iss, found.claims.jti) == (ISSUER, "4d3559ec")
    assert (found.key.algorithm, found.key.kid) == (algorithm, f"{algorithm}-1")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_byte_of_a_token_may_change(algorithm: str) -> None:
    token = sign(claims_of(), algorithm)
    other = sign(claims_of(jti="other"), algorithm)
    for place in (1, 2):
        with pytest.raises(SignatureError):
            verify_set(spoiled(token, place, other.split(".")[place]), TRUSTED)


def test_a_token_without_kid_is_tried_with_every_key() -> None:
    for algorithm in ALGORITHMS:
        verify_set(sign(claims_of(), algorithm, kid=None), TRUSTED)


def test_a_key_of_another_issuer_is_unknown_by_name_and_false_without() -> None:
    stranger = make_key("ES256", "stranger")
    with pytest.raises(UnknownKeyError):
        verify_set(sign(claims_of(), "ES256", stranger), TRUSTED)
    for named in ("ES256-1", None):
        with pytest.raises(SignatureError):
            verify_set(sign(claims_of(), "ES256", stranger, kid=named), TRUSTED)


def test_a_token_without_signature_is_none_whatever_it_calls_that() -> None:
    for name in ("none", "None", "NONE", ""):
        with pytest.raises(SignatureError):
            verify_set(unsigned(claims_of(), alg=name), TRUSTED)


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    public = KEYS["RS256"]
    assert isinstance(public, RSAKey)
    for encoding in (Encoding.PEM, Encoding.DER):
        secret = public.public_key.public_bytes(
            encoding, PublicFormat.SubjectPublicKeyInfo
        )
        for name in ("HS256", "RS256"):
            head = header_of(alg=name, typ="secevent+jwt", kid="RS256-1")
            body = encode_base64url(json.dumps(claims_of()).encode())
            digest = hmac.digest(secret, f"{head}.{body}".encode(), hashlib.sha256)
            with pytest.raises(SignatureError):
                verify_set(f"{head}.{body}.{encode_base64url(digest)}", TRUSTED)


def test_the_algorithm_is_the_key_s() -> None:
    """A token that says ES256 and names an RSA key is verified with neither."""
    for algorithm in ALGORITHMS:
        token = sign(claims_of(), algorithm)
        for claimed in ALGORITHMS:
            if claimed != algorithm:
                head = header_of(alg=claimed, typ="secevent+jwt", kid=f"{algorithm}-1")
                with pytest.raises(SignatureError):
                    verify_set(spoiled(token, 0, head), TRUSTED)


def test_a_good_signature_under_another_algorithm_s_name_is_none() -> None:
    key = KEYS["RS256"]
    assert isinstance(key, RSAKey)
    body = encode_base64url(json.dumps(claims_of()).encode())
    for name, verifies in (("RS256", True), ("ES256", False), ("Ed25519", False)):
        head = header_of(alg=name, typ="secevent+jwt", kid="RS256-1")
        signature = key.private_key.sign(  # type: ignore[union-attr]
            f"{head}.{body}".encode(), PKCS1v15(), SHA256()
        )
        token = f"{head}.{body}.{encode_base64url(signature)}"
        if verifies:
            verify_set(token, TRUSTED)
            continue
        with pytest.raises(SignatureError):
            verify_set(token, TRUSTED)


def test_an_algorithm_that_is_not_accepted_is_refused_with_a_good_signature() -> None:
    with pytest.raises(SignatureError):
        verify_set(sign(claims_of(), "RS256"), TRUSTED, algorithms=["ES256"])


def test_eddsa_is_the_old_name_of_ed25519() -> None:
    key = KEYS["Ed25519"]
    assert isinstance(key, OKPKey)
    head = header_of(alg="EdDSA", typ="secevent+jwt")
    body = encode_base64url(json.dumps(claims_of()).encode())
    signature = key.private_key.sign(f"{head}.{body}".encode())  # type: ignore[union-attr]
    token = f"{head}.{body}.{encode_base64url(signature)}"
    assert verify_set(token, TRUSTED).key.algorithm == "Ed25519"


def test_no_key_is_taken_from_the_token() -> None:
    stranger = make_key("ES256", "stranger")
    embedded: dict[str, Any] = {
        "jwk": stranger.as_dict(private=False),
        "jku": "https://evil.example.com/jwks",
        "x5u": "https://evil.example.com/cert",
        "kid": None,
    }
    with pytest.raises(SignatureError):
        verify_set(sign(claims_of(), "ES256", stranger, **embedded), TRUSTED)
    # What is beside a good key is not looked at.
    del embedded["kid"]
    verify_set(sign(claims_of(), "ES256", **embedded), TRUSTED)


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False},
        {"b64": True},
        {"typ": "JWT"},
        {"typ": None},
        {"typ": ["secevent+jwt"]},
        {"kid": 7},
        {"kid": "k" * 300},
        {"alg": None},
        {"alg": 256},
    ],
    ids=str,
)
def test_headers_that_are_not_those_of_a_token(header: dict[str, Any]) -> None:
    members = {"alg": "ES256", "typ": "secevent+jwt", "kid": "ES256-1", **header}
    head = header_of(**{k: v for k, v in members.items() if v is not None})
    with pytest.raises(MalformedError):
        verify_set(spoiled(sign(claims_of(), "ES256"), 0, head), TRUSTED)


def test_the_type_may_be_spelled_as_a_media_type() -> None:
    for typ in ("SecEvent+JWT", "application/secevent+jwt"):
        verify_set(sign(claims_of(), typ=typ), TRUSTED)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": None},
        {"iss": 7},
        {"iss": ""},
        {"jti": None},
        {"jti": ""},
        {"iat": None},
        {"iat": "1458496404"},
        {"iat": True},
        {"events": None},
        {"events": {}},
        {"events": []},
        {"events": {"urn:x": None}},
        {"events": {f"urn:x:{n}": {} for n in range(MAX_EVENTS + 1)}},
        {"aud": 7},
        {"aud": [1]},
        {"aud": ["a"] * 100},
    ],
    ids=lambda each: str(each)[:40],
)
def test_claims_that_are_not_those_of_a_token(claims: dict[str, Any]) -> None:
    merged = claims_of(**claims)
    kept = {name: value for name, value in merged.items() if value is not None}
    with pytest.raises(MalformedError):
        verify_set(sign(kept), TRUSTED)


def test_a_claim_that_stands_twice_is_refused() -> None:
    doubled = json.dumps(claims_of())[:-1] + ', "iss": "https://evil.example.com"}'
    with pytest.raises(MalformedError):
        verify_set(sign(doubled.encode()), TRUSTED)
    head = base64.urlsafe_b64encode(
        b'{"alg":"ES256","typ":"secevent+jwt","alg":"none"}'
    ).rstrip(b"=")
    with pytest.raises(MalformedError):
        verify_set(spoiled(sign(claims_of()), 0, head.decode()), TRUSTED)


def test_nesting_and_length_are_bounded() -> None:
    for payload in (b"[" * 200 + b"]" * 200, b'{"a":' * 100 + b"1" + b"}" * 100):
        with pytest.raises(MalformedError):
            verify_set(sign(payload), TRUSTED)
    with pytest.raises(MalformedError):
        open_unverified("a" * (MAX_TOKEN + 1))
    with pytest.raises(MalformedError):
        verify_set(spoiled(sign(claims_of()), 0, "A" * 8192), TRUSTED)


def test_one_value_has_one_spelling() -> None:
    token = sign(claims_of(), "ES256")
    head, body, signature = token.split(".")
    for bad in (
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature} ",
        f"{head}.{body}",
        f"{head}.{body}.{signature}.",
        f".{body}.{signature}",
        f"{head}.{body}.{signature}\n",
        f"{head}.{body}+/.{signature}",
        token.replace(".", ".é", 1),
    ):
        with pytest.raises(MerkleError):
            verify_set(bad, TRUSTED)


def test_issuer_and_audience_are_compared_where_they_are_given() -> None:
    token = sign(claims_of(aud=["https://a.example", AUDIENCE]))
    verify_set(token, TRUSTED, audiences=["https://b.example", AUDIENCE])
    with pytest.raises(WrongIssuerError):
        verify_set(token, TRUSTED, issuer=f"{ISSUER}/")
    with pytest.raises(WrongAudienceError):
        verify_set(token, TRUSTED, audiences=[f"{AUDIENCE}/"])
    for nobody in ("[]", "null"):
        audience = json.loads(nobody)
        without = {k: v for k, v in claims_of(aud=audience).items() if v is not None}
        with pytest.raises(WrongAudienceError):
            verify_set(sign(without), TRUSTED, audiences=[AUDIENCE])


def test_a_token_is_verified_years_later_whatever_exp_says() -> None:
    verify_set(sign(claims_of(exp=1, nbf=9_999_999_999)), TRUSTED)


def test_keys_that_are_for_something_else_are_passed_over() -> None:
    good = json.loads(JWKS)["keys"]
    others = [
        {**good[1], "use": "enc"},
        {**good[1], "key_ops": ["sign"]},
        {**good[1], "alg": "ES384"},
        {**good[1], "alg": 1},
        {**good[1], "x": "AA"},
        {**good[1], "y": good[1]["x"]},
        {**good[1], "kid": 4},
        {**good[0], "x": "AA"},
        {**good[2], "e": "AAAAAAAAAAE"},
        {**good[2], "n": encode_base64url(b"\xff" * 2048)},
        KEYS["ES256"].as_dict(private=True),
        OctKey.generate_key(256).as_dict(),
        ECKey.generate_key("P-384").as_dict(private=False),
        OKPKey.generate_key("Ed448").as_dict(private=False),
        {"kty": "?"},
        "a",
        None,
    ]
    assert parse_key_set(json.dumps({"keys": others}).encode()) == ()
    found = parse_key_set(json.dumps({"keys": [*others, *good]}).encode())
    assert [each.kid for each in found] == [f"{each}-1" for each in ALGORITHMS]


def test_a_file_of_keys_is_a_set_one_key_or_pem() -> None:
    key = KEYS["ES256"]
    assert isinstance(key, ECKey)
    pem = key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = sign(claims_of(), "ES256")
    for data in (
        JWKS,
        json.dumps(key.as_dict(private=False)).encode(),
        pem,
        b"a comment\n" + pem + KEYS["Ed25519"].as_pem(private=False),
    ):
        verify_set(token, parse_keys(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys":[]}',
        b'{"keys":{}}',
        b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n",
        KEYS["ES256"].as_pem(private=True),
        b" " * 200_000,
        json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(),
    ],
    ids=lambda each: str(each[:24]),
)
def test_files_that_hold_no_keys(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_keys(data)


def test_a_weak_rsa_key_is_no_key() -> None:
    with pytest.warns(SecurityWarning):
        shown = key_set(RSAKey.generate_key(1024))
    assert parse_key_set(shown) == ()


@settings(max_examples=100)
@given(
    st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1"))
)
def test_any_text_is_refused_and_nothing_else_raised(text: str) -> None:
    with pytest.raises(MerkleError):
        verify_set(text, TRUSTED)
    with pytest.raises(MerkleError):
        verify_set(spoiled(sign(claims_of()), 1, text), TRUSTED)


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_keys_or_refused(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        parse_keys(data)
