"""Announced keys: whom they lead to, and every lie a document can tell."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.merkle.announcements import (
    Announcement,
    follow,
    format_announcements,
)
from provlog.merkle.errors import (
    ContentError,
    FrozenError,
    MalformedError,
    MerkleError,
    ProofError,
    ReplacedKeyError,
    SignatureError,
)
from provlog.merkle.keys import KeyType, VerifierKey
from provlog.merkle.trust import ReplacedKey, Trust, verify_checkpoint
from support.announced_logs import (
    AnnouncedLog,
    announced,
    freeze_leaf,
    key_leaf,
    signed_note,
    signing_key,
)
from support.cosigners import Cosigner
from support.golden_entries import ORIGIN, event_leaf


def rotated(times: int = 2, *, frozen: bool = False) -> AnnouncedLog:
    log = AnnouncedLog()
    for _ in range(times):
        log.rotate()
        log.grow(2)
    if frozen:
        log.freeze(("example.com/next", signing_key(9, "example.com/next").name))
    return log


def vkey(number: int, name: str = ORIGIN) -> str:
    return signing_key(number, name).verifier().vkey()


def document(*announcements: Announcement, origin: str = ORIGIN) -> bytes:
    return format_announcements(origin, announcements)


def one(leaf: bytes, *signers: int) -> bytes:
    """Return a document that announces one leaf, behind three others."""
    leaves = [*AnnouncedLog().leaves, leaf]
    return document(
        announced(leaves, 3, [signing_key(each) for each in signers or (0,)])
    )


def test_who_knew_the_first_key_comes_to_know_the_last() -> None:
    log = rotated(3)
    followed = follow(log.trust, log.document())
    assert followed.trust.log_keys == tuple(key.verifier() for key in log.keys)
    assert [each.index for each in followed.keys] == log.places
    newest = log.note(keys=[log.keys[-1]])
    with pytest.raises(SignatureError):
        verify_checkpoint(newest, log.trust)
    signed = verify_checkpoint(newest, followed.trust)
    assert (signed.log_key, signed.note) == (log.keys[-1].verifier(), newest)


def test_a_replaced_key_alone_signs_no_tree_that_holds_its_replacement() -> None:
    log = rotated(1)
    index = log.places[0]
    trust = follow(log.trust, log.document()).trust
    assert trust.replaced == (
        ReplacedKey(log.keys[0].verifier(), index, log.keys[1].verifier()),
    )
    verify_checkpoint(log.note(index, [log.keys[0]]), trust)
    stolen = log.note(index + 1, [log.keys[0]])
    verify_checkpoint(stolen, log.trust)
    with pytest.raises(ReplacedKeyError, match=f"entry {index} replaced"):
        verify_checkpoint(stolen, trust)
    both = verify_checkpoint(log.note(index + 1), trust)
    assert both.log_key == log.keys[1].verifier()
    assert both.signers == (log.keys[1].verifier(),)


def test_the_lines_of_unknown_keys_under_the_logs_name_are_told() -> None:
    log = rotated(1)
    second = log.keys[1].verifier()
    assert verify_checkpoint(log.note(), log.trust).strangers == (second.key_id,)
    with pytest.raises(SignatureError) as caught:
        verify_checkpoint(log.note(keys=[log.keys[1]]), log.trust)
    assert caught.value.strangers == ((ORIGIN, second.key_id),)
    third = signing_key(7)
    trust = follow(log.trust, log.document()).trust
    with pytest.raises(ReplacedKeyError) as refused:
        verify_checkpoint(log.note(keys=[log.keys[0], third]), trust)
    assert refused.value.strangers == ((ORIGIN, third.key_id),)


def test_a_freeze_ends_the_log_and_names_its_successor() -> None:
    log = rotated(1)
    index = log.freeze(("example.com/next", vkey(9, "example.com/next")))
    followed = follow(log.trust, log.document())
    assert followed.freeze is not None
    assert followed.freeze.final_size == index + 1 == followed.trust.frozen_at
    key = vkey(9, "example.com/next")
    expected = {"origin": "example.com/next", "log_key": key}
    assert followed.freeze.successor == expected
    verify_checkpoint(log.note(), followed.trust)
    log.grow(1)
    larger = log.note()
    with pytest.raises(FrozenError, match=f"ended with its entry {index}") as caught:
        verify_checkpoint(larger, followed.trust)
    assert caught.value.note == larger


def test_a_thief_of_a_replaced_key_cannot_convict_a_frozen_log() -> None:
    log = rotated(1, frozen=True)
    trust = follow(log.trust, log.document()).trust
    log.grow(1)
    with pytest.raises(ReplacedKeyError):
        verify_checkpoint(log.note(keys=[log.keys[0]]), trust)


def test_a_freeze_proved_in_a_larger_tree_convicts_by_itself() -> None:
    log = AnnouncedLog()
    index = log.freeze()
    log.grow(1)
    lie = announced(log.leaves, index, log.keys)
    with pytest.raises(FrozenError) as caught:
        follow(log.trust, document(lie))
    assert caught.value.note == log.note()


def test_what_is_followed_already_is_followed_again() -> None:
    log = rotated(1)
    followed = follow(log.trust, log.document()).trust
    assert follow(followed, log.document()).trust == followed
    log.rotate()
    later = follow(followed, log.document()).trust
    assert later == follow(log.trust, log.document()).trust
    log.freeze()
    assert follow(later, log.document()).trust.frozen_at == len(log.leaves)


def test_a_document_that_lost_what_was_followed_is_refused() -> None:
    log = rotated(2, frozen=True)
    trust = follow(log.trust, log.document()).trust
    announcements = log.announcements()
    for count in range(len(announcements)):
        with pytest.raises(ContentError, match="missing"):
            follow(trust, document(*announcements[:count]))


def test_a_document_that_replaced_a_key_by_another_one_is_refused() -> None:
    log = rotated(1)
    trust = follow(log.trust, log.document()).trust
    thief = AnnouncedLog()
    thief.rotate(5)
    follow(log.trust, thief.document())
    with pytest.raises(ContentError, match="missing or another"):
        follow(trust, thief.document())


def test_who_was_given_a_later_key_follows_from_there() -> None:
    log = rotated(3)
    later = Trust.from_log_key(vkey(2))
    followed = follow(later, log.document())
    assert followed.trust.log_keys == (log.keys[2].verifier(), log.keys[3].verifier())
    assert [each.index for each in followed.keys] == log.places[2:]
    newest = Trust.from_log_key(vkey(3))
    assert follow(newest, log.document()).trust == newest


def test_who_was_given_several_keys_follows_from_each() -> None:
    log = rotated(2)
    both = Trust.from_log_key([vkey(0), vkey(1)])
    followed = follow(both, log.document()).trust
    assert followed == follow(log.trust, log.document()).trust


def test_the_key_that_comes_after_does_not_vouch_for_its_own_coming() -> None:
    log = AnnouncedLog()
    index = log.rotate()
    lie = document(announced(log.leaves, index, [log.keys[1]]))
    for trust in (log.trust, Trust.from_log_key([vkey(0), vkey(1)])):
        with pytest.raises(SignatureError):
            follow(trust, lie)


def test_a_line_before_the_known_key_has_to_lead_to_it() -> None:
    leaves = list(AnnouncedLog().leaves)
    leaves += [key_leaf(vkey(2), vkey(1)), key_leaf(vkey(0), vkey(3))]
    broken = [announced(leaves, index, [signing_key(1)]) for index in (3, 4)]
    with pytest.raises(ContentError, match="not the log's"):
        follow(AnnouncedLog().trust, document(*broken))


def test_a_policy_is_kept_and_not_asked_of_proofs() -> None:
    log = rotated(1)
    witness = Cosigner.ed25519("w.example", 1)
    text = f"log {vkey(0)}\nwitness W {witness.key.vkey()}\nquorum W\n"
    trust = Trust.from_policy(text)
    followed = follow(trust, log.document()).trust
    assert followed.policy == trust.policy
    verify_checkpoint(witness.cosign(log.note(keys=[log.keys[1]])), followed)
    with pytest.raises(MerkleError, match="quorum"):
        verify_checkpoint(log.note(), followed)


def test_an_mldsa_key_beside_stays_and_has_a_say_in_no_rotation() -> None:
    log = rotated(1)
    beside = Cosigner.mldsa(ORIGIN, 4)
    both = Trust.from_log_key([vkey(0), beside.key.vkey()])
    followed = follow(both, log.document()).trust
    assert set(followed.log_keys) == {*both.log_keys, log.keys[1].verifier()}
    note = beside.cosign(log.note(keys=[log.keys[0]]), 0)
    assert verify_checkpoint(note, followed).log_key == beside.key
    alone = Trust.from_log_key(beside.key.vkey())
    assert follow(alone, log.document()).trust == alone


LIES = {
    "not signed by the replaced key": (
        one(key_leaf(vkey(1), vkey(0)), 1),
        SignatureError,
    ),
    "signed by a stranger": (one(key_leaf(vkey(1), vkey(0)), 7), SignatureError),
    "a replaced key that nobody knows": (one(key_leaf(vkey(2), vkey(1))), ContentError),
    "a key of another name": (
        one(key_leaf(vkey(1, "a.example"), vkey(0))),
        ContentError,
    ),
    "the key itself": (one(key_leaf(vkey(0), vkey(0))), ContentError),
    "a witness's key": (
        one(key_leaf(Cosigner.ed25519(ORIGIN, 1).key.vkey(), vkey(0))),
        ContentError,
    ),
    "what is no key": (one(key_leaf("x", vkey(0))), MalformedError),
    "an event": (one(event_leaf(n=2)), ContentError),
    "no leaf": (one(b"{}"), MalformedError),
    "another origin": (document(origin="a.example"), ContentError),
    "a freeze by a stranger": (one(freeze_leaf(2), 7), SignatureError),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_announcement_that_the_log_did_not_make_is_refused(lie: str) -> None:
    data, error = LIES[lie]
    with pytest.raises(error):
        follow(AnnouncedLog().trust, data)


def test_proofs_of_another_entry_place_or_log_are_refused() -> None:
    log = rotated(2)
    first, second = log.announcements()
    other = AnnouncedLog(5)
    other.rotate()
    swapped = replace(first, proof=second.proof)
    moved = replace(first, index=first.index + 1)
    foreign = announced(other.leaves, other.places[0], log.keys[:1], "a.example")
    for lie, error in (
        (swapped, (SignatureError, ProofError)),
        (moved, ContentError),
        (replace(first, leaf=second.leaf), ContentError),
        (replace(foreign, index=foreign.index), ContentError),
        (replace(first, proof=b"c2sp.org/tlog-proof@v1\n"), MalformedError),
    ):
        with pytest.raises(error):
            follow(log.trust, document(lie))


def test_a_key_is_replaced_once_and_does_not_come_back() -> None:
    log = AnnouncedLog()
    log.rotate()
    for number, old, match in ((5, 0, "replaced before"), (0, 1, "had before")):
        leaves = [*log.leaves, key_leaf(vkey(number), vkey(old), log.events)]
        signer = [signing_key(old)]
        again = announced(leaves, len(leaves) - 1, signer)
        with pytest.raises(ContentError, match=match):
            follow(log.trust, document(*log.announcements(), again))


def test_nothing_is_announced_behind_a_freeze() -> None:
    log = AnnouncedLog()
    log.freeze()
    log.rotate()
    last = announced(log.leaves, log.places[0], [signing_key(0)])
    frozen = announced(log.leaves[:-1], len(log.leaves) - 2, [signing_key(0)])
    with pytest.raises(ContentError, match="ended the log"):
        follow(log.trust, document(frozen, last))


def test_a_replaced_key_alone_freezes_nothing() -> None:
    log = rotated(1)
    log.freeze()
    lie = announced(log.leaves, len(log.leaves) - 1, log.keys[:1])
    with pytest.raises(ReplacedKeyError):
        follow(log.trust, document(log.announcements()[0], lie))


def test_a_key_that_lines_cannot_tell_from_another_is_refused() -> None:
    first, second = (
        VerifierKey("twin.example", KeyType.ED25519, number.to_bytes(32, "big"))
        for number in (22922, 28974)
    )
    old = signing_key(0, "twin.example")
    leaves = [*AnnouncedLog().leaves, key_leaf(second.vkey(), old.verifier().vkey())]
    lie = announced(leaves, 3, [old], "twin.example")
    trust = Trust((old.verifier(), first), "twin.example")
    with pytest.raises(ContentError, match="key ID"):
        follow(trust, document(lie, origin="twin.example"))


@settings(max_examples=40, deadline=None)
@given(events=st.lists(st.integers(0, 3), min_size=1, max_size=5), frozen=st.booleans())
def test_any_history_of_keys_is_followed_from_any_of_them(
    events: list[int], frozen: bool
) -> None:
    log = AnnouncedLog(0)
    for count in events:
        log.rotate()
        log.grow(count)
    if frozen:
        log.freeze()
    for place, key in enumerate(log.keys):
        trust = Trust.from_log_key(key.verifier().vkey())
        followed = follow(trust, log.document()).trust
        assert followed.log_keys == tuple(k.verifier() for k in log.keys[place:])
        assert (followed.frozen_at == len(log.leaves)) is frozen
        newest = verify_checkpoint(log.note(keys=[log.keys[-1]]), followed)
        assert newest.log_key == log.keys[-1].verifier()
    for old, index in zip(log.keys, log.places, strict=False):
        for size in (index, index + 1, len(log.leaves)):
            note = signed_note(log.leaves[:size], [old])
            trust = follow(log.trust, log.document()).trust
            if size <= index:
                verify_checkpoint(note, trust)
                continue
            with pytest.raises(ReplacedKeyError):
                verify_checkpoint(note, trust)
