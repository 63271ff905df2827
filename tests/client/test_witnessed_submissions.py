"""A client under a policy submits, and what it gets was cosigned."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from provlog.client.aio import AsyncClient
from provlog.client.cli import cli
from provlog.client.errors import UnavailableError, UsageError
from provlog.client.memory import VolatileMemory
from provlog.client.sync import Client
from provlog.merkle.encoding import JsonValue
from provlog.merkle.trust import Trust
from provlog.server.witnessing import rounds, witness
from support.asking import asking, configure, keys_of, trust_by
from support.events import event_json
from support.fake_witnesses import FakeWitness, policy_of, serving, unknowing
from support.instances import Made, Served, make_instance


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "INTERVAL", 0.05)
    monkeypatch.setattr(witness, "FIRST_PAUSE", 0.05)


def event(name: str) -> Mapping[str, JsonValue]:
    return event_json(id=name)


def client_of(served: Served, trust: Trust, patience: float = 20.0) -> AsyncClient:
    url = str(served.client.make_url("")).rstrip("/")
    return AsyncClient(
        url,
        trust,
        token=served.made.tokens["submitter"],
        memory=VolatileMemory(),
        patience=patience,
        wait_witnessed=True,
    )


async def test_receipts_and_batches_lead_to_cosigned_checkpoints(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    witnesses = [FakeWitness(name, keys_of(made)) for name in ("w1", "w2", "w3")]
    async with serving(*witnesses):
        policy = policy_of(*witnesses, quorum=2)
        configure(made, policy)
        async with (
            asking(made) as served,
            client_of(served, trust_by(made, policy)) as client,
        ):
            receipt = await client.submit(event("a"))
            assert receipt.created
            assert len(receipt.checkpoint.cosignatures) >= 2
            results = await client.submit_batch([event("b"), event("a")])
            assert [getattr(each, "index", None) for each in results] == [2, 1]
            # As any reader, a submitter sees what is cosigned.
            assert len((await client.checkpoint()).cosignatures) >= 2


async def test_without_a_quorum_nothing_is_believed_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    made = await make_instance(tmp_path)
    one = FakeWitness("w1", keys_of(made))
    async with serving(one):
        policy = policy_of(one)
        configure(made, policy, wait="1s")
        one.lie = unknowing
        async with asking(made) as served:
            trust = trust_by(made, policy)
            async with client_of(served, trust, patience=0.5) as client:
                with pytest.raises(UnavailableError) as caught:
                    await client.submit(event("a"))
                assert [each["id"] for each in caught.value.unsettled] == ["a"]
            one.lie = None
            async with client_of(served, trust) as client:
                receipt = await client.submit(event("a"))
                assert (receipt.index, receipt.created) == (1, False)


def test_to_insist_takes_a_policy_that_asks_for_witnesses(
    tmp_path: Path, made: Made
) -> None:
    for trust in (made.trust, trust_by(made, b"quorum none\n")):
        with pytest.raises(UsageError, match="policy"):
            Client("http://127.0.0.1:1", trust, wait_witnessed=True)
    path = tmp_path / "event.json"
    path.write_text("{}")
    given = ["submit", str(path), "--witnessed", "--url", "http://127.0.0.1:1"]
    given += ["--log-key", made.record.log_key, "--state", str(tmp_path)]
    done = CliRunner().invoke(cli, given)
    assert done.exit_code == 2
    assert "policy with a quorum" in done.output


@pytest.fixture
async def made(tmp_path: Path) -> Made:
    return await make_instance(tmp_path / "made")
