"""tlog-list: the lists of logs that witnesses are asked to know."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey
from provlog.merkle.log_list import ListedLog, format_log_list, parse_log_list
from support.cosigners import Cosigner

FIRST = SigningKey("tlog.example.org", bytes(32)).verifier()
SECOND = SigningKey("bar.example/tlog", bytes([1]) * 32).verifier()
LIST = f"""#
# List:      10qps-100klogs
#
logs/v0

# first
vkey {FIRST.vkey()}
qpd 86400
contact https://tlog.example.org/contact

vkey {SECOND.vkey()}
origin something else
\tqpd 24
 \tcontact sysadmin (at) bar.example | #1
"""


def test_a_list_is_read() -> None:
    assert parse_log_list(LIST.encode()) == (
        ListedLog(FIRST, "tlog.example.org", 86400, "https://tlog.example.org/contact"),
        ListedLog(SECOND, "something else", 24, "sysadmin (at) bar.example | #1"),
    )


@pytest.mark.parametrize("text", ["logs/v0", "logs/v0\n", "\n # c\n\t#\n logs/v0 \n\n"])
def test_a_list_may_be_empty(text: str) -> None:
    assert parse_log_list(text.encode()) == ()


VKEY, QPD, CONTACT = f"vkey {FIRST.vkey()}", "qpd 24", "contact x"
WITNESS = Cosigner.ed25519("w.example", 1).key.vkey()


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("logs/v1",),
        (VKEY, QPD, CONTACT),
        ("logs/v0", "logs/v0"),
        ("logs/v0", QPD, CONTACT),
        ("logs/v0", VKEY, CONTACT, QPD),
        ("logs/v0", VKEY, QPD),
        ("logs/v0", VKEY, CONTACT),
        ("logs/v0", VKEY, QPD, "origin x", CONTACT),
        ("logs/v0", VKEY, "origin x", "origin y", QPD, CONTACT),
        ("logs/v0", VKEY, QPD, CONTACT, CONTACT),
        ("logs/v0", VKEY, QPD, CONTACT, VKEY, QPD, CONTACT),
        ("logs/v0", "vkey", QPD, CONTACT),
        ("logs/v0", "vkey bananas", QPD, CONTACT),
        ("logs/v0", f"{VKEY} more", QPD, CONTACT),
        ("logs/v0", f"vkey {WITNESS}", QPD, CONTACT),
        ("logs/v0", VKEY, "origin", QPD, CONTACT),
        ("logs/v0", VKEY, f"origin {'x' * 256}", QPD, CONTACT),
        ("logs/v0", VKEY, "origin a\x01b", QPD, CONTACT),
        ("logs/v0", VKEY, "qpd", CONTACT),
        ("logs/v0", VKEY, "qpd 0", CONTACT),
        ("logs/v0", VKEY, "qpd 024", CONTACT),
        ("logs/v0", VKEY, "qpd 1 2", CONTACT),
        ("logs/v0", VKEY, f"qpd {2**31}", CONTACT),
        ("logs/v0", VKEY, QPD, "contact"),
        ("logs/v0", VKEY, QPD, "contact a\x07b"),
        ("logs/v0", VKEY, QPD, f"contact {'x' * 1001}"),
        ("logs/v0", VKEY, "bastion none", QPD, CONTACT),
    ],
)
def test_what_is_no_list_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(MalformedError, match="log list"):
        parse_log_list("\n".join(lines).encode())


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(MalformedError, match="line 8"):
        parse_log_list(LIST.replace("qpd 86400", "qpd many").encode())
    with pytest.raises(MalformedError, match="UTF-8"):
        parse_log_list(b"logs/v0\n\xff")


NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1
).filter(
    lambda name: (
        len(name.encode()) < 250
        and "+" not in name
        and not any(mark.isspace() for mark in name)
    )
)
CONTACTS = st.text(min_size=1, max_size=50).filter(
    lambda text: text.isprintable() and text == text.strip(" ")
)


@given(name=NAMES, rate=st.integers(1, 2**31 - 1), contact=CONTACTS)
@settings(max_examples=40)
def test_a_list_is_read_as_it_was_written(name: str, rate: int, contact: str) -> None:
    key = VerifierKey(name, KeyType.ED25519, FIRST.public_key)
    logs = (ListedLog(key, name, rate, contact), ListedLog(key, "x y", rate, contact))
    assert parse_log_list(format_log_list(logs)) == logs


@given(st.binary(max_size=200))
@settings(max_examples=40)
def test_any_bytes_are_a_list_or_malformed(data: bytes) -> None:
    for start in (b"", b"logs/v0\n", f"logs/v0\n{VKEY}\n".encode()):
        try:
            read = parse_log_list(start + data)
        except MalformedError:
            continue
        assert parse_log_list(format_log_list(read)) == read
