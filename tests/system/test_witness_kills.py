"""A witness that is killed never has answered what it does not remember.

Two histories of one log, signed by the same key, ask two processes of one witness for
cosignatures, of which one is killed and started again.
"""

import random
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import NamedTuple

from provlog.merkle.checkpoints import parse_checkpoint_text
from provlog.merkle.notes import open_note
from provlog.merkle.witness_messages import (
    AddCheckpoint,
    origin_hash,
    parse_known_size,
)
from support.naive_tree import NaiveTree
from support.witnessed_logs import ORIGIN, MemoryLog
from support.witnesses import NAME, WitnessProcess

KILLS = 6
PACE = 0.02
"""Seconds between two requests of one teller: starts need the processor too."""
COMMON = 8
MOST = 2_000


@dataclass
class Teller:
    """Tells a witness one history, request after request; notes what is cosigned."""

    log: MemoryLog
    url: str
    number: int
    stop: threading.Event = field(default_factory=threading.Event)
    got: list[bytes] = field(default_factory=list)
    refused: int = 0
    lost: int = 0
    told: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.whole = self.log.tree(MOST)
        self.random = random.Random(self.number)

    def run(self) -> None:
        known = 0
        while not self.stop.is_set() and known < MOST - 4:
            assert known >= 0, "neither cosigned nor refused for another history"
            size = known + self.random.choice((0, 1, 1, 2, 3))
            proof = self.whole.proof(0, known, size) if 0 < known < size else ()
            note = self.log.sign(size, self.whole.root(size))
            body = AddCheckpoint(known, tuple(proof), note).format()
            known = self._ask(body, note, known, size)
            self.stop.wait(PACE)

    def _ask(self, body: bytes, note: bytes, known: int, size: int) -> int:
        """Return the size that the witness knows, as far as it said so."""
        request = urllib.request.Request(f"{self.url}/add-checkpoint", data=body)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                self.got.append(note + answer.read())
                self.told()
                return size
        except urllib.error.HTTPError as error:
            with error:
                self.refused += 1
                if error.code == 409:
                    return parse_known_size(error.read())
                # The other history has won: this one begins anew.
                return 0 if error.code == 422 else -1
        except (OSError, HTTPException):  # it is being killed
            self.lost += 1
            return known


def test_over_kills_no_two_cosigned_heads_conflict(tmp_path: Path) -> None:
    witness = WitnessProcess.init(tmp_path / "witness")
    logs = [MemoryLog(common=COMMON), MemoryLog(history="two", common=COMMON)]
    witness.add_log(logs[0].vkey, "--rate", "1000000/day")
    answers = threading.Semaphore(0)
    # The other one works on the same memory, and is not killed.
    with witness, WitnessProcess(witness.folder, NAME, witness.vkeys) as other:
        tellers = [
            Teller(log, each.url, number, told=answers.release)
            for each in (witness, other)
            for number, log in enumerate(logs)
        ]
        with telling(tellers):
            for wanted in islice(cycle((1, 7, 3)), KILLS):
                # It is killed in the middle of its work, wherever that is.
                for _ in range(wanted):
                    assert answers.acquire(timeout=30)
                witness.restart()
        url = f"{witness.url}/{origin_hash(ORIGIN)}/checkpoint"
        with urllib.request.urlopen(url, timeout=20) as answer:
            kept = verified(witness, answer.read())
        heads = [verified(witness, each) for teller in tellers for each in teller.got]
    assert any(each.lost for each in tellers)
    assert any(each.refused for each in tellers)
    assert max(head.size for head in heads) > COMMON
    require_one_history([*heads, kept], [each.tree(MOST) for each in logs])
    require_one_order(heads, kept)


@contextmanager
def telling(tellers: list[Teller]) -> Iterator[None]:
    """Have them tell until the block ends; what went wrong in one is raised then."""
    with ThreadPoolExecutor(len(tellers)) as pool:
        running = [pool.submit(each.run) for each in tellers]
        try:
            yield
        finally:
            for each in tellers:
                each.stop.set()
        for each_run in running:
            each_run.result(60)


class Head(NamedTuple):
    """A cosigned checkpoint, verified, and the time of all its cosignatures."""

    size: int
    root: bytes
    time: int


def verified(witness: WitnessProcess, note: bytes) -> Head:
    opened = open_note(note, witness.keys)
    point = parse_checkpoint_text(opened.text)
    assert len(opened.signatures) == 2
    [time] = {each.timestamp for each in opened.signatures}
    assert time
    return Head(point.size, point.root, time)


def require_one_history(heads: list[Head], trees: list[NaiveTree]) -> None:
    assert any(
        all(each.root == tree.root(each.size) for each in heads) for tree in trees
    )


def require_one_order(heads: list[Head], kept: Head) -> None:
    """Nothing larger was cosigned before something smaller, and nothing forgotten."""
    times: dict[int, list[int]] = {}
    for size, _, time in heads:
        times.setdefault(size, []).append(time)
    ordered = [times[size] for size in sorted(times)]
    assert all(max(one) <= min(next_one) for one, next_one in pairwise(ordered))
    assert kept.size >= max(times)
