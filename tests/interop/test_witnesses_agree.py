"""omniwitness cosigns our log, our witness cosigns Tessera's, and both judge alike."""

import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.consistency import build_consistency
from provlog.merkle.keys import SigningKey
from provlog.merkle.log_list import ListedLog, format_log_list
from provlog.merkle.notes import (
    parse_note_unverified,
    sign_note,
)
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.merkle.witness_messages import (
    AddCheckpoint,
    origin_hash,
)
from support.interop import LONG
from support.interop_logs import ask, fill, run_program
from support.naive_tree import NaiveTree, leaf_hashes
from support.omniwitness import Omniwitness, Reply, post
from support.servers import Server
from support.witnesses import WitnessProcess
from support.workers import await_that

pytestmark = pytest.mark.needs("interop")

TREE = NaiveTree(leaf_hashes(60))
NODES = TREE.perfect_nodes()
LOG = SigningKey.from_seed("log.example/fed", bytes(32))
STRANGER = SigningKey.from_seed("log.example/unknown", bytes(32))
TESSERA = SigningKey.from_seed("tessera.example/log", b"t" * 32)
FIRST = [SigningKey.from_seed(f"log.example/first{n}", b"f" * 32) for n in range(2)]
LOGS = [LOG, TESSERA, *FIRST]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WitnessProcess]:
    """Yield a witness of ours that knows all these logs."""
    folder = tmp_path_factory.mktemp("witness")
    known = [ListedLog(key.verifier(), key.name, 10**6, "a test") for key in LOGS]
    (folder / "logs").write_bytes(format_log_list(known))
    witness = WitnessProcess.init(folder / "w")
    witness.options = ("--logs", str(folder / "logs"))
    with witness as running:
        yield running


def _feed(url: str, old: int, proof: list[bytes], note: bytes) -> Reply:
    return post(url, AddCheckpoint(old, tuple(proof), note).format())


# omniwitness and our log


def _have_witnessed(server: Server, witness: Omniwitness) -> Trust:
    """Set the witness's two keys as a quorum; return what readers are told."""
    lines = [
        f"witness {name} {key.vkey()} {witness.url}"
        for name, key in zip(("ed25519", "mldsa"), witness.keys, strict=True)
    ]
    policy = "\n".join([*lines, "group both all ed25519 mldsa", "quorum both", ""])
    settings = server.folder / "witnesses"
    settings.mkdir()
    (settings / "main.policy").write_text(policy)
    (settings / "main.toml").write_text('policy = "main.policy"\n')
    return Trust.from_policy(f"log {server.log_key}\n{policy}")


def _await_witnessed(server: Server, trust: Trust, size: int) -> int:
    """Return the size of a witnessed checkpoint, once one of this size is served."""
    served = 0

    def reached() -> bool:
        nonlocal served
        try:
            note = ask(server, "checkpoint")
        except urllib.error.HTTPError as error:
            if error.code != 503:  # which says that nothing is witnessed yet
                raise
            return False
        served = verify_checkpoint(note, trust).checkpoint.size
        return served >= size

    await_that(reached, "a witnessed checkpoint", seconds=60)
    return served


def test_omniwitness_cosigns_our_log_over_growth_and_restarts(tmp_path: Path) -> None:
    server = Server.init(tmp_path, "--dev", "--source", "*", "--public")
    with Omniwitness(tmp_path, [server.log_key]) as witness:
        trust = _have_witnessed(server, witness)
        with server:
            fill(server, 1, 5)
            assert _await_witnessed(server, trust, 6) >= 6
            witness.restart()
            fill(server, 100, 300)
            assert _await_witnessed(server, trust, 306) >= 306
            server.stop()
            server.start()
            witness.kill()
            fill(server, 1000, 5)
            # Without the witness the checkpoint stays, and is still a witnessed one.
            last = verify_checkpoint(ask(server, "checkpoint"), trust).checkpoint.size
            witness.start()
            assert _await_witnessed(server, trust, 311) > last


# Both witnesses, and the same requests


@dataclass(frozen=True)
class Asked:
    """A request; where both answer differently, the difference's name and statuses."""

    kind: str
    old: int
    proof: list[bytes]
    note: bytes
    known: str | None = None
    statuses: tuple[int, int] = (0, 0)


def _note(
    size: int, root: bytes | None = None, key: SigningKey = LOG, origin: str = LOG.name
) -> bytes:
    root = TREE.root(size) if root is None else root
    return sign_note(Checkpoint(origin, size, root).text(), [key])


def _asked(source: random.Random, head: int) -> Iterator[Asked]:
    """Yield requests to a witness that last cosigned the tree of `head` leaves."""
    size = source.randrange(head + 1, len(TREE.leaves) + 1)
    proof = build_consistency(head, size, NODES)
    note, same = _note(size), _note(head)
    broken = [bytes(32), *proof[1:]]
    other = _note(size, key=STRANGER)
    yield Asked("another key", head, proof, other, "refusals-as-failures", (403, 500))
    stranger = sign_note(Checkpoint(STRANGER.name, 5, bytes(32)).text(), [STRANGER])
    yield Asked("unknown", 0, [], stranger, "refusals-as-failures", (404, 500))
    false = note.replace(b"\n\n", b"\nmore\n\n")
    yield Asked("false", head, proof, false, "refusals-as-failures", (403, 500))
    yield Asked("old size too small", head - 1, proof, note)
    yield Asked("old size too large", head + 1, proof, note)
    yield Asked("old above the checkpoint's", size + 1, proof, note)
    yield Asked("broken proof", head, broken, note)
    yield Asked("no proof", head, [], note)
    yield Asked("a hash too many", head, [*proof, bytes(32)], note)
    yield Asked("another root", head, [], _note(head, bytes(32)))
    yield Asked("another root, larger", head, proof, _note(size, bytes(32)))
    yield Asked("smaller", head, [], _note(head - 1))
    yield Asked("the same", head, [], same)
    yield Asked("the same with a proof", head, [bytes(32)], same)
    yield Asked("growth", head, proof, note)
    yield Asked("growth again", head, proof, note)


def test_both_witnesses_answer_the_same_requests_alike(
    ours: WitnessProcess, tmp_path: Path
) -> None:
    source = random.Random(14)
    with Omniwitness(tmp_path, [LOG.verifier().vkey()]) as theirs:
        first = _note(3)
        for url in (ours.url, theirs.url):
            assert _feed(url, 0, [], first).status == 200
        met: set[str] = set()
        head, statuses = 3, set()
        while head < len(TREE.leaves) - 10:
            for each in _asked(source, head):
                body = AddCheckpoint(each.old, tuple(each.proof), each.note).format()
                replies = [post(url, body) for url in (ours.url, theirs.url)]
                if _gist(replies[0]) != _gist(replies[1]):
                    found = (replies[0].status, replies[1].status)
                    assert each.known, (each.kind, replies)
                    assert each.statuses == found, (each.kind, replies)
                    met.add(each.known)
                statuses.add(replies[0].status)
                if each.kind == "growth":
                    head = _size(each.note)
        assert statuses == {200, 400, 403, 404, 409, 422}
        assert met == {"refusals-as-failures"}


def _size(note: bytes) -> int:
    return int(parse_note_unverified(note).text.split("\n")[1])


def _gist(reply: Reply) -> tuple[int, str]:
    """Return the status, and the size where it tells one."""
    return reply.status, reply.body if reply.status == 409 else ""


def test_a_first_request_shows_what_omniwitness_takes_on_trust(
    ours: WitnessProcess, tmp_path: Path
) -> None:
    requests = {
        "first-old-sizes": (4, build_consistency(4, 9, NODES)),
        "first-proofs": (0, [bytes(32)]),
    }
    vkeys = [each.verifier().vkey() for each in FIRST]
    with Omniwitness(tmp_path, vkeys) as theirs:
        for log, (old, proof) in zip(FIRST, requests.values(), strict=True):
            note = _note(9, key=log, origin=log.name)
            assert _feed(theirs.url, old, proof, note).status == 200
            assert _feed(ours.url, old, proof, note).status in {409, 422}


# Our witness and Tessera's log


def _append(folder: Path, policy: Path, entries: list[str]) -> bytes:
    """Have Tessera's POSIX log take entries and publish; return its checkpoint."""
    sent = folder / "entries"
    sent.mkdir(exist_ok=True)
    for old in sent.iterdir():
        old.unlink()
    for each in entries:
        (sent / each).write_text(f"an entry: {each}")
    (folder / "secret").write_text(TESSERA.encode())
    done = run_program(
        "posix-oneshot",
        f"--storage_dir={folder / 'log'}",
        f"--entries={sent}/*",
        f"--private_key={folder / 'secret'}",
        f"--witness_policy_file={policy}",
        "--logtostderr",
    )
    assert done.returncode == 0, done.stderr
    return (folder / "log" / "checkpoint").read_bytes()


def test_our_witness_cosigns_a_log_of_tessera_over_growth_and_restarts(
    ours: WitnessProcess, tmp_path: Path
) -> None:
    vkey = TESSERA.verifier().vkey()
    policy = f"witness w {ours.vkeys[0]} {ours.url}\nquorum w\n"
    path = tmp_path / "policy"
    path.write_text(policy)
    trust = Trust.from_policy(f"log {vkey}\n{policy}")
    size = 0
    for run in range(6 if LONG else 2):
        note = _append(tmp_path, path, [f"{run}-{n}" for n in range(3 + run)])
        signed = verify_checkpoint(note, trust)  # with the witness, or it raises
        size += 3 + run
        assert signed.checkpoint.size == size
        ours.restart()
    code, seen = _get(f"{ours.url}/{origin_hash(TESSERA.name)}/checkpoint")
    assert code == 200
    assert verify_checkpoint(seen, trust).checkpoint.size == size


def _get(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, answer.read()
