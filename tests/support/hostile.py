"""Bytes that break parsers, and where to put them."""

import json
from typing import Any
from urllib.parse import quote_from_bytes

from hypothesis import strategies as st

CANARY = b"alice-canary"
"""Stands beside what is wrong; no refusal may repeat it."""
HOSTILE_BYTES = (
    b"\0",
    b"\xed\xa0\x80",  # half a surrogate pair, in what would be UTF-8
    b"\xff\xfe",
    b"\xc0\xaf",  # an overlong slash
    b"..",
    b"/",
    b"//",
    b"%",
    b"?",
    b"\\",
    b'"',
    b"\r\n",
    b"\x1b[31m",
    "\u202e\u2028é".encode(),
    b"9" * 5000,
    b"-1",
    b"1e3",
    b"0x10",
    b"018",
    b"9223372036854775808",
)
BROKEN_ESCAPES = (b"%", b"%0", b"%zz", b"%u0041", b"%00", b"%ED%A0%80", b"%2F%2e%2E")
HOSTILE_JSON = (
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\0"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\\x"',
    b"9" * 5000,
    b"-" + b"9" * 400 + b".5",
    b"1e999",
    b"-1e-999",
    b"1" + b"0" * 399,
    b"NaN",
    b"-Infinity",
    b"[" * 65 + b"]" * 65,
    b"[" * 60_000,
    b'{"a":' * 50_000,
    b'{"a":1,"a":2}',
    b'{"a":1,"\\u0061":2}',
    b"",
    b"nul",
    b'"' + b"x" * 1000 + b'"',
    b"{}",
    b"[]",
    b"true",
    b"0.1e0",
    b"/**/1",
    b"'a'",
    b"\xef\xbb\xbf1",
)


def escaped() -> st.SearchStrategy[bytes]:
    """Return a strategy for a piece of a path or query, escaped or broken."""
    hostile = st.sampled_from(HOSTILE_BYTES) | st.binary(max_size=20)
    return (
        hostile.map(lambda piece: quote_from_bytes(piece, safe="").encode())
        | st.sampled_from(BROKEN_ESCAPES)
        | hostile
        | st.just(b"main")
    )


def replacements(value: dict[str, Any], fragment: bytes) -> list[bytes]:
    """Return texts of an object with one member, name or the whole replaced by bytes.

    The canary stands in a member beside it.
    """
    marked = {**value, "zz": CANARY.decode()}
    texts = [fragment, json.dumps(marked).encode() + fragment]
    for name in value:
        text = json.dumps({**marked, name: "@@"}).encode()
        texts.append(text.replace(b'"@@"', fragment))
        renamed = json.dumps({**marked, "@@": 1}).encode()
        texts.append(renamed.replace(b'"@@"', fragment))
    nested = json.dumps({**marked, "data": {"context": {"a": "@@"}}}).encode()
    return [*texts, nested.replace(b'"@@"', fragment)]
