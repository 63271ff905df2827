"""What a witness answers, and what is written down of it, may be anything."""

import logging
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.cosigners import Cosigner
from provlog.merkle.keys import KeyType
from provlog.merkle.notes import format_signature
from provlog.server.errors import ConfigurationError
from provlog.server.witnessing.answers import MAX_SKEW, Cosigned, read_cosignatures
from provlog.server.witnessing.calls import Reply, WitnessError
from provlog.server.witnessing.settings import Endpoint, read_witnesses, settings_path
from provlog.server.witnessing.showing import read_state, write_state
from provlog.server.witnessing.witness import Witness, read_known_size

ORIGIN = "log.example.com/main"
TEXT = Checkpoint(ORIGIN, 7, bytes(32)).text()
NOW = 1_800_000_000
ONE = Cosigner("one.example", KeyType.COSIGNATURE_ED25519, b"1" * 32)
TWO = Cosigner("two.example", KeyType.COSIGNATURE_ED25519, b"2" * 32)
KEYS = (ONE.verifier(), TWO.verifier())
OWN = Endpoint("w1", {ONE.verifier(): "w1"}, "https://w1", "https://w1")
FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def lines(*cosigners: Cosigner, at: int = NOW) -> bytes:
    made = (format_signature(*each.cosign(TEXT, at)) for each in cosigners)
    return "".join(f"{line}\n" for line in made).encode()


def read(body: bytes) -> tuple[Cosigned, ...]:
    return read_cosignatures(body, TEXT, KEYS[:1], KEYS[1:], NOW)


@FEW
@given(st.binary(max_size=400))
def test_any_bytes_are_an_answer_that_is_wrong(body: bytes) -> None:
    with pytest.raises(WitnessError) as caught:
        read(body)
    assert caught.value.outcome == "wrong"


@FEW
@given(st.data())
def test_an_answer_with_a_byte_changed_is_believed_nowhere(data: st.DataObject) -> None:
    body = bytearray(lines(ONE))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WitnessError):
        read(bytes(body))


def test_an_answer_counts_with_a_line_of_its_own_and_none_that_is_false() -> None:
    assert [each.key for each in read(lines(ONE, TWO))] == list(KEYS)
    with pytest.raises(WitnessError, match="no cosignature by its key"):
        read(lines(TWO))
    # A false line of another witness is a lie as well.
    other = Checkpoint(ORIGIN, 7, b"1" * 32).text()
    false = f"{format_signature(*TWO.cosign(other, NOW))}\n".encode()
    with pytest.raises(WitnessError, match="does not verify"):
        read(lines(ONE) + false)


@pytest.mark.parametrize("off", [MAX_SKEW, -MAX_SKEW])
def test_the_time_of_a_cosignature_is_near_ours(off: int) -> None:
    assert read(lines(ONE, at=NOW + off))
    with pytest.raises(WitnessError, match="off our clock"):
        read(lines(ONE, at=NOW + off + (1 if off > 0 else -1)))


@FEW
@given(st.binary(max_size=40))
def test_a_size_is_a_decimal_or_the_answer_is_wrong(body: bytes) -> None:
    with suppress(WitnessError):
        assert body == b"%d\n" % read_known_size(Reply(409, body, None))
    with pytest.raises(WitnessError, match="without the size"):
        read_known_size(Reply(409, b" " + body, None))
    assert read_known_size(Reply(409, b"120\n", None)) == 120


@FEW
@given(st.binary(max_size=200))
def test_what_was_written_down_is_read_or_counts_as_none(
    tmp_path: Path, body: bytes
) -> None:
    path = tmp_path / "main.json"
    path.write_bytes(body)
    assert read_state(path) is None
    write_state(path, ORIGIN, [Witness(OWN, ORIGIN, known=5)])
    state = read_state(path, ORIGIN)
    assert state is not None
    assert state.sizes() == {"w1": 5}
    assert read_state(path, "another.example") is None


@FEW
@given(st.binary(max_size=200))
def test_settings_are_read_or_refused(tmp_path: Path, body: bytes) -> None:
    settings_path(tmp_path, "main").write_bytes(body)
    with pytest.raises(ConfigurationError):
        read_witnesses(tmp_path, "main", ORIGIN)


def test_a_witness_that_is_slow_or_refuses_is_named_once_and_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    witness = Witness(OWN, ORIGIN, slow=1.0)
    found = read(lines(ONE))
    witness.succeeded(found, 0.1)
    assert not caplog.records
    assert witness.cosigned == {"w1": NOW}
    for _ in range(3):
        witness.succeeded(found, 2.0)
    [said] = [each.message for each in caplog.records]
    assert "'w1'" in said
    assert "slow" in said
    assert witness.is_due()
    caplog.clear()
    for _ in range(3):
        witness.failed(WitnessError("refused", "asks to wait", pause=60.0))
        assert not witness.is_due()
    assert len(caplog.records) == 1
    witness.rest(0.0)
    assert witness.is_due()
    caplog.clear()
    # To be asked too often is no fault of its own; it is said once.
    for _ in range(2):
        witness.failed(WitnessError("limited", "asks less often", pause=60.0))
        assert not witness.is_due()
    assert [each.levelname for each in caplog.records] == ["INFO"]
    assert witness.state == "refused"
    witness.succeeded(found, 0.1)
    assert "again" in caplog.records[-1].message
    assert witness.answered is not None
    assert witness.answered <= time.time()
