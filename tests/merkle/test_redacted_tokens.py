"""A secret in the claims of a token does not stay, however the token is encoded."""

import base64
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.encoding import encode_base64url
from provlog.merkle.event_tokens import is_token_shaped
from provlog.merkle.redaction import MARK, Cut, cut_secrets
from support.sets import claims_of, sign

SECRET = "hunter2-quux"
HEADER = encode_base64url(b'{"alg":"ES256","typ":"secevent+jwt"}')


def token_of(payload: bytes, header: str = HEADER) -> bytes:
    return f"{header}.{encode_base64url(payload)}.c2ln".encode()


def decoded(record: bytes) -> bytes:
    """Return a record with whatever its parts say, read as leniently as can be."""
    parts = [
        base64.urlsafe_b64decode(part[: len(part) - (len(part) % 4 == 1)] + b"===")
        for part in (record.split(b".") if is_token_shaped(record) else ())
    ]
    return b"\n".join([record, *parts])


def test_of_a_token_with_a_secret_the_claims_stay() -> None:
    claims = claims_of(events={"urn:x": {"userName": "zoe", "password": SECRET}})
    cut = cut_secrets(sign(claims).encode())
    assert cut.pointers == ("/events/urn:x/password",)
    claims["events"]["urn:x"]["password"] = "[redacted]"
    assert json.loads(cut.record) == claims


def test_a_token_without_secrets_stays_as_it_is() -> None:
    record = sign(claims_of(events={"urn:x": {"attributes": ["password"]}})).encode()
    assert cut_secrets(record) == Cut(record)


def test_no_spelling_of_base64_hides_a_secret() -> None:
    payload = json.dumps({"password": SECRET}).encode()
    for blanks in range(4):
        record = token_of(payload + b" " * blanks)
        head, body, signature = record.split(b".")
        for tail in (b"", b"A", b"AA"):
            spelled = b".".join([head, body + tail, signature])
            assert SECRET.encode() not in decoded(cut_secrets(spelled).record)


def test_a_secret_in_a_header_leaves_nothing() -> None:
    header = encode_base64url(json.dumps({"alg": "x", "password": SECRET}).encode())
    assert cut_secrets(token_of(b"{}", header)) == Cut(MARK, ("",))


@settings(max_examples=100)
@given(
    st.recursive(
        st.none() | st.text(max_size=5),
        lambda inner: st.dictionaries(
            st.sampled_from(["a", "password", "token", "sub_id", "data"]), inner
        ),
        max_leaves=6,
    ),
    st.binary(max_size=12),
)
def test_whatever_a_token_says_is_cut_once(value: Any, noise: bytes) -> None:  # noqa: ANN401
    payload = json.dumps({"claims": value, "clientSecret": SECRET}).encode()
    for record in (token_of(payload), token_of(payload + noise), token_of(noise)):
        cut = cut_secrets(record)
        assert SECRET.encode() not in decoded(cut.record)
        assert cut_secrets(cut.record).record == cut.record
