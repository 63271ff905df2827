"""No secret stays in a record, and nothing else is lost of it."""

import json
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.encoding import MAX_JSON_DEPTH, JsonValue
from provlog.merkle.redaction import MAX_POINTERS, Cut, cut_secrets
from provlog.merkle.redaction_scan import MAX_TOKENS
from provlog.merkle.secret_names import NAMES, SUFFIXES, is_secret_name

S = "S3CRET~7"
"""The secret of every test here; nothing else contains it."""
MARK = "[redacted]"
EVERY = sorted({*NAMES, *SUFFIXES})


def cut(value: Any) -> tuple[Any, tuple[str, ...]]:  # noqa: ANN401
    """Return a value without its secrets, and where they stood."""
    done = cut_bytes(json.dumps(value).encode())
    return json.loads(done.record), done.pointers


def cut_bytes(record: bytes) -> Cut:
    """Return a record without secrets; cutting it again alters nothing."""
    done = cut_secrets(record)
    assert S.encode() not in done.record
    assert cut_secrets(done.record).record == done.record
    return done


@pytest.mark.parametrize("name", EVERY)
def test_the_value_of_every_such_name(name: str) -> None:
    for value in (S, [S, "x"], {"value": S, "more": [1]}, 123456, 1.5):
        record = {"id": "1", name: value, "z": [1, {"u": "x"}]}
        assert cut(record) == ({**record, name: MARK}, (f"/{name}",))


@pytest.mark.parametrize("value", [True, False, None, "", {}, [], {"a": [True, ""]}])
def test_a_value_that_says_nothing_stays(value: JsonValue) -> None:
    assert cut({"password": value}) == ({"password": value}, ())


@pytest.mark.parametrize(
    ("record", "kept", "pointer"),
    [
        (
            {"credentials": {"password": {"value": S}, "provider": {"type": "OKTA"}}},
            {"credentials": {"password": MARK, "provider": {"type": "OKTA"}}},
            "/credentials/password",
        ),
        (
            {"credentials": {"recovery_question": {"question": "pet", "answer": S}}},
            {"credentials": {"recovery_question": {"question": "pet", "answer": MARK}}},
            "/credentials/recovery_question/answer",
        ),
        (
            {"credentials": [{"type": "otp-app", "value": S, "temporary": True}]},
            {"credentials": [{"type": "otp-app", "value": MARK, "temporary": True}]},
            "/credentials/0/value",
        ),
        (
            {"changes": [{"field": "email"}, {"field": "password", "to": S}]},
            {"changes": [{"field": "email"}, {"field": "password", "to": MARK}]},
            "/changes/1/to",
        ),
        (
            {"a": [{"oldValue": None, "newValue": [S], "displayName": "Password"}]},
            {"a": [{"oldValue": None, "newValue": MARK, "displayName": "Password"}]},
            "/a/0/newValue",
        ),
        (
            {"op": "replace", "path": "urn:x:User:password", "value": S},
            {"op": "replace", "path": "urn:x:User:password", "value": MARK},
            "/value",
        ),
        (
            {"headers": {"x": f"eyJhbGciOi.{S[:6]}.c2ln", "accept": "a"}, "y": S[:0]},
            {"headers": {"x": MARK, "accept": "a"}, "y": ""},
            "/headers/x",
        ),
        ({"h": [f"Bearer {S}"]}, {"h": [MARK]}, "/h/0"),
        ({"h": "Basic dXNlcjpwYXNz"}, {"h": MARK}, "/h"),
        (
            {"headers": [["accept", "a"], ["Cookie", S]]},
            {"headers": [["accept", "a"], ["Cookie", MARK]]},
            "/headers/1/1",
        ),
        (
            {"rawHeaders": ["Cookie", S, "accept", "token", "x-token", ""]},
            {"rawHeaders": ["Cookie", MARK, "accept", "token", "x-token", ""]},
            "/rawHeaders/1",
        ),
        ({"h": f"GET / HTTP/1.1\r\nHost: x\r\ncookie: {S}"}, {"h": MARK}, "/h"),
        ({"h": f"Authorization: Basic {S}"}, {"h": MARK}, "/h"),
        (
            {"url": f"https://x/y?a=1&access_token={S}&b=2#c"},
            {"url": f"https://x/y?a=1&access_token={MARK}&b=2#c"},
            "/url",
        ),
        (
            {"s": f"Server=a;Password={S}&b=2"},
            {"s": f"Server=a;Password={MARK}&b=2"},
            "/s",
        ),
        ({"m": f"user=ann,pin={S} b=2"}, {"m": f"user=ann,pin={MARK} b=2"}, "/m"),
        (
            {"f": f"user[name]=a&user[password]={S}&b=2"},
            {"f": f"user[name]=a&user[password]={MARK}&b=2"},
            "/f",
        ),
        (
            {"f": f"a=1&user%5Bpassword%5D={S}"},
            {"f": f"a=1&user%5Bpassword%5D={MARK}"},
            "/f",
        ),
        (
            {"p": [{"name": "token", "msgValue": {"parameter": [{"value": S}]}}]},
            {"p": [{"name": "token", "msgValue": MARK}]},
            "/p/0/msgValue",
        ),
        ({"m": f"got {{'password': '{S}'"}, {"m": f"got {{'password':{MARK}"}, "/m"),
        ({"m": f'a: {{"pin":"{S}", 7'}, {"m": f'a: {{"pin":{MARK}'}, "/m"),
        (
            {"a/b": {"c~d": {"pwd": S}}},
            {"a/b": {"c~d": {"pwd": MARK}}},
            "/a~1b/c~0d/pwd",
        ),
    ],
)
def test_the_shapes_of_providers(record: Any, kept: Any, pointer: str) -> None:  # noqa: ANN401
    assert cut(record) == (kept, (pointer,))


@pytest.mark.parametrize(
    "record",
    [
        {"message": "The bearer of this letter forgot the password: tell her"},
        {"displayName": "Basic authentication"},
        {"displayName": "Basic credentials"},
        {"names": ["Cookie", "token", "password"]},
        {"type": "Token", "id": "00T1", "displayName": "My API token"},
        {"transaction": {"detail": {"requestApiTokenId": "00T1"}}},
        {"name": "password", "id": "1", "description": "x"},
        {"set": "eyJhbGciOi.eyJpc3Mi.c2ln"},
        {"text": "a=b&tokenId=5"},
    ],
)
def test_what_only_speaks_of_secrets_stays(record: Any) -> None:  # noqa: ANN401
    assert cut(record) == (record, ())


def test_json_in_strings_is_cut_and_the_rest_of_it_kept() -> None:
    inner = {"username": "ann", "credentials": [{"type": "password", "value": S}]}
    kept = {"username": "ann", "credentials": [{"type": "password", "value": MARK}]}
    record, pointers = cut({"representation": json.dumps(inner), "id": "1"})
    assert json.loads(record["representation"]) == kept
    assert pointers == ("/representation",)
    record, _ = cut({"newValue": json.dumps([json.dumps(inner)])})
    assert json.loads(json.loads(record["newValue"])[0]) == kept


def test_a_string_stays_in_the_letters_it_was_written_in() -> None:
    record = '{"b":"{\\"name\\":\\"Ér\\",\\"pin\\":7}"}'.encode()
    assert "Ér" in cut_bytes(record).record.decode()
    assert b"\\u00e9" in cut_bytes(b'{"b":"q=\\u00e9&pin=7"}').record


def test_the_whole_of_a_value_goes_before_a_part_of_it() -> None:
    parts = {"value": f"a=1&token={S}", "name": "password"}
    assert cut(parts)[0] == {"value": MARK, "name": "password"}
    whole = {"password": [{"token": S, "b": "c"}]}
    assert cut(whole) == ({"password": MARK}, ("/password",))


def test_json_too_deep_in_strings_is_cut_whole() -> None:
    value: Any = {"password": S, "level": "0"}
    for level in range(1, 5):
        value = {"s": json.dumps(value), "level": str(level)}
    record, pointers = cut(value)
    assert pointers == ("/s",)
    inside = json.loads(record["s"])
    assert inside["level"] == "3"
    assert json.loads(inside["s"]) == {"s": MARK, "level": "2"}


@pytest.mark.parametrize("tail", ['{"password":"%s', '{"u":"x","password": %s', "[{"])
def test_a_string_with_the_beginning_of_json(tail: str) -> None:
    whole = {"body": tail % S if "%" in tail else tail, "z": "pwd"}
    record, _ = cut(whole)
    assert record["z"] == "pwd"


def test_other_bytes_stay_as_they_were_sent() -> None:
    sent = b'{ "a" : 1e5,\t"password":"%b" ,"b":"\\u00e9\xc3\xa9\xff", "b":[ ]}\n'
    done = cut_bytes(sent % S.encode())
    assert done == Cut(sent % MARK.encode(), ("/password",))


def test_a_name_told_twice_is_cut_twice() -> None:
    record = f'{{"token":"{S}","token":"{S}x"}}'.encode()
    assert cut_bytes(record) == Cut(
        b'{"token":"[redacted]","token":"[redacted]"}', ("/token",)
    )


@pytest.mark.parametrize("name", ["\\u0070assword", "pass\\u0057ord", "api\\u002Dkey"])
def test_a_name_spelled_with_escapes(name: str) -> None:
    assert MARK.encode() in cut_bytes(f'{{"{name}":"{S}"}}'.encode()).record


@pytest.mark.parametrize(
    "record",
    [
        f'{{"uuid":"u1","password":"{S}',
        f'{{"uuid":"u1","password":"{S}\\',
        f'{{"uuid":"u1",password:"{S}"}}',
        f"{{'uuid':'u1','password':'{S}'}}",
        f'{{"uuid":"u1"x","password":"{S}"}}',
        f'{{"uuid":"u1","a":{{"value":"{S}","name":"password"',
        f'{{"uuid":"u1","password":"a"{S}"b","x":1}}',
        f'"uuid":"u1","token": "{S}"',
        f'{{"uuid":"u1","token":"x":"{S}"}}',
        f'{{"uuid":"u1","h":"Bearer {S}"',
        f'{{"uuid":"u1"}} password={S}',
        f'\ufeff{{"uuid":"u1","password":"{S}"}}',
        f'{{"uuid":"u1","token":{"[" * 3000} "{S}"',
        f'{{"uuid":"u1","r":"{{\\"pin\\":\\"{S}\\"',
        f'{{"uuid":"u1","r":"{{\\"pin\\":\\"{S}\\',
        f'{{"uuid":"u1","r":"{{\\"p\\u0069n\\":\\"{S}\\u00',
        f'{{"uuid":"u1","r":"{{\\n\\"pin\\":\\"{S}\\x',
    ],
)
def test_what_is_no_json_is_cut_from_the_first_secret_on(record: str) -> None:
    done = cut_bytes(record.encode())
    assert done.pointers == ("",)
    assert b"u1" in done.record


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
def test_of_another_encoding_nothing_is_kept(encoding: str) -> None:
    record = f'{{"uuid":"u1","password":"{S}"}}'.encode(encoding)
    assert cut_bytes(record) == Cut(b'"[redacted]"', ("",))


def test_more_places_than_are_listed() -> None:
    few = [{"pin": S}] * MAX_POINTERS
    assert len(cut(few)[1]) == MAX_POINTERS
    record, pointers = cut([*few, {"pin": S, "id": "7"}])
    assert pointers == ("",)
    assert record[-1] == {"pin": MARK, "id": "7"}


def test_places_that_no_pointer_can_tell() -> None:
    deep: Any = {"password": S}
    for _ in range(MAX_JSON_DEPTH):
        deep = [deep]
    long = {"x" * 600: {"password": S}}
    for record in (deep, long, {"\ud800": {"password": S}}):
        assert cut(record)[1] == ("",)


@pytest.mark.parametrize(
    "part",
    [
        b'{"password":1,',
        b'{"name":"token","value":1},',
        b'{"a":"b",',
        b"[",
        b'"',
        b'\\"token',
        b"token=a",
        b"a",
        b"\\\\",
        b"{'pin':",
    ],
)
@pytest.mark.parametrize("frame", [b"%b token=", b'{"x":"%b token="}', b"[%b1]token"])
def test_the_steps_of_hostile_records_grow_with_their_length(
    part: bytes, frame: bytes
) -> None:
    few, many = (steps_of(frame % (part * count)) for count in (1_000, 4_000))
    assert many < 5 * few + 1_000


def steps_of(record: bytes) -> int:
    """Return how many calls it takes to cut a record."""
    calls: list[str] = []
    sys.setprofile(lambda _frame, event, _value: calls.append(event))
    try:
        cut_secrets(record)
    finally:
        sys.setprofile(None)
    return len(calls)


def test_long_names_around_many_secrets_take_no_room_for_each() -> None:
    record = b'{"%b":{%b"b":1}}' % (b"a" * 50_000, b'"pin":1,' * 5_000)
    tracemalloc.start()
    try:
        assert cut_bytes(record).pointers == ("",)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 16 << 20


def test_after_a_number_of_tokens_the_rest_is_cut() -> None:
    record = b'{"id":"u1","a":[%b],"z":"%b","pin":1}' % (
        b",".join([b"{}"] * (MAX_TOKENS // 3)),
        S.encode(),
    )
    done = cut_bytes(record)
    assert done.record.startswith(b'{"id":"u1","a":[{},')
    assert done.pointers == ("",)


NAME = st.sampled_from([*EVERY, "id", "value", "name", "credentials", "a b", "é"])
LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), NAME, st.just(S)
)
TREE = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(NAME, inner, max_size=4),
        inner.map(json.dumps),
    ),
    max_leaves=12,
)


def hidden(value: Any) -> Any:  # noqa: ANN401
    """Return a value in which every secret by name is replaced, the obvious way."""
    if isinstance(value, list):
        return [hidden(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: None if is_secret_name(name) else hidden(each)
        for name, each in value.items()
    }


@given(TREE)
@settings(max_examples=100, deadline=None)
def test_no_secret_is_left_and_nothing_else_is_lost(tree: Any) -> None:  # noqa: ANN401
    record = json.dumps({"id": "1", "rest": tree, "password": S}).encode()
    done = cut_secrets(record)
    kept = json.loads(done.record)
    assert S not in json.dumps(_by_name(kept))
    assert "/password" in done.pointers
    assert kept["id"] == "1"
    assert cut_secrets(done.record).record == done.record
    if len(done.pointers) == 1:
        assert hidden(kept) == hidden(json.loads(record))


def _by_name(value: Any, inside: bool = False) -> Any:  # noqa: ANN401
    """Return what stands under the names of secrets."""
    if isinstance(value, list):
        return [_by_name(each, inside) for each in value]
    if isinstance(value, dict):
        return [_by_name(v, inside or is_secret_name(k)) for k, v in value.items()]
    return value if inside else None


@given(
    st.binary(max_size=60),
    st.sampled_from(EVERY),
    st.sampled_from([b'"%b":"%b"', b"%b=%b", b'{"%b": ["%b', b"'%b':'%b'"]),
)
@settings(max_examples=100, deadline=None)
def test_any_bytes_around_a_secret(junk: bytes, name: str, form: bytes) -> None:
    record = junk + b"," + form % (name.encode(), S.encode()) + junk
    done = cut_bytes(record)
    assert len(done.record) <= 12 * len(record)


@given(st.one_of(st.binary(max_size=200), st.text('{}[]":,\\ pin=7', max_size=60)))
@settings(max_examples=100, deadline=None)
def test_anything_at_all_can_be_cut(record: bytes | str) -> None:
    data = record.encode() if isinstance(record, str) else record
    done = cut_secrets(data)
    assert cut_secrets(done.record).record == done.record
    assert bool(done.pointers) == (done.record != data)
