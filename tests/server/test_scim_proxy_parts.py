"""The parts of the SCIM proxy that need no connection."""

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from yarl import URL

from provlog.merkle.encoding import JsonValue
from provlog.server.cli.urls import parse_upstream
from provlog.server.errors import ConfigurationError
from provlog.server.intake.connectors.scim_states import HIDDEN
from provlog.server.scim_proxy.bodies import recorded, without_secrets
from provlog.server.scim_proxy.callers import Callers, load_key
from provlog.server.scim_proxy.figures import UNRECORDED, Figures
from provlog.server.scim_proxy.paths import TargetError, upstream_url
from provlog.server.scim_proxy.settings import read_settings_file
from support.events import json_values

KEY, OTHER_KEY = bytes(32), b"\1" * 32
BASE = URL("https://scim.example/base/v2/")
MOST = 10_000


def jwt(claims: Any, header: Any = {"alg": "RS256"}) -> str:  # noqa: ANN401, B006
    """Return a token in the form of a JWT, whose signature is none."""
    parts = [json.dumps(each).encode() for each in (header, claims)] + [b"signature"]
    return ".".join(
        base64.urlsafe_b64encode(each).decode().rstrip("=") for each in parts
    )


def caller(authorization: str | None, **names: str) -> dict[str, JsonValue]:
    return Callers(KEY, names).of_credentials(authorization)


def test_a_jwt_s_claims_name_the_caller_and_are_said_to_be_unverified() -> None:
    claims = {"sub": "app-1", "iss": "https://sts.example", "name": "Ann", "exp": 1}
    found = caller(f"Bearer {jwt(claims)}")
    digest = found.pop("digest")
    assert found == {
        "id": "app-1",
        "type": "client",
        "issuer": "https://sts.example",
        "verified": False,
    }
    assert str(digest).startswith("hmac:")


@pytest.mark.parametrize("claim", ["client_id", "azp", "appid"])
def test_other_claims_name_a_caller_without_subject(claim: str) -> None:
    assert caller(f"bearer {jwt({claim: 'app-1', 'sub': ''})}")["id"] == "app-1"


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer opaque-s3cret-token",
        "Basic YW5uOnMzY3JldA==",
        "s3cret",
        f"Bearer {jwt([])}",
        f"Bearer {jwt({'sub': 7})}",
        f"Bearer {jwt({'sub': 'x' * 300})}",
        "Bearer a.s3cret.c",
        "Bearer ..",
        "Bearer s3cret\xff",
    ],
)
def test_another_credential_is_a_keyed_digest_and_is_not_kept(
    authorization: str,
) -> None:
    found = caller(authorization)
    assert found["type"] == "credential"
    assert found["id"] == found["digest"]
    assert "s3cret" not in str(found)
    assert Callers(OTHER_KEY, {}).of_credentials(authorization)["id"] != found["id"]
    assert caller(authorization) == found


def test_an_operator_names_callers_by_id_or_digest() -> None:
    digest = str(caller("Bearer opaque")["digest"])
    assert caller("Bearer opaque", **{digest: "Entra"})["name"] == "Entra"
    token = f"Bearer {jwt({'sub': 'app-1'})}"
    assert caller(token, **{"app-1": "Okta"})["name"] == "Okta"


def test_without_credentials_nobody_is_named() -> None:
    assert caller(None) == {"type": "anonymous"}
    assert caller("Bearer " + "x" * 20_000) == {"type": "credential"}


def test_the_key_is_made_once_and_has_to_be_private(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(ConfigurationError):
        load_key(path, create=False)
    key = load_key(path, create=True)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, create=True) == key
    path.write_text("zz\n")
    with pytest.raises(ConfigurationError, match="64 hexadecimal"):
        load_key(path, create=True)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_key(path, create=True)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (
            {"password": "s3cret", "userName": "a"},
            {"password": HIDDEN, "userName": "a"},
        ),
        ({"PassWord": {"value": "s3cret"}}, {"PassWord": HIDDEN}),
        (
            {"Operations": [{"op": "replace", "path": "password", "value": "s3cret"}]},
            {"Operations": [{"op": "replace", "path": "password", "value": HIDDEN}]},
        ),
        (
            [{"Path": "urn:x:core:2.0:User:password", "Value": ["s3cret"]}],
            [{"Path": "urn:x:core:2.0:User:password", "Value": HIDDEN}],
        ),
        (
            {"urn:ext:1.0:User": {"apiKey": "s3cret", "b": 1}},
            {"urn:ext:1.0:User": {"apiKey": HIDDEN, "b": 1}},
        ),
        (
            {"path": "urn:ext:1.0:User:apiKey", "value": "s3cret"},
            {"path": "urn:ext:1.0:User:apiKey", "value": HIDDEN},
        ),
        (
            {"path": 'apikey[type eq "x"].value', "value": "s3cret"},
            {"path": 'apikey[type eq "x"].value', "value": HIDDEN},
        ),
    ],
)
def test_secret_attributes_are_hidden_wherever_they_stand(
    body: JsonValue, kept: JsonValue
) -> None:
    assert without_secrets(body, frozenset({"apikey"})) == kept


@given(value=json_values())
@settings(max_examples=50, deadline=None)
def test_a_password_is_hidden_in_any_json(value: JsonValue) -> None:
    alone: JsonValue = {"password": ["s3cret", value]}
    inside: JsonValue = [value, {"a": {"password": "s3cret"}}]
    for body in (alone, inside):
        assert "s3cret" not in json.dumps(without_secrets(body, frozenset()))


def packed(data: bytes) -> bytes:
    """Return what is the same at any time: all workers collect the same tests."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("data", "coding", "kept"),
    [
        (b'{"a":1}', "", {"a": 1}),
        (b'{"a":1}', "Identity", {"a": 1}),
        (packed(b'{"a":1}'), " GZIP ", {"a": 1}),
        (zlib.compress(b'{"a":1}'), "deflate", {"a": 1}),
        (packed(b'{"a":1}')[:-3], "gzip", None),
        (packed(b"1") + packed(b"2"), "gzip", None),
        (b"not packed", "gzip", None),
        (b"\0", "br", None),
        (b'{"a":1,"a":2}', "", None),
        (b"a=1&password=s3cret", "", None),
        (b'{"a":"\xff"}', "", None),
        (b"", "", None),
        (b"[" * 5000, "", None),
        (packed(b"[" + b"1," * 4_000_000 + b"1]"), "gzip", None),
    ],
)
def test_only_strict_json_of_bounded_size_is_recorded(
    data: bytes, coding: str, kept: JsonValue
) -> None:
    assert recorded(data, coding, MOST) == kept


@given(
    data=st.binary(max_size=200), coding=st.sampled_from(["", "gzip", "deflate", "x"])
)
@settings(max_examples=100, deadline=None)
def test_any_body_is_recorded_or_not(data: bytes, coding: str) -> None:
    recorded(data, coding, MOST)


def test_a_path_is_added_to_the_base_as_it_came() -> None:
    url = upstream_url(BASE, "/Users/a%2fb%20c;d", "filter=x%20eq%20%22y%22&a=+")
    assert str(url) == (
        "https://scim.example/base/v2/Users/a%2fb%20c;d?filter=x%20eq%20%22y%22&a=+"
    )


_PARTS = st.sampled_from(
    [
        "/",
        ".",
        "..",
        "%2e",
        "%2E",
        "%2f",
        "%5c",
        "\\",
        "a",
        ";",
        "@evil.example",
        "//",
        ":",
    ]
)


@given(parts=st.lists(_PARTS, max_size=8))
@settings(max_examples=100, deadline=None)
def test_no_path_leads_out_of_the_base(parts: list[str]) -> None:
    try:
        url = upstream_url(BASE, "/" + "".join(parts), "")
    except TargetError:
        return
    assert url.origin() == BASE.origin()
    assert url.raw_path.startswith("/base/v2/")
    segments = unquote(url.raw_path).replace("\\", "/").split("/")
    assert not {".", ".."} & {each.partition(";")[0] for each in segments}


@pytest.mark.parametrize(
    "path", ["", "Users", "*", "/Us ers", "/Us\ners", "/\xe9", "/a\0"]
)
def test_what_is_no_plain_path_is_refused(path: str) -> None:
    with pytest.raises(TargetError):
        upstream_url(BASE, path, "")
    with pytest.raises(TargetError):
        upstream_url(BASE, "/Users", "a b")


@pytest.mark.parametrize(
    ("text", "insecure", "accepted"),
    [
        ("https://scim.example/v2", False, True),
        ("http://127.0.0.1:8080", False, True),
        ("http://localhost:8080/scim/v2/", False, True),
        ("http://scim.example", False, False),
        ("http://scim.example", True, True),
        ("https://user:pw@scim.example", False, False),
        ("https://scim.example?x=1", False, False),
        ("https://scim.example/../x", False, False),
        ("ftp://scim.example", False, False),
        ("https://", False, False),
        ("https://scim.example:99999", False, False),
    ],
)
def test_an_upstream_is_a_plain_url(
    text: str, *, insecure: bool, accepted: bool
) -> None:
    if accepted:
        assert str(parse_upstream(text, insecure=insecure)) == text
    else:
        with pytest.raises(ConfigurationError) as refused:
            parse_upstream(text, insecure=insecure)
        assert "pw" not in str(refused.value)


def test_the_settings_file_names_callers_and_secrets(tmp_path: Path) -> None:
    path = tmp_path / "proxy.toml"
    path.write_text('secret_attributes = ["pin"]\n[callers]\n"hmac:01" = "Entra"\n')
    found = read_settings_file(path)
    assert (found.callers, found.secret_attributes) == ({"hmac:01": "Entra"}, ["pin"])
    for text in (
        "x = 1",
        "[callers]\na = 1",
        "callers = [",
        'secret_attributes = [""]',
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError):
            read_settings_file(path)
    with pytest.raises(ConfigurationError):
        read_settings_file(tmp_path / "absent.toml")


def test_what_alerts_ask_for_is_there_before_it_happens() -> None:
    registry = CollectorRegistry()
    figures = Figures(registry)
    name = "provlog_scim_proxy_unrecorded_total"
    for reason in UNRECORDED:
        assert registry.get_sample_value(name, {"reason": reason}) == 0
    figures.unrecorded("stopped", 2)
    assert registry.get_sample_value(name, {"reason": "stopped"}) == 2
    name = "provlog_scim_proxy_refused_total"
    assert registry.get_sample_value(name, {"reason": "not_recorded"}) == 0
