"""Which logs a witness knows: what is added, what lists say, and changes of both."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provlog.merkle.keys import SigningKey, VerifierKey
from provlog.server.errors import ConfigurationError
from provlog.server.witness.roll import MOST_KEYS, Roll, add_log, read_list
from provlog.server.witness.schema import create_database
from provlog.server.witness.store import WitnessStore
from support.asked_witnesses import asked_witness
from support.cosigners import Cosigner, twins
from support.witnessed_logs import ORIGIN, MemoryLog

LOG = MemoryLog()


def other_key(number: int, name: str = ORIGIN) -> VerifierKey:
    return SigningKey(name, bytes([number]) * 32).verifier()


def write_list(path: Path, *logs: tuple[VerifierKey, str], rate: int = 24) -> Path:
    lines = ["logs/v0"]
    for key, origin in logs:
        lines += [f"vkey {key.vkey()}", f"origin {origin}", f"qpd {rate}", "contact x"]
    staged = path.with_suffix(".new")
    staged.write_text("\n".join(lines))
    staged.replace(path)
    return path


def removed(store: WitnessStore, vkey: str) -> bool:
    return store.settle(lambda writing: writing.remove_key(ORIGIN, vkey))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WitnessStore]:
    create_database(tmp_path / "witness.db")
    store = WitnessStore(tmp_path / "witness.db")
    yield store
    store.close()


def test_a_log_has_its_keys_in_the_order_they_were_added(store: WitnessStore) -> None:
    roll = Roll(store)
    assert roll.find(ORIGIN) is None
    for number in (3, 1, 2, 3):
        assert add_log(store, other_key(number).vkey(), None, 100, "") == ORIGIN
    log = roll.find(ORIGIN)
    assert log is not None
    assert log.keys == (other_key(3), other_key(1), other_key(2))


def test_what_is_not_given_anew_stays(store: WitnessStore) -> None:
    roll = Roll(store)
    add_log(store, LOG.vkey, None, 7, "me@example.com")
    add_log(store, other_key(1).vkey(), None, None, "")
    log = roll.find(ORIGIN)
    assert log is not None
    assert (log.rate, log.contact) == (7, "me@example.com")


def test_without_a_rate_a_log_may_grow_each_second(store: WitnessStore) -> None:
    add_log(store, LOG.vkey, None, None, "")
    assert store.logs()[0].rate == 86_400


def test_a_log_goes_with_its_last_key(store: WitnessStore) -> None:
    roll = Roll(store)
    for number in (1, 2):
        add_log(store, other_key(number).vkey(), None, None, "")
    for number, left in ((1, (other_key(2),)), (2, None)):
        vkey = other_key(number).vkey()
        assert removed(store, vkey)
        log = roll.find(ORIGIN)
        assert (log and log.keys) == left
    assert not removed(store, vkey)


def test_what_is_no_log_is_not_added(store: WitnessStore) -> None:
    witness = Cosigner.ed25519("w.example", 1).key.vkey()
    for vkey, origin in (
        ("bananas", None),
        (witness, None),
        (LOG.vkey, ""),
        (LOG.vkey, "two\nlines"),
        (LOG.vkey, "x" * 256),
    ):
        with pytest.raises(ConfigurationError):
            add_log(store, vkey, origin, None, "")
    assert store.logs() == []


def test_two_keys_that_lines_cannot_tell_apart_are_refused(store: WitnessStore) -> None:
    first, second = twins(LOG.key.verifier().key_type)
    add_log(store, first.vkey(), ORIGIN, None, "")
    with pytest.raises(ConfigurationError, match="same name and ID"):
        add_log(store, second.vkey(), ORIGIN, None, "")


def test_a_log_has_so_many_keys_and_no_more(store: WitnessStore) -> None:
    for number in range(MOST_KEYS):
        add_log(store, other_key(number + 1).vkey(), None, None, "")
    with pytest.raises(ConfigurationError, match="16 keys"):
        add_log(store, other_key(99).vkey(), None, None, "")
    add_log(store, other_key(1).vkey(), None, 5, "")  # it is known already


def test_lists_and_what_was_added_hold_together(
    store: WitnessStore, tmp_path: Path
) -> None:
    one = write_list(tmp_path / "one", (other_key(1), ORIGIN), (other_key(2), "b"))
    two = write_list(tmp_path / "two", (other_key(3), ORIGIN), rate=99)
    add_log(store, LOG.vkey, None, 7, "")
    known = Roll(store, [one, two]).known()
    assert set(known) == {ORIGIN, "b"}
    assert set(known[ORIGIN].keys) == {other_key(1), other_key(3), LOG.key.verifier()}
    assert known[ORIGIN].rate == 7
    assert known["b"].rate == 24


def test_a_list_is_read_anew_when_it_changes(
    store: WitnessStore, tmp_path: Path
) -> None:
    path = write_list(tmp_path / "list", (other_key(1), "a"))
    roll = Roll(store, [path])
    assert not roll.look()
    write_list(path, (other_key(1), "a"), (other_key(2), "b"))
    assert roll.look()
    assert set(roll.known()) == {"a"}
    roll.take_up()
    assert set(roll.known()) == {"a", "b"}
    assert "origin b" in roll.listing()


def test_a_list_that_is_broken_leaves_what_it_said_and_says_so_once(
    store: WitnessStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_list(tmp_path / "list", (other_key(1), "a"))
    roll = Roll(store, [path])
    path.write_text("logs/v9")
    for _ in range(3):
        assert not roll.look()
    assert (roll.broken, set(roll.known())) == (1, {"a"})
    path.unlink()
    for _ in range(3):
        assert not roll.look()
    assert roll.broken == 1
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 2
    write_list(path, (other_key(2), "b"))
    os.utime(path, ns=(1, 1))
    assert roll.look()
    assert roll.broken == 0


def test_a_list_that_cannot_be_read_keeps_a_witness_from_starting(
    store: WitnessStore, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        Roll(store, [tmp_path / "nothing"])
    (tmp_path / "bad").write_text("logs/v9")
    with pytest.raises(ConfigurationError, match="does not begin with logs/v0"):
        read_list(tmp_path / "bad")


async def test_a_list_s_log_is_cosigned_at_its_rate(tmp_path: Path) -> None:
    path = write_list(tmp_path / "list", (LOG.key.verifier(), ORIGIN), rate=1)
    async with asked_witness(tmp_path / "witness", lists=[path]) as asking:
        assert await asking.status(LOG.request(0, 1)) == 200
        assert await asking.status(LOG.request(1, 2)) == 429
        newer = replace(LOG, key=SigningKey(ORIGIN, bytes([1]) * 32))
        assert await asking.status(newer.request(1, 2)) == 403
        asking.served.add_log(newer.vkey, rate=100)
        assert await asking.status(newer.request(1, 1)) == 200
