"""A log whose witness lies goes on with the others, and says who it was."""

import logging
from pathlib import Path

import pytest

from hostile.lie import is_said
from hostile.on_witnesses import WITNESSES, WitnessLie
from provlog.server.witnessing import rounds, witness
from support.asking import (
    asking,
    configure,
    keys_of,
    served_checkpoint,
    trust_by,
    until,
)
from support.events import event_json
from support.fake_witnesses import FakeWitness, policy_of, serving
from support.instances import Served, make_instance

LIAR = "w2"


def _published(served: Served) -> int:
    """Return the size of the newest head that its quorum cosigned."""
    published = served.log.published
    found = None if published is None else published.witnessed
    return 0 if found is None else found.head.size


@pytest.mark.parametrize("lie", WITNESSES, ids=lambda lie: lie.name)
async def test_a_witness_that_lies_is_named_and_the_head_is_published(
    lie: WitnessLie,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds, "INTERVAL", 0.05)
    monkeypatch.setattr(witness, "FIRST_PAUSE", 0.05)
    made = await make_instance(tmp_path)
    asked = [FakeWitness(name, keys_of(made)) for name in ("w1", LIAR, "w3")]
    asked[1].lie = lie.lie

    def named() -> bool:
        return any(
            f"witness '{LIAR}' of log" in each.getMessage()
            and is_said(lie.said, each.getMessage())
            for each in caplog.records
            if each.levelno >= logging.WARNING
        )

    async with serving(*asked):
        policy = policy_of(*asked, quorum=2)
        configure(made, policy)
        async with asking(made) as served:
            assert (await served.post(event_json(id="e"))).status == 201
            await until(named)
            await until(lambda: _published(served) == served.log.released.size)
            signed = await served_checkpoint(served, trust_by(made, policy))
    assert signed.checkpoint.size == served.log.released.size
    assert LIAR not in {each.witness for each in signed.cosignatures}
