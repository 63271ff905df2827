"""Which names are those of secrets, and that a quick look overlooks none."""

import pytest

from provlog.merkle.secret_names import (
    _SIGNS,
    HARMLESS,
    NAMES,
    SUFFIXES,
    WITHIN,
    is_secret_name,
    is_secret_within,
    may_hold_secrets,
)

EVERY = sorted({*NAMES, *SUFFIXES})


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "new_password",
        "oldPassword",
        "pass-word",
        "API key",
        "X-Api-Key",
        "client_secret",
        "secretData",
        "Set-Cookie",
        "Authorization",
        "stateToken",
        "refresh_token",
        "PIN",
        "passwordProfile.password",
        "/credentials/password/value",
        "urn:ietf:params:scim:schemas:core:2.0:User:password",
        'passwords[type eq "old"]',
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "requestApiTokenId",
        "tokenType",
        "passwordChanged",
        "passwordPolicy",
        "last_password_reset",
        "public_key",
        "key",
        "code",
        "nextPageToken",
        "pinned",
        "mapping",
        "hotpink",
        "authorizationServer",
        "passport",
        "to\u212aen",
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_a_name_may_be_a_secret_only_where_it_stands() -> None:
    assert is_secret_within("value", "credentials")
    assert is_secret_within("answer", "recovery_question")
    assert not is_secret_within("value", "emails")
    assert not is_secret_within("type", "credentials")
    for name in WITHIN:
        assert not is_secret_name(name)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "form", ['{"%s":1}', '{"a":"{\\"%s\\":1}"}', "a=1&%s=2", "/x/%s", "%s: x", "%s"]
)
def test_the_quick_look_sees_every_name(name: str, form: str) -> None:
    spelled = [name, name.upper(), "_".join(name), name[0] + "-" + name[1:]]
    for each in [*spelled, f"x{name}" if name in SUFFIXES else name]:
        assert is_secret_name(each)
        assert may_hold_secrets((form % each).encode())
    escaped = f"\\u{ord(name[0]):04X}{name[1:]}"
    assert may_hold_secrets((form % escaped).encode())


def test_the_quick_look_sees_what_is_secret_inside_others() -> None:
    for name, holders in WITHIN.items():
        for holder in holders:
            assert may_hold_secrets(f'{{"{holder}":[{{"{name}":"x"}}]}}'.encode())


def test_the_quick_look_sends_most_records_on() -> None:
    record = b'{"tokenId":"1","passwordChanged":"2026","pinned":true,"key":"x"}'
    assert not may_hold_secrets(record)
    assert not any(is_secret_name(each) for each in HARMLESS)


def test_every_name_holds_a_sign_that_is_looked_for() -> None:
    for name in EVERY:
        assert any(sign in name.encode() for sign in _SIGNS), name
