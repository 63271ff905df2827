"""Other people's programs, built by `make interop-tools`, and questions to the judge.

The judge is a small Go program around golang.org/x/mod/sumdb and transparency-dev's
libraries (tests/interop/go/judge); it knows nothing of provlog.
"""

import base64
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from provlog.merkle.errors import MerkleError

HOME: Final = Path(__file__).parents[1] / "interop"
BIN: Final = HOME / "bin"
LONG: Final = os.environ.get("PROVLOG_TEST_INTEROP") == "long"
"""Whether `make interop` runs: with more cases and more time."""

PATIENCE: Final = 300.0 if LONG else 60.0

Question: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, Any]


def lacking_programs() -> str | None:
    """Return why other people's programs are not there, or None if they are."""
    if (BIN / "built").exists():
        return None
    why = BIN / "why"
    if why.exists():
        return why.read_text().strip()
    return "interop: other people's programs are not built (make interop-tools)"


class Judge:
    """The judge as a process; it answers in the order in which it is asked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [BIN / "judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, op: str, **question: object) -> Answer:
        """Return the answer to one question; bytes stand as themselves in it."""
        return self.ask_all([{"op": op, **question}])[0]

    def ask_all(self, questions: Sequence[Question]) -> list[Answer]:
        """Return the answers to many, which are written while answers are read."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        writer = threading.Thread(target=self._write, args=(questions,))
        # A library that does not come to an end fails the test and does not hold it.
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        writer.start()
        lines = [process.stdout.readline() for _ in questions]
        guard.cancel()
        writer.join()
        assert all(lines), f"the judge ended at question {lines.index(b'')}"
        answers: list[Answer] = [json.loads(line) for line in lines]
        for answer in answers:
            error = answer.get("error", "")
            assert not error.startswith(("panic:", "question:")), error
        return answers

    def _write(self, questions: Sequence[Question]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the reader says that it ended
            for each in questions:
                stdin.write(json.dumps(each, default=_plain).encode() + b"\n")
            stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)


def _plain(value: object) -> str:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()


def decoded(value: str | None) -> bytes:
    """Return bytes of an answer."""
    return base64.b64decode(value or "")


def decoded_all(values: Iterable[str] | None) -> list[bytes]:
    """Return a list of bytes of an answer."""
    return [decoded(each) for each in values or ()]


@dataclass(frozen=True, slots=True)
class Case:
    """What is shown to both: our verdict, and the question that has the judge's.

    `ours` is what we read in it, or None if we refuse; `kind` says how it was made.
    """

    kind: str
    ours: object | None
    question: Question


@dataclass(frozen=True, slots=True)
class Difference:
    """A known difference of verdicts: its name in docs/interoperability.md, and where.

    `explains` is asked about a case that one side takes and the other refuses, or both
    read differently.
    """

    name: str
    explains: Callable[[Case, Answer], bool]


def read_or_refuse(read: Callable[[], object]) -> object | None:
    """Return what `read` does, or None where it refuses what it was given."""
    try:
        return read()
    except MerkleError:
        return None


def compare(
    judge: Judge,
    cases: Sequence[Case],
    theirs: Callable[[Answer], object],
    known: Sequence[Difference] = (),
) -> dict[str, int]:
    """Return how often each known difference was met; fail at any other.

    `theirs` is what the judge read, in the form of `Case.ours`. A known difference that
    no case shows is a failure as well: then it is none any more.
    """
    met = dict.fromkeys((each.name for each in known), 0)
    for case, answer in zip(
        cases, judge.ask_all([each.question for each in cases]), strict=True
    ):
        said = theirs(answer) if answer["ok"] else None
        if said == case.ours:
            continue
        name = next((each.name for each in known if each.explains(case, answer)), None)
        assert name, (case.kind, case.ours, said, answer.get("error"), case.question)
        met[name] += 1
    assert all(met.values()), f"no case shows any more: {met}"
    return met
