"""The command `provlog` and the Python clients against a real server."""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provlog.client import AsyncClient, Client, Receipt, RefusedError, VolatileMemory
from provlog.merkle.errors import InconsistencyError
from provlog.merkle.redaction import cut_secrets
from provlog.merkle.trust import verify_checkpoint
from support.commands import Commands, verify_alone
from support.crowds import SOURCE, event
from support.servers import Server
from support.vectors import located


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server.init(tmp_path_factory.mktemp("end-to-end")) as running:
        yield running


@pytest.fixture
def provlog(server: Server, tmp_path: Path) -> Commands:
    return Commands(server, tmp_path)


@pytest.fixture
def auditor(server: Server, tmp_path: Path) -> Commands:
    return Commands(server, tmp_path, "auditor")


def write(path: Path, *values: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in values))
    return path


def test_what_is_submitted_verifies_elsewhere_with_the_log_key_alone(
    server: Server, provlog: Commands
) -> None:
    events = write(provlog.folder / "events.ndjson", event("s1"), event("s2"))
    kept = provlog.folder / "receipts"
    submit = ("submit", events, "--receipts", kept)
    logged = provlog.lines(*submit)
    assert [each["status"] for each in logged] == [201, 201]

    # The same again is known; other content under a taken id is refused, alone.
    events.write_text(events.read_text() + json.dumps(event("s3")) + "\n")
    again = provlog.lines(*submit)
    assert [each["status"] for each in again] == [200, 200, 201]
    assert [each["index"] for each in again[:2]] == [each["index"] for each in logged]
    changed = event("s2") | {"type": "role.revoke"}
    mixed = write(provlog.folder / "mixed.ndjson", changed, event("s4"))
    conflict = provlog.run("submit", mixed, "--json")
    assert conflict.returncode == 2
    refused, taken = map(json.loads, conflict.stdout.splitlines())
    assert (refused["status"], refused["index"]) == (409, logged[1]["index"])
    assert taken["status"] == 201

    files = sorted(kept.iterdir())
    assert len(files) == 3
    verified = verify_alone(server.log_key, *files)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert verified.stdout.count("ok ") == 3


def test_a_receipt_with_one_other_byte_and_another_key_are_refused(
    server: Server, provlog: Commands, tmp_path: Path
) -> None:
    kept = tmp_path / "receipts"
    one = write(tmp_path / "one.json", event("t1"))
    provlog.lines("submit", one, "--receipts", kept)
    [good] = kept.iterdir()
    receipt = json.loads(good.read_text())
    forged = []
    for name in ("leaf", "proof"):
        text = receipt[name]
        place = text.index("\n", 60) + 2 if name == "proof" else len(text) // 2
        other = "A" if text[place] != "A" else "B"
        changed = {**receipt, name: text[:place] + other + text[place + 1 :]}
        forged.append(write(tmp_path / f"{name}.receipt.json", changed))
    opened, *rest = receipt["disclosures"]
    spoilt = opened[:-3] + ("A" if opened[-3] != "A" else "B") + opened[-2:]
    changed = {**receipt, "disclosures": [spoilt, *rest]}
    forged.append(write(tmp_path / "disclosure.receipt.json", changed))
    forged.append(write(tmp_path / "index.receipt.json", {**receipt, "index": 0}))
    done = verify_alone(server.log_key, *forged, good)
    assert done.returncode == 1
    verdicts = [line.split()[0] for line in done.stdout.splitlines() if line[0] != " "]
    assert verdicts == ["FAILED"] * len(forged) + ["ok"]

    stranger = Server.init(tmp_path / "stranger")
    assert verify_alone(stranger.log_key, good).returncode == 1
    online = provlog.run("checkpoint", PROVLOG_LOG_KEY=stranger.log_key)
    assert online.returncode == 1
    assert online.stdout == ""
    assert online.stderr.startswith("VERIFICATION FAILED: ")


def test_a_long_poll_is_woken_by_a_write(provlog: Commands, tmp_path: Path) -> None:
    [now] = provlog.lines("checkpoint")
    waiting = provlog.start(
        *("checkpoint", "--newer-than", str(now["size"]), "--wait", "50", "--json")
    )
    with waiting:
        time.sleep(1.2)
        assert waiting.poll() is None, "it did not wait"
        provlog.lines("submit", write(tmp_path / "one.json", event("w1")))
        out, _ = waiting.communicate(timeout=5)
    assert waiting.returncode == 0
    assert json.loads(out)["size"] > now["size"]


def test_entries_and_proofs_of_every_kind_are_fetched_and_verify(
    server: Server, provlog: Commands, auditor: Commands, tmp_path: Path
) -> None:
    older = tmp_path / "older.checkpoint"
    older.write_text(auditor.run("checkpoint").stdout)
    events = write(tmp_path / "events.ndjson", event("p1"), event("p2"))
    first, _ = provlog.lines("submit", events)
    index = str(first["index"])

    by_index = auditor.lines("entry", index)[0]
    by_id = auditor.lines("entry", "--source", SOURCE, "--id", "p1")[0]
    assert by_index["leaf"] == by_id["leaf"]
    assert by_id["openings"]["labels"]

    file, leaf = tmp_path / "p1.tlog-proof", tmp_path / "leaf"
    written = auditor.run("proof", "inclusion", index, "--output", file)
    assert written.returncode == 0, written.stderr
    leaf.write_bytes(base64.b64decode(by_id["leaf"]))
    assert verify_alone(server.log_key, file, "--leaf", leaf).returncode == 0
    leaf.write_bytes(leaf.read_bytes() + b" ")
    assert verify_alone(server.log_key, file, "--leaf", leaf).returncode == 1

    size = str(int(index) + 1)
    earlier = auditor.lines("proof", "inclusion", index, "--size", size)[0]
    assert (earlier["size"], earlier["index"]) == (int(size), int(index))
    grown = auditor.lines("proof", "consistency", older)[0]
    assert grown["to"] > grown["from"]
    nothing = auditor.run("entry", "1000000")
    assert (nothing.returncode, nothing.stdout) == (2, "")


def test_a_server_that_is_down_is_exit_code_3(
    provlog: Commands, tmp_path: Path
) -> None:
    one = write(tmp_path / "one.json", event("d1"))
    gone = {"PROVLOG_URL": "http://127.0.0.1:9", "PROVLOG_PATIENCE": "0.2"}
    for arguments in (("submit", one), ("checkpoint",), ("entry", "0")):
        done = provlog.run(*arguments, **gone)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("unavailable: ")


@pytest.mark.needs("samples")
def test_okta_s_records_are_entries_once_and_keep_their_bytes_but_secrets(
    server: Server, provlog: Commands, tmp_path: Path
) -> None:
    samples = located("PROVLOG_SAMPLES", "samples")
    assert samples is not None
    [path] = (samples / "okta").glob("*.ndjson")
    records = path.read_bytes().splitlines()
    kept = tmp_path / "receipts"
    submit = (
        *("submit", path, "--format", "okta", "--source", "urn:okta:samples"),
        *("--receipts", kept),
    )
    logged = provlog.lines(*submit)
    assert len(logged) >= len(records)
    assert {each["status"] for each in logged} == {201}
    again = provlog.lines(*submit)
    assert {each["status"] for each in again} == {200}
    assert [each["index"] for each in again] == [each["index"] for each in logged]

    verified = verify_alone(server.log_key, "--show", "--json", *kept.iterdir())
    assert verified.returncode == 0, verified.stdout
    members = [json.loads(line)["members"] for line in verified.stdout.splitlines()]
    originals = {each["original"]["body"].encode() for each in members}
    assert originals == {cut_secrets(record).record for record in records}


async def test_the_python_client_submits_asks_and_verifies(server: Server) -> None:
    token, memory = server.tokens["submitter"], VolatileMemory()
    async with AsyncClient(
        server.url, server.trust, token=token, memory=memory
    ) as client:
        receipt = await client.submit(event("a1"))
        assert receipt.created
        again = await client.submit(event("a1"))
        assert (again.created, again.index) == (False, receipt.index)
        with pytest.raises(RefusedError) as refused:
            await client.submit(event("a1") | {"type": "role.revoke"})
        assert (refused.value.status, refused.value.index) == (409, receipt.index)
        results = await client.submit_batch(event(f"b{each}") for each in range(1200))
        indexes = [each.index for each in results if isinstance(each, Receipt)]
        assert len(set(indexes)) == 1200
        grown = await client.consistency(receipt.checkpoint)
        assert grown.newer.checkpoint.size > max(indexes)


def test_the_client_without_an_event_loop_does_the_same(server: Server) -> None:
    token, memory = server.tokens["auditor"], VolatileMemory()
    with Client(server.url, server.trust, token=token, memory=memory) as client:
        assert client.entry(0).verified.entry.kind == "params"
        proved = client.inclusion(0)
        assert proved.checkpoint.checkpoint.size == proved.size
        before = client.checkpoint()
        same = client.checkpoint(newer_than=before.checkpoint.size, wait=1)
        assert same.checkpoint == before.checkpoint
        with pytest.raises(RefusedError) as refused:
            client.submit(event("x1"))
        assert refused.value.status == 403


def test_a_log_that_went_back_is_noticed_and_one_that_forked_is_convicted(
    tmp_path: Path,
) -> None:
    first = Server.init(tmp_path)
    memory = VolatileMemory()
    with first:
        user = Commands(first, tmp_path / "user")
        # One port for all, so that nobody sees which server it is.
        first.listen = first.url.removeprefix("http://")
        watcher = Client(
            first.url, first.trust, token=first.tokens["monitor"], memory=memory
        )
        user.lines("submit", write(tmp_path / "one.json", event("r1"), event("r2")))
        early = watcher.checkpoint().checkpoint
        first.stop()
        older = tmp_path / "older"
        for part in (first.folder, first.guard):
            shutil.copytree(part, older / part.name)
        first.start()
        user.lines("submit", write(tmp_path / "two.json", event("r3"), event("r4")))
        late = watcher.checkpoint()
        [newest] = user.lines("checkpoint")

    # An older database beside the newest guard is not served at all.
    back = replace(first, folder=older / first.folder.name)
    refused = pytest.raises(RuntimeError, match=r"\(2\): Error: log main: .*older")
    with refused, back:
        pass

    # With its own guard, the server cannot know; a client that remembers can.
    back.options = ("--guard", str(older / first.guard.name))
    evidence = user.state / "evidence"
    with back, watcher:
        # Who has seen the older head before knows that it is stale, and no lie.
        assert watcher.checkpoint().checkpoint == early
        # Who has not is shown no proof of what it saw, but no contradiction either.
        shrunk = user.run("checkpoint")
        assert (shrunk.returncode, shrunk.stdout) == (1, "")
        assert not evidence.exists()

        victim = Commands(back, tmp_path / "victim")
        others = [event(f"other{each}") for each in range(5)]
        victim.lines("submit", write(tmp_path / "others.json", *others))
        caught = user.run("checkpoint")
        assert (caught.returncode, caught.stdout) == (1, "")
        assert caught.stderr.startswith("VERIFICATION FAILED: ")
        assert str(evidence) in caught.stderr
        with pytest.raises(InconsistencyError):
            watcher.checkpoint()
    assert memory.load(first.origin, first.log_key) == late.note

    [path] = evidence.iterdir()
    found = json.loads(path.read_text())
    notes = [found[name].encode() for name in ("older", "newer")]
    [seen, shown] = [verify_checkpoint(note, first.trust).checkpoint for note in notes]
    assert seen.size == newest["size"] < shown.size
