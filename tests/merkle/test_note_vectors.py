"""Notes, keys, checkpoints and policies that other projects have published."""

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest

from provlog.merkle.checkpoints import parse_checkpoint_text
from provlog.merkle.encoding import decode_hash, encode_base64
from provlog.merkle.errors import (
    MalformedError,
    PolicyError,
    SignatureError,
    VerificationError,
)
from provlog.merkle.keys import KeyType, SigningKey, VerifierKey, compute_key_id
from provlog.merkle.notes import open_note, parse_note_unverified, sign_note
from provlog.merkle.policy import parse_policy
from provlog.merkle.trust import Trust, verify_checkpoint
from support import note_vectors as vectors
from support.note_vectors import Case
from support.vectors import record


def select(cases: list[Case], kind: str) -> list[Any]:
    found = [case.data for case in cases if case.kind == kind]
    assert found, kind
    return found


def keys_of(case: dict[str, Any]) -> list[VerifierKey]:
    return [VerifierKey.parse(vkey) for vkey in case["vkeys"]]


def test_golang_keys_read_back_and_sign_the_same_bytes() -> None:
    cases = vectors.golang_cases()
    for vkey in select(cases, "vkey"):
        assert VerifierKey.parse(vkey).vkey() == vkey
    (secret,) = select(cases, "skey")
    key = SigningKey.parse(secret)
    assert key.encode() == secret
    assert key.verifier().vkey() in select(cases, "vkey")
    (note,) = select(cases, "sign")
    assert sign_note(note["text"], [key]).decode() == note["want"]
    record(vectors.GOLANG, 4)


def test_golang_notes_open_as_published_but_for_doubled_lines() -> None:
    cases = select(vectors.golang_cases(), "open_ok")
    for case in cases:
        data = case["note"].encode()
        if "duplicates" in case.get("comment", ""):
            # The newer tlog-checkpoint text forbids what Go's reader passes over.
            with pytest.raises(MalformedError):
                open_note(data, keys_of(case))
            continue
        note = open_note(data, keys_of(case))
        assert [each.key.name for each in note.signatures] == case["verified"]
        assert [each.name for each in note.others] == case["unverified"]
    record(vectors.GOLANG, len(cases))


def test_golang_notes_without_a_true_signature_are_refused() -> None:
    cases = vectors.golang_cases()
    unverifiable = select(cases, "open_no_verifiable")
    for case in unverifiable:
        with pytest.raises(SignatureError, match="no signature"):
            open_note(case["note"].encode(), keys_of(case))
    false = select(cases, "open_invalid_signature")
    for case in false:
        with pytest.raises(SignatureError, match="false signature"):
            open_note(bytes.fromhex(case["note_hex"]), keys_of(case))
    record(vectors.GOLANG, len(unverifiable) + len(false))


def test_golang_malformed_notes_are_malformed() -> None:
    cases = select(vectors.golang_cases(), "open_malformed_hex")
    for case in cases:
        with pytest.raises(MalformedError):
            open_note(bytes.fromhex(case), [])
    record(vectors.GOLANG, len(cases))


def test_golang_bad_keys_are_refused_and_so_is_every_part_of_a_good_one() -> None:
    cases = vectors.golang_cases()
    (good,) = select(cases, "bad_vkeys_rule")
    bad = select(cases, "bad_vkeys")
    size = len(good)
    parts = {good[i:j] for i in range(size) for j in range(i, size + 1)} - {good}
    changed = {good[:i] + chr(ord(good[i]) + 1) + good[i + 1 :] for i in range(size)}
    for vkey in (*bad, *parts, *changed):
        with pytest.raises(MalformedError):
            VerifierKey.parse(vkey)
    record(vectors.GOLANG, len(bad) + 1)


def test_the_specifications_examples() -> None:
    cases = vectors.example_cases()
    (example,) = select(cases, "signed_note")
    key = VerifierKey.parse(example["vkey"])
    opened = open_note(example["note"].encode(), [key])
    assert opened.text == "This is an example message.\n"

    (poem,) = select(cases, "quasimodo")
    assert parse_note_unverified(poem["note"].encode()).text.count("\n\n") == 1

    (sigsum,) = select(cases, "sigsum_issue99")
    origin = sigsum["note"].partition("\n")[0]
    public = bytes.fromhex(sigsum["log_pub_hex"])
    vkey = VerifierKey(origin, KeyType.ED25519, public).vkey()
    signed = verify_checkpoint(sigsum["note"].encode(), Trust.from_log_key(vkey))
    assert signed.checkpoint.size == 10

    (pair,) = select(cases, "canonical_b64_issue348")
    assert encode_base64(decode_hash(pair["canonical"])) == pair["canonical"]
    with pytest.raises(MalformedError):
        decode_hash(pair["non_canonical_same_bytes"])
    record(vectors.EXAMPLES, len(cases))


def test_thesmos_cosigned_checkpoint_satisfies_its_policy_and_no_less_does() -> None:
    cases = vectors.thesmos_cases()
    (policy,), (note,) = select(cases, "policy"), select(cases, "cosigned")
    trust = Trust.from_policy(policy)
    signed = verify_checkpoint(note, trust)
    assert signed.checkpoint.size == 20852163
    names = [each.witness for each in signed.cosignatures]
    assert names == ["W1", "W2", "W3", "PQ"]
    assert {each.timestamp for each in signed.cosignatures} == {0x6ABE72DA}
    lines = note.splitlines(keepends=True)
    verify_checkpoint(b"".join(lines[:5] + lines[6:]), trust)
    for short in (lines[:-1], lines[:5] + lines[7:]):
        with pytest.raises(PolicyError):
            verify_checkpoint(b"".join(short), trust)
    record(vectors.THESMOS, 2)


def test_thesmos_extension_line_is_covered_by_log_and_witness() -> None:
    cases = vectors.thesmos_cases()
    (policy,), (note,) = select(cases, "policy"), select(cases, "extension")
    one = policy.replace(b"quorum hybrid", b"quorum W1")
    signed = verify_checkpoint(note, Trust.from_policy(one))
    assert signed.checkpoint.extensions == ("an extension line",)
    with pytest.raises(PolicyError):
        verify_checkpoint(note, Trust.from_policy(policy))
    with pytest.raises(SignatureError):
        verify_checkpoint(note.replace(b"an ext", b"no ext"), Trust.from_policy(one))
    record(vectors.THESMOS, 1)


def test_a_published_policy_of_public_witnesses_is_read() -> None:
    (text,) = select(vectors.thesmos_cases(), "age-keyserver-policy")
    policy = parse_policy(text)
    assert policy.logs[0].key.name == "keyserver.geomys.org"
    assert [each.name for each in policy.witnesses] == [
        "TrustFabric",
        "Mullvad",
        "Geomys",
    ]
    assert all(each.url for each in policy.witnesses)
    assert policy.satisfied_by({"Mullvad", "Geomys"})
    assert not policy.satisfied_by({"Geomys"})
    record(vectors.THESMOS, 1)


def test_tessera_checkpoints_of_every_size_are_believed() -> None:
    trust = Trust.from_log_key(vectors.TESSERA_VKEY)
    paths = vectors.tessera_cases()
    for path in paths:
        signed = verify_checkpoint(path.read_bytes(), trust)
        if path.suffix:
            assert signed.checkpoint.size == int(path.suffix[1:])
    record(vectors.TESSERA, len(paths))


def test_sunlight_cosigners_sign_what_their_folders_hold() -> None:
    cases = vectors.sunlight_cases()
    files = {case.kind: case.data for case in cases}
    published = [
        VerifierKey.parse(vkey)
        for name, data in files.items()
        if name.endswith(".v0.json")
        for vkey in json.loads(data)["verifier_keys"]
    ]
    assert len(published) == 3
    opened = []
    for name, data in files.items():
        if not name.endswith("/checkpoint"):
            continue
        if data.startswith(b"decoy"):
            with pytest.raises(MalformedError):
                open_note(data, published)
        elif name == "tree/checkpoint":
            # Signed with type 0x05 alone, which is not understood here.
            with pytest.raises(SignatureError):
                open_note(data, published)
        else:
            opened.append(open_note(data, published))
    assert [note.signatures[0].key.name for note in opened] == [
        "witness.example.org",
        "mirror.example.org",
        "witness2.example.org",
    ]
    assert all(parse_checkpoint_text(note.text).size == 300 for note in opened)

    head = json.loads(files["tree/log.v3.json"])["final_tree_head"]
    text = parse_note_unverified(files["tree/checkpoint"]).text
    checkpoint = parse_checkpoint_text(text)
    assert checkpoint.size == head["tree_size"]
    assert checkpoint.root == decode_hash(head["sha256_root_hash"])
    record(vectors.SUNLIGHT, len(cases))


def test_formats_keys_are_read_if_their_ids_are_true_and_their_types_known() -> None:
    cases = vectors.formats_cases()
    log, witness, wrong_id, *malformed = select(cases, "cosigner")
    assert VerifierKey.parse(log).key_type is KeyType.ED25519
    assert VerifierKey.parse(witness).key_type is KeyType.COSIGNATURE_ED25519
    old = select(cases, "rfc6962_vkey")
    for vkey in (wrong_id, *malformed, *old):
        with pytest.raises(MalformedError):
            VerifierKey.parse(vkey)
    # It is the key ID alone that is wrong with the ML-DSA key.
    name, _, encoded = wrong_id.split("+", 2)
    public = bytes(VerifierKey.parse(right_id(name, encoded)).public_key)
    assert len(public) == 1312
    record(vectors.FORMATS, 3 + len(malformed) + len(old))


def right_id(name: str, encoded: str) -> str:
    material = b64decode(encoded)
    return f"{name}+{compute_key_id(name, material[0], material[1:]).hex()}+{encoded}"


def test_formats_checkpoints_are_read_by_their_syntax_and_roots_by_their_length() -> (
    None
):
    cases = vectors.formats_cases()
    texts = select(cases, "checkpoint")
    root = encode_base64(bytes(32))
    for case in texts:
        # The published roots are not 32 bytes: no such text is taken as it stands.
        with pytest.raises(MalformedError):
            parse_checkpoint_text(case["in"])
        lines = case["in"].split("\n")
        if "'" in lines[2] or not lines[2]:
            assert not case["ok"]
            continue
        repaired = "\n".join([*lines[:2], root, *lines[3:]])
        if case["ok"]:
            assert parse_checkpoint_text(repaired).text() == repaired
        else:
            with pytest.raises(MalformedError):
                parse_checkpoint_text(repaired)
    (old,) = select(cases, "rfc6962_note")
    note = parse_note_unverified(old.encode())
    assert parse_checkpoint_text(note.text).origin == note.signatures[0].name
    record(vectors.FORMATS, len(texts) + 1)


def test_torchwood_submissions_carry_notes_that_are_true_where_they_should_be() -> None:
    steps = select(vectors.torchwood_cases(), "step")
    origin = steps[0]["body"].split("\n\n", 1)[1].partition("\n")[0]
    public = bytes.fromhex(steps[0]["public_key"])
    trust = Trust.from_log_key(VerifierKey(origin, KeyType.ED25519, public).vkey())
    refused = []
    for number, step in enumerate(steps):
        note = step["body"].split("\n\n", 1)[1].encode()
        try:
            verify_checkpoint(note, trust)
        except VerificationError:
            refused.append(number)
        except MalformedError:
            # The base64 of the false signature is not canonical, which the newer text
            # refuses before anybody looks at the signature.
            with pytest.raises(SignatureError, match="false signature"):
                verify_checkpoint(respelled(note), trust)
            refused.append(number)
    expected = [n for n, step in enumerate(steps) if step["spec_status"] in (403, 404)]
    assert refused == expected == [1, 2]
    record(vectors.TORCHWOOD, len(steps))


def respelled(note: bytes) -> bytes:
    """Return a note whose only signature line has its base64 in canonical form."""
    head, _, encoded = note[:-1].rpartition(b" ")
    return head + b" " + b64encode(b64decode(encoded)) + b"\n"


def test_a_log_whose_key_has_another_name_than_its_origin_is_believed() -> None:
    (case,) = select(vectors.torchwood_cases(), "sumdb")
    note = case["body"].split("\n\n", 1)[1].encode()
    signed = verify_checkpoint(note, Trust.from_log_key(case["vkey"], case["origin"]))
    assert signed.checkpoint.size == 35225469
    record(vectors.TORCHWOOD, 1)
