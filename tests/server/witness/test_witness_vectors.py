"""Conversations of another witness, played against ours over HTTP."""

from pathlib import Path

import pytest

from provlog.merkle.keys import KeyType, VerifierKey
from provlog.merkle.notes import open_note
from provlog.merkle.witness_messages import SIZE_MEDIA_TYPE, parse_add_checkpoint
from support.asked_witnesses import Asking, asked_witness
from support.note_vectors import TORCHWOOD
from support.vectors import load_json

pytestmark = pytest.mark.needs("vectors")


def require_cosigned(asking: Asking, body: bytes, lines: str) -> None:
    note = parse_add_checkpoint(body).checkpoint
    opened = open_note(note + lines.encode(), asking.served.keys)
    assert len(opened.signatures) == 2


async def test_the_steps_of_litewitness_have_the_statuses_of_the_spec(
    tmp_path: Path,
) -> None:
    content = load_json(f"{TORCHWOOD}/add-checkpoint-sequence.json")
    steps = content["sequence"]
    origin = steps[0]["body"].split("\n\n")[1].split("\n")[0]
    public = bytes.fromhex(content["log_ed25519_pub_hex"])
    key = VerifierKey(origin, KeyType.ED25519, public)
    async with asked_witness(
        tmp_path / "witness", key.vkey(), name=content["witness_name"]
    ) as asking:
        for step in steps:
            body = step["body"].encode()
            status, kind, answer = await asking.post(body)
            assert status == step["spec_status"], step["assert"]
            if status == 200:
                require_cosigned(asking, body, answer)
                assert f"— {content['witness_name']} " in answer
            if status == 409:
                assert f'body == "{answer[:-1]}\\n"' == step["assert"]
                assert kind == SIZE_MEDIA_TYPE
    assert [step["spec_status"] for step in steps].count(200) == 3


async def test_a_log_whose_key_has_another_name_is_cosigned(tmp_path: Path) -> None:
    vector = load_json(f"{TORCHWOOD}/sumdb-add-checkpoint.json")
    async with asked_witness(tmp_path / "witness") as asking:
        body = vector["body"].encode()
        assert await asking.status(body) == 404
        asking.served.add_log(vector["vkey"], vector["origin"])
        status, _, answer = await asking.post(body)
        assert status == vector["status"]
        require_cosigned(asking, body, answer)
