"""The real `provlog-server witness serve`: what it takes up while it runs."""

import json
import signal
import urllib.error
import urllib.request
from pathlib import Path

from provlog.merkle.notes import open_note
from support.witnessed_logs import MemoryLog
from support.witnesses import NAME, WitnessProcess

LOG = MemoryLog()


def ask(witness: WitnessProcess, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(f"{witness.url}/add-checkpoint", data=body)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_witness_as_its_operator_runs_it(tmp_path: Path) -> None:
    witness = WitnessProcess.init(tmp_path / "witness")
    with witness:
        assert ask(witness, LOG.request(0, 5))[0] == 404
        witness.add_log(LOG.vkey)  # a running one knows it at once
        status, lines = ask(witness, LOG.request(0, 5))
        assert status == 200
        open_note(LOG.checkpoint(5) + lines, witness.keys)
        with urllib.request.urlopen(f"{witness.metrics_url}/metrics") as page:
            assert b'provlog_witness_head_size{origin="log.example.com/main"} 5.0' in (
                page.read()
            )
        with urllib.request.urlopen(f"{witness.metrics_url}/readyz") as page:
            assert json.loads(page.read()) == {"status": "ready"}
        # A second process on the same memory.
        with WitnessProcess(witness.folder, NAME, witness.vkeys) as other:
            assert ask(other, LOG.request(0, 6)) == (409, b"5\n")
            assert ask(other, LOG.request(5, 6))[0] == 200
        assert ask(witness, LOG.request(5, 7)) == (409, b"6\n")
        code, said = witness.stop(signal.SIGTERM)
    assert (code, said) == (0, "")
