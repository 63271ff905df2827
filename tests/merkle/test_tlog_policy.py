"""Policies: nobody counts twice, and no rule of the format is bent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import KeyType, VerifierKey
from provlog.merkle.policy import (
    MAX_DEFINITIONS,
    MAX_POLICY_SIZE,
    Policy,
    parse_policy,
)
from support.cosigners import LOG_KEY, Cosigner, twins

LOG = LOG_KEY.verifier().vkey()
WITNESSES = [Cosigner.ed25519(f"w{number}.example", number) for number in range(1, 7)]
W = [witness.key.vkey() for witness in WITNESSES]
MLDSA = Cosigner.mldsa("pq.example", 9).key.vkey()
HEAD = f"log {LOG}\nwitness A {W[0]}\nwitness B {W[1]}\nwitness C {W[2]}\n"


def policy(*lines: str) -> Policy:
    return parse_policy(HEAD + "".join(f"{line}\n" for line in lines))


def refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse_policy(text)


def test_the_two_levels_of_the_specifications_example() -> None:
    parsed = parse_policy(
        f"log {LOG}\n\n"
        + "".join(
            f"witness {n} {k}\n" for n, k in zip(("X1", "X2", "X3"), W, strict=False)
        )
        + "group X-witnesses 2 X1 X2 X3\n\n"
        + "".join(
            f"witness {n} {k}\n" for n, k in zip(("Y1", "Y2", "Y3"), W[3:], strict=True)
        )
        + "group Y-witnesses any Y1 Y2 Y3\n\n"
        "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
    )
    assert parsed.satisfied_by({"X1", "X3", "Y2"})
    assert parsed.satisfied_by({"X1", "X2", "X3", "Y1", "Y2", "Y3"})
    assert not parsed.satisfied_by({"X1", "Y1", "Y2", "Y3"})
    assert not parsed.satisfied_by({"X1", "X2", "X3"})
    assert not parsed.satisfied_by(set())


@pytest.mark.parametrize(
    ("rule", "enough", "short"),
    [("any", "A", ""), ("all", "ABC", "AB"), ("2", "BC", "C"), ("3", "ABC", "AC")],
)
def test_a_group_needs_as_many_as_its_threshold(
    rule: str, enough: str, short: str
) -> None:
    parsed = policy(f"group G {rule} A B C", "quorum G")
    assert parsed.satisfied_by(set(enough))
    assert not parsed.satisfied_by(set(short))


def test_a_quorum_can_be_one_witness_or_none() -> None:
    assert policy("quorum B").satisfied_by({"B"})
    assert not policy("quorum B").satisfied_by({"A", "C"})
    assert policy("quorum none").satisfied_by(set())
    assert policy("quorum none").quorum is None


def test_names_of_groups_and_strangers_do_not_count_as_witnesses() -> None:
    parsed = policy("group G any A B", "quorum G")
    assert not parsed.satisfied_by({"G", "C", "stranger"})


def test_a_policy_may_name_no_log_and_no_witness() -> None:
    parsed = parse_policy("quorum none\n")
    assert (parsed.logs, parsed.witnesses) == ((), ())


def test_comments_blank_lines_and_loose_whitespace_mean_nothing() -> None:
    parsed = parse_policy(
        f"# a comment\n \t\n\t # another\n \tlog\t {LOG} \t\n"
        f"witness  #1 {W[0]}  https://w.example/#x\nquorum \t #1 \n"
    )
    assert parsed.witnesses[0].name == "#1"
    assert parsed.witnesses[0].url == "https://w.example/#x"
    assert parsed.quorum == "#1"


def test_a_comment_behind_a_definition_is_not_one() -> None:
    refused(f"{HEAD}quorum none # really\n", "line 5: not of the form")


def test_urls_are_kept_where_they_stand() -> None:
    parsed = parse_policy(
        f"log {LOG} https://log.example/\nwitness A {W[0]}\nquorum none\n"
    )
    assert parsed.logs[0].url == "https://log.example/"
    assert parsed.witnesses[0].url is None


def test_names_are_octets_and_not_characters() -> None:
    kelvin = "\N{KELVIN SIGN}"
    parsed = parse_policy(
        f"witness K {W[0]}\nwitness {kelvin} {W[1]}\n".encode()
        + b"witness \xff\xa0\x85 %b\n" % W[2].encode()
        + b"witness \xfe\xa0\x85 %b\n" % W[3].encode()
        + b"quorum \xff\xa0\x85\n"
    )
    assert not parsed.satisfied_by({"K", kelvin})
    assert not parsed.satisfied_by({parsed.witnesses[3].name})
    assert parsed.satisfied_by({parsed.witnesses[2].name})
    assert parse_policy(f"witness {kelvin} {W[0]}\nquorum {kelvin}\n").quorum == kelvin


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), "no quorum"),
        (("quorum A", "quorum A"), "second quorum"),
        (("quorum none", "quorum none"), "second quorum"),
        (("quorum none", "quorum A"), "second quorum"),
        (("quorum",), "not of the form"),
        (("quorum A B",), "not of the form"),
        (("quorum D",), "no line before"),
        (("quorum G", "group G any A"), "no line before"),
        (("Quorum none",), "not a log"),
        (("log", "quorum none"), "not of the form"),
        ((f"log {LOG} url more", "quorum none"), "not of the form"),
        ((f"witness D {W[3]} url more", "quorum none"), "not of the form"),
        (("witness D", "quorum none"), "not of the form"),
        (("group G any", "quorum none"), "not of the form"),
        (("group G", "quorum none"), "not of the form"),
        (("group G 0 A", "quorum G"), "below 1"),
        (("group G 2 A", "quorum G"), "above 1"),
        (("group G 01 A", "quorum G"), "decimal"),
        (("group G +1 A", "quorum G"), "decimal"),
        (("group G -1 A", "quorum G"), "decimal"),
        (("group G ALL A", "quorum G"), "decimal"),
        (("group G any D", "quorum G"), "no line before"),
        (("group G any G", "quorum G"), "no line before"),
        (("group G any none", "quorum G"), "no line before"),
        (("group G any A A", "quorum G"), "member twice"),
        (("group G any A", "group H any A", "quorum G"), "member twice"),
        (("group G any A", "group H all G G", "quorum H"), "member twice"),
        (("group A any B", "quorum A"), "defined twice"),
        (("group none any B", "quorum none"), "reserved"),
        ((f"witness A {W[3]}", "quorum A"), "defined twice"),
        ((f"witness none {W[3]}", "quorum none"), "reserved"),
        (("group G any A", f"witness G {W[3]}", "quorum G"), "defined twice"),
        ((f"witness D {W[0]}", "quorum D"), "same public key"),
        ((f"log {LOG}", "quorum none"), "same public key"),
        ((f"log {W[0]}", "quorum none"), "no key of type 0x04"),
        ((f"witness D {LOG}", "quorum D"), "no key of type 0x01"),
        ((f"log {LOG[:-1]}", "quorum none"), "vkey"),
        ((f"log {LOG.replace('+', '+0', 1)}", "quorum none"), "key ID"),
        (("log \udcff+00+00", "quorum none"), "line 5"),
    ],
)
def test_a_policy_that_breaks_a_rule_is_refused(
    lines: tuple[str, ...], reason: str
) -> None:
    refused(HEAD + "".join(f"{line}\n" for line in lines), reason)


def test_the_same_public_key_under_another_name_is_refused() -> None:
    first = WITNESSES[0].key
    renamed = VerifierKey("renamed.example", first.key_type, first.public_key)
    refused(
        f"{HEAD}witness D {renamed.vkey()}\nquorum none\n", "line 5: the same public"
    )
    log = LOG_KEY.verifier()
    renamed = VerifierKey("renamed.example", log.key_type, log.public_key)
    refused(f"{HEAD}log {renamed.vkey()}\nquorum none\n", "line 5: the same public")


@pytest.mark.parametrize(
    ("line", "key_type"),
    [
        ("log {}", KeyType.ED25519),
        ("witness T{n} {}", KeyType.COSIGNATURE_ED25519),
    ],
)
def test_keys_that_no_signature_line_could_tell_apart_are_refused(
    line: str, key_type: KeyType
) -> None:
    lines = [line.format(key.vkey(), n=n) for n, key in enumerate(twins(key_type))]
    refused("\n".join([*lines, "quorum none", ""]), "line 2: the same key name and ID")


def test_a_log_and_a_witness_may_share_a_public_key() -> None:
    public = LOG_KEY.verifier().public_key
    witness = VerifierKey("w.example", KeyType.COSIGNATURE_ED25519, public)
    assert policy(f"witness D {witness.vkey()}", "quorum D").satisfied_by({"D"})


def test_logs_and_witnesses_may_have_mldsa_keys() -> None:
    other = Cosigner.mldsa("pq-log.example", 8).key.vkey()
    parsed = policy(f"log {other}", f"witness D {MLDSA}", "quorum D")
    assert parsed.logs[1].key.key_type == KeyType.COSIGNATURE_MLDSA44
    assert parsed.witnesses[3].key.key_type == KeyType.COSIGNATURE_MLDSA44


@pytest.mark.parametrize("octet", [*range(9), 0x0B, 0x0C, 0x0D, 0x1F, 0x7F])
def test_control_characters_are_refused_even_in_comments(octet: int) -> None:
    refused(b"# x" + bytes((octet,)) + b"\nquorum none\n", "control")


def test_a_file_that_was_cut_off_is_refused() -> None:
    refused("quorum none", "no end")


def test_a_lone_surrogate_that_stands_for_no_octet_is_refused() -> None:
    refused("quorum \ud800\n", "not text")


def test_thirty_two_of_everything_are_read() -> None:
    cosigners = [Cosigner.ed25519(f"w{n}", n) for n in range(32)]
    logs = [Cosigner.mldsa(f"l{n}", n) for n in range(32)]
    lines = [f"log {each.key.vkey()}" for each in logs]
    lines += [f"witness W{n} {each.key.vkey()}" for n, each in enumerate(cosigners)]
    lines += ["group G0 any W0"]
    lines += [f"group G{n} all G{n - 1} W{n}" for n in range(1, 32)]
    parsed = parse_policy("\n".join([*lines, "quorum G31", ""]))
    everybody = {f"W{n}" for n in range(32)}
    assert parsed.satisfied_by(everybody)
    assert not parsed.satisfied_by(everybody - {"W7"})


def test_endless_policies_are_refused() -> None:
    refused(b"\n" * (MAX_POLICY_SIZE + 1), "longer")
    groups = [f"group G0 any {'A'}"]
    groups += [f"group G{n} any G{n - 1}" for n in range(1, MAX_DEFINITIONS)]
    refused(
        "\n".join([HEAD + groups[0], *groups[1:], "quorum A", ""]), "more than 1000"
    )


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_as_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_policy(data)


WORDS = ["log", "witness", "group", "quorum", "any", "all", "none", "1", "2", "A", "B"]


@given(st.lists(st.lists(st.sampled_from([*WORDS, "#", W[0], W[1], LOG]), max_size=5)))
def test_any_order_of_its_words_is_a_policy_or_malformed(
    lines: list[list[str]],
) -> None:
    text = "".join(" ".join(words) + "\n" for words in lines)
    try:
        parsed = parse_policy(text)
    except MalformedError:
        return
    assert text.count("quorum") >= 1
    everybody = {witness.name for witness in parsed.witnesses}
    # More cosignatures never turn a yes into a no, and everybody is always enough.
    assert parsed.satisfied_by(everybody)


@st.composite
def forests(draw: st.DrawFn) -> tuple[Policy, dict[str, tuple[int, list[str]]], str]:
    """Draw a policy, its groups as (threshold, members), and its quorum."""
    free = [f"w{n}" for n in range(len(W))]
    lines = [f"witness {n} {key}" for n, key in zip(free, W, strict=True)]
    groups: dict[str, tuple[int, list[str]]] = {}
    for number in range(draw(st.integers(1, 5))):
        members = draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        threshold = draw(st.integers(1, len(members)))
        name = f"g{number}"
        groups[name] = (threshold, members)
        lines.append(f"group {name} {threshold} {' '.join(members)}")
        free = [each for each in free if each not in members] + [name]
    quorum = draw(st.sampled_from(sorted(groups)))
    text = "\n".join([*lines, f"quorum {quorum}", ""])
    return parse_policy(text), groups, quorum


@given(forests(), st.sets(st.sampled_from([f"w{n}" for n in range(len(W))])))
def test_a_quorum_is_reached_as_its_definition_says(
    drawn: tuple[Policy, dict[str, tuple[int, list[str]]], str], cosigned: set[str]
) -> None:
    parsed, groups, quorum = drawn

    def witnessed(name: str) -> bool:
        if name not in groups:
            return name in cosigned
        threshold, members = groups[name]
        return sum(map(witnessed, members)) >= threshold

    assert parsed.satisfied_by(cosigned) == witnessed(quorum)
