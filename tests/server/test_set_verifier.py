"""Whether a token is one of a source's: whatever else is sent has a code."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.encoding import JsonValue, encode_base64url
from provlog.server.errors import ConfigurationError
from provlog.server.http import set_push
from provlog.server.http.problems import Problem
from provlog.server.set_verifier import SetRefusedError, SetVerifier, make_verifier
from provlog.server.source_settings import SourceSettings
from support.events import json_values
from support.sets import AUDIENCE, ISSUER, JWKS, KEYS, claims_of, sign

CODES = {"invalid_request", "invalid_key", "invalid_issuer", "invalid_audience"}
DRAWN = settings(max_examples=100, deadline=None)


def verifier_of(folder: Path, **issuer: Any) -> SetVerifier:  # noqa: ANN401
    (folder / "keys.json").write_bytes(JWKS)
    table = {"issuer": ISSUER, "audience": AUDIENCE, "keys_file": "keys.json", **issuer}
    return make_verifier(
        SourceSettings(folder / "set.toml", "urn:set:idp", issuers=(table,))
    )


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> SetVerifier:
    return verifier_of(tmp_path_factory.mktemp("verifier"))


def refusal(verifier: SetVerifier, text: JsonValue, jti: str = "4d3559ec") -> str:
    """Return the code that a token is refused with; its words repeat nothing."""
    with pytest.raises(SetRefusedError) as refused:
        asyncio.run(verifier.verify_named(jti, text))
    assert refused.value.code in CODES
    words = {each for each in refused.value.description.split() if len(each) > 12}
    assert not any(word in str(text) for word in words)
    return refused.value.code


def test_a_token_of_the_source_is_one(verifier: SetVerifier) -> None:
    for algorithm in KEYS:
        found = asyncio.run(verifier.verify(sign(claims_of(), algorithm)))
        assert found.key.algorithm == algorithm


@DRAWN
@given(value=json_values())
def test_whatever_is_sent_in_the_place_of_a_token_has_a_code(
    verifier: SetVerifier, value: JsonValue
) -> None:
    assert refusal(verifier, value) == "invalid_request"
    assert refusal(verifier, json.dumps(value)) == "invalid_request"


@DRAWN
@given(header=json_values(), payload=json_values())
def test_parts_that_say_anything_have_a_code(
    verifier: SetVerifier, header: JsonValue, payload: JsonValue
) -> None:
    parts = [encode_base64url(json.dumps(each).encode()) for each in (header, payload)]
    assert refusal(verifier, ".".join([*parts, "c2ln"])) in CODES
    assert refusal(verifier, sign(payload)) in CODES


@DRAWN
@given(name=st.sampled_from(sorted(claims_of())), value=json_values())
def test_a_claim_that_is_another_is_accepted_or_has_a_code(
    verifier: SetVerifier, name: str, value: JsonValue
) -> None:
    token = sign({**claims_of(), name: value})
    with suppress(SetRefusedError):
        found = asyncio.run(verifier.verify(token))
        assert found.claims.all[name] == value
        assert (found.claims.iss, AUDIENCE in found.claims.audiences) == (ISSUER, True)


@DRAWN
@given(noise=st.binary(max_size=80), value=json_values())
def test_any_body_of_many_is_read_or_a_problem(noise: bytes, value: JsonValue) -> None:
    for body in (noise, json.dumps(value).encode()):
        with suppress(Problem):
            assert isinstance(set_push._parse(body), dict)


@pytest.mark.parametrize(
    "issuer",
    [
        {"keys_file": "absent.json"},
        {"keys_file": None},
        {"jwks_url": "https://idp.example.com/jwks"},
        {"keys_file": None, "jwks_url": "http://idp.example.com/jwks"},
        {"keys_file": None, "jwks_url": "file:///etc/passwd"},
        {"keys_file": None, "jwks_url": "https://user:x@idp.example.com/"},
        {"audience": []},
        {"audience": ""},
        {"audience": 7},
        {"issuer": 7},
        {"algorithms": []},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"algorithm": "ES256"},
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused_with_their_place(
    issuer: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"set\.toml: \[\[issuers\]\] 1"):
        verifier_of(tmp_path, **issuer)


def test_a_source_has_issuers_and_none_of_them_twice(tmp_path: Path) -> None:
    table = {"issuer": ISSUER, "audience": "a", "jwks_url": "https://x.example/"}
    for issuers in ((), (table, table), (table,) * 101):
        settings_ = SourceSettings(tmp_path / "x", "urn:x", issuers=issuers)
        with pytest.raises(ConfigurationError):
            make_verifier(settings_)
