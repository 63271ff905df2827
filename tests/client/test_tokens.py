"""Security event tokens as records: sent, accounted for, and verified years later."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from provlog.client import AsyncClient, Receipt
from provlog.client.cli import cli
from provlog.client.errors import UsageError
from provlog.client.records import cut_records
from provlog.merkle.encoding import JsonValue
from provlog.merkle.event_tokens import is_token_shaped
from provlog.server.intake.connectors import events_of
from provlog.server.intake.connectors.secevent import VERIFIED
from provlog.server.intake.event import Event, EventError
from provlog.server.intake.members import split_members
from support.accounted import Log, new, old
from support.lying_log import NS, LyingLog, cut_as_server
from support.sets import (
    AUDIENCE,
    ISSUER,
    JWKS,
    PROV,
    claims_of,
    key_set,
    make_key,
    sign,
    unsigned,
)
from support.vectors import samples_root

SOURCE = "urn:okta:acme"
Run = Callable[..., Result]
ONE = sign(claims_of("one")).encode()
TWO = sign(claims_of("two"), "RS256").encode()
CLAIMS = json.dumps(claims_of("three")).encode()
SECRET = {"data": {"userName": "zoe", "password": "hunter2-quux"}}
WITH_SECRET = sign(claims_of("four", events={f"{PROV}:create:full": SECRET})).encode()


def made(record: bytes) -> Event:
    return events_of(VERIFIED, record, SOURCE, 0)[0]


def quoted(token: bytes) -> bytes:
    return b'"%b"' % token


@pytest.mark.parametrize(
    ("raw", "items"),
    [
        (ONE, [ONE]),
        (ONE + b"\n\n" + TWO + b"\r\n" + CLAIMS, [ONE, TWO, CLAIMS]),
        (CLAIMS + b"\n" + ONE, [CLAIMS, ONE]),
        (b"[%b, %b]" % (quoted(ONE), quoted(TWO)), [ONE, TWO]),
        (b"[%b,%b]" % (quoted(ONE), CLAIMS), [ONE, CLAIMS]),
        (b'[ "no token" ]', [b'"no token"']),
        (unsigned(claims_of()).encode(), [unsigned(claims_of()).encode()]),
    ],
    ids=range(7),
)
async def test_tokens_are_submitted_in_any_form_and_each_is_accounted_for(
    raw: bytes, items: list[bytes], client: AsyncClient
) -> None:
    assert [*cut_records(raw, "set").items] == items == cut_as_server(raw, "set")
    results = await client.submit_records("set", SOURCE, raw)
    assert len(results) == len(items)
    assert all(isinstance(each, Receipt) and each.created for each in results)
    again = await client.submit_records("set", SOURCE, raw)
    assert all(isinstance(each, Receipt) and not each.created for each in again)


async def test_a_token_with_a_secret_is_accounted_for_by_its_claims(
    client: AsyncClient, log: LyingLog
) -> None:
    (receipt,) = await client.submit_records("set", SOURCE, WITH_SECRET)
    assert isinstance(receipt, Receipt)
    assert "hunter2" not in str(log.disclosures)
    assert "zoe" in str(receipt.verified.disclosures["original"].value)


@pytest.mark.needs("samples")
async def test_the_figures_of_rfc_9967_are_each_accounted_for(
    client: AsyncClient,
) -> None:
    folder = samples_root() / "security_event_tokens"
    raw = (folder / "rfc9967-figures.json").read_bytes()
    results = await client.submit_records("set", SOURCE, raw)
    assert len(results) == len(json.loads(raw))
    for each in results:
        assert isinstance(each, Receipt)
        entry = each.verified
        assert not str(entry.entry.body["type"]).startswith("other.un")
        ingest = entry.disclosures["ingest"].value
        assert isinstance(ingest, dict)
        assert ingest["flags"] == ["unsigned"]


def test_without_the_format_tokens_are_no_records() -> None:
    with pytest.raises(UsageError):
        cut_records(ONE)
    assert cut_records(b"[%b]" % quoted(ONE)).items == [quoted(ONE)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from([ONE, TWO, CLAIMS, quoted(ONE), b"null", b'"a.b.c', b"x.y.z "]),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_both_sides_cut_tokens_in_the_same_places(
    parts: list[bytes], array: bool
) -> None:
    raw = b"[" + b",".join(parts) + b"]" if array else b"\n".join(parts)
    try:
        theirs: list[bytes] | None = cut_as_server(raw, "set")
    except EventError:
        theirs = None
    try:
        records = cut_records(raw, "set")
    except UsageError:
        assert theirs is None or not array
        return
    assert [*records.items] == theirs
    for batch in records.batches():
        assert [*batch.items] == cut_as_server(batch.body, "set")


def test_the_name_of_a_token_is_made_of_its_own_claims() -> None:
    log = Log()
    index = log.log_entry(made(ONE))
    log.check([ONE], (201, index))
    other = log.log_entry(made(TWO))
    log.refuses([ONE], (201, other))
    renamed = made(ONE)
    for name in (f"one@{ISSUER}/", f"two@{ISSUER}", f"@{ISSUER}", f"one@{AUDIENCE}"):
        event: JsonValue = {"id": name, "native_type": renamed.native_type}
        log.refuses([ONE], (201, log.log_entry(renamed, event=event)))


def test_another_token_cannot_stand_in_for_the_one_that_was_sent() -> None:
    log = Log()
    changed = sign(claims_of("one", txn="another")).encode()
    index = log.log_entry(made(changed))
    log.refuses([ONE], *new(index))
    # As an entry of old it may: the log had another token of that name before.
    log.check([ONE], *old(index))


def test_the_claims_of_a_token_without_a_secret_do_not_replace_it() -> None:
    log = Log()
    whole = made(ONE)
    claims = json.dumps(claims_of("one"))
    kept: dict[str, JsonValue] = {"media_type": "application/json", "body": claims}
    cut: JsonValue = {**kept, "redacted": ["/txn"]}
    for original in (kept, cut):
        log.refuses([ONE], *new(log.log_entry(whole, original=original)))


@pytest.fixture
def run(log: LyingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what verifies the receipt of a record's first entry."""
    monkeypatch.chdir(tmp_path)
    Path("keys.json").write_bytes(JWKS)

    def call(record: bytes, *arguments: str, **members: Any) -> Result:  # noqa: ANN401
        event = made(record)
        whole = split_members(event, NS, {}) | members
        index = log.append_members(event, whole)
        Path("receipt").write_text(json.dumps(log.receipt(index)))
        given = ["verify", "--log-key", log.vkey, "receipt", *arguments]
        return CliRunner().invoke(cli, given, env={"XDG_CONFIG_HOME": str(tmp_path)})

    return call


KEYS = ("--issuer-keys", "keys.json")


def test_the_signature_of_the_original_is_verified_with_the_issuer_s_keys(
    run: Run,
) -> None:
    result = run(ONE, *KEYS, "--issuer", ISSUER, "--audience", AUDIENCE)
    assert result.exit_code == 0, result.output
    assert f"its token was signed by {ISSUER}, with key Ed25519-1" in result.output
    found = json.loads(run(TWO, *KEYS, "--json").output)
    assert found["token"] == {
        "issuer": ISSUER,
        "jti": "two",
        "algorithm": "RS256",
        "kid": "RS256-1",
    }
    assert "token" not in json.loads(run(ONE, "--json").output)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--issuer", "https://another.example"), "another issuer"),
        (("--audience", "urn:x"), "another audience"),
    ],
)
def test_a_token_that_is_not_what_it_has_to_be_fails(
    arguments: tuple[str, ...], says: str, run: Run
) -> None:
    result = run(ONE, *KEYS, *arguments)
    assert (result.exit_code, says in result.output) == (1, True), result.output


def test_a_token_of_other_keys_fails(run: Run) -> None:
    Path("others").write_bytes(key_set(make_key("Ed25519", "Ed25519-1")))
    assert run(ONE, "--issuer-keys", "others").exit_code == 1
    assert run(unsigned(claims_of()).encode(), *KEYS).exit_code == 1


def test_a_token_that_a_log_put_beside_another_event_fails(run: Run) -> None:
    original = {"media_type": "application/secevent+jwt", "body": TWO.decode()}
    result = run(ONE, *KEYS, original=original)
    assert result.exit_code == 1
    assert "of another event" in result.output


def test_the_entry_of_a_second_token_of_the_same_name_is_its_own(run: Run) -> None:
    event = {"id": f"one@{ISSUER}~{'0' * 16}"}
    assert run(ONE, *KEYS, event=event).exit_code == 0
    event = {"id": f"one@{ISSUER}~x"}
    assert run(ONE, *KEYS, event=event).exit_code == 1


@pytest.mark.parametrize("record", [CLAIMS, WITH_SECRET], ids=["claims", "secret"])
def test_without_a_token_there_is_nothing_to_verify(record: bytes, run: Run) -> None:
    result = run(record, *KEYS)
    assert result.exit_code == 2
    assert "keeps no signed token" in result.output
    assert run(record).exit_code == 0


def test_keys_that_cannot_be_read_are_the_caller_s(run: Run) -> None:
    Path("empty").write_bytes(b"{}")
    assert run(ONE, "--issuer-keys", "empty").exit_code == 2
    assert run(ONE, "--issuer", ISSUER).exit_code == 2
    assert is_token_shaped(ONE)
