"""The main job, start to end: `make demo`, or `make demo EVENTS=folder`.

Provisioning events go into a real server, on a temporary folder and a free port; every
receipt is then verified by another process, which knows the log's key and nothing else.
A monitor follows the log all the while. At last a byte of a stored leaf is changed in a
copy of the database, and both who can look for that have to name the entry: `fsck` at
the database, `audit` from outside. Exits 0 only if each step held.

EVENTS is a folder with events: Okta System Log records in files with `okta` in their
name or in a folder of that name, CloudEvents in any other .json or .ndjson file.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provlog.merkle.redaction import cut_secrets
from support.altering import altered, parts
from support.demo_inputs import (
    DEMO_SOURCE,
    GENERATED,
    OKTA_SOURCE,
    Input,
    find_inputs,
    generated_input,
)
from support.demo_steps import (
    DemoError,
    Json,
    count,
    held,
    lines,
    require,
    shown,
    title,
)
from support.demo_watching import (
    Follower,
    audit_honest,
    check_changed_copy,
    check_stored,
)
from support.servers import Server, environment

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


def main(folder: Path) -> int:
    """Run every step on the events of `folder`; return the exit code."""
    try:
        inputs = inputs_of(folder)
        with tempfile.TemporaryDirectory(prefix="provlog-demo-") as base:
            made = generated_input(Path(base))
            run(Stage(Path(base)), [*inputs, made])
    except (DemoError, subprocess.SubprocessError, RuntimeError, OSError) as error:
        click.secho(f"\n  ✗ {error}\n", fg="red", bold=True)
        return 1
    click.secho("\n  Every step held.\n", fg="green", bold=True)
    return 0


def inputs_of(folder: Path) -> list[Input]:
    """Return the files with events below a folder; `DemoError` if there are none."""
    inputs, others = find_inputs(folder)
    require(bool(inputs), f"no Okta records and no CloudEvents below {folder}")
    if others:
        click.echo(f"\n{count(others, 'other file')} without a connector: left out")
    return inputs


def run(stage: "Stage", inputs: "Sequence[Input]") -> None:
    """Run every step in order; raises `DemoError` at the first that does not hold."""
    title("A log is made, and served")
    stage.start()
    with stage.server, Follower(stage.server, stage.base / "monitor") as follower:
        follower.await_size(1)
        held("a monitor follows the log")
        title("Events go in, receipts come out")
        for each in inputs:
            stage.submit(each)
        stage.submit_again(inputs[0])
        title("The log only grew, and is what its checkpoint says")
        stage.check_growth()
        follower.check_growth(1 + stage.entries)
        audit_honest(stage.server, stage.base / "monitor")
        stage.stop()
        check_stored(stage.server)
    title(
        "Every receipt is verified elsewhere: no server, no token, the log's key alone"
    )
    stage.verify_receipts(inputs)
    title("A receipt with one altered byte is refused")
    stage.alter_parts()
    stage.alter_every_byte()
    title("A stored leaf with one changed byte is named")
    check_changed_copy(stage.server, stage.base)
    title("Figures")
    stage.show_figures(inputs)


@dataclass
class Stage:
    """What the steps share: folders, the server, and what has come out so far."""

    base: Path
    server: Server = field(init=False)
    elsewhere: Path = field(init=False)
    folder: Path = field(init=False)
    entries: int = 0
    seconds: float = 0.0
    receipts: list[Path] = field(default_factory=list)

    def start(self) -> None:
        """Make an instance, serve it, and keep its first checkpoint."""
        begun = time.perf_counter()
        sources = ("--source", DEMO_SOURCE, "--source", OKTA_SOURCE)
        self.server = Server.init(self.base, "--dev", *sources).start()
        held(f"serving on {self.server.url} after {time.perf_counter() - begun:.1f} s")
        shown("origin", self.server.origin)
        shown("log key", self.server.log_key)
        self.elsewhere = self.base / "elsewhere"
        self.elsewhere.mkdir()
        self.folder = self.base / "receipts"
        size = self.checkpoint("first.checkpoint")
        require(size == 1, f"a new log has 1 entry, this one {size}")

    def submit(self, each: Input) -> None:
        """Submit one file; every record must become an entry."""
        begun = time.perf_counter()
        results = self.submitted(each)
        self.seconds += time.perf_counter() - begun
        refused = [line["error"] for line in results if line["status"] >= 400]
        require(not refused, f"{each.path.name}: refused: {', '.join(refused[:3])}")
        made = {line["index"] for line in results if line["status"] == 201}
        self.entries += len(made)
        self.receipts += [self.folder / f"{index}.receipt.json" for index in made]
        taken = count(len(each.records), "Okta record" if each.okta else "CloudEvent")
        entries = count(len(made), "new entry", "new entries")
        verified = count(len(results), "receipt")
        held(f"{each.path.name}: {taken}, {entries}, {verified} verified")

    def submit_again(self, each: Input) -> None:
        """Submit a file a second time; nothing new may come of it."""
        results = self.submitted(each)
        known = all(line["status"] == 200 for line in results)
        require(known, f"{each.path.name}: logged a second time")
        held(f"{each.path.name} once more: all known before, nothing logged twice")

    def submitted(self, each: Input) -> list[Json]:
        """Return a line for each result of submitting a file."""
        options = ("--json", "--receipts", str(self.folder), *each.options)
        return lines(self.provlog("submit", *options, each.path.absolute()))

    def check_growth(self) -> None:
        """Prove that the last checkpoint's log begins with the first one's."""
        size = self.checkpoint("last.checkpoint")
        require(size == 1 + self.entries, f"the log has {size} entries")
        arguments = ("proof", "consistency", "--json")
        [proof] = lines(self.provlog(*arguments, "first.checkpoint", "last.checkpoint"))
        require((proof["from"], proof["to"]) == (1, size), "a proof of other sizes")
        hashes = len(proof["hashes"])
        held(f"consistent: size {size} begins with size 1 (a proof of {hashes} hashes)")

    def stop(self) -> None:
        """Stop the server with SIGTERM."""
        code, _ = self.server.stop()
        require(code == 0, f"the server ended with {code}")
        held("the server has stopped")

    def verify_receipts(self, inputs: Sequence[Input]) -> None:
        """Verify all receipts, and find every Okta record in them, less its secrets."""
        begun = time.perf_counter()
        code, results = self.verify(*self.receipts)
        spent = time.perf_counter() - begun
        good = [line for line in results if line["verified"]]
        require(code == 0 and len(good) == self.entries, "a receipt does not verify")
        held(f"{len(good)} of {self.entries} receipts verified in {spent:.1f} s")
        places = {line["index"] for line in good}
        require(places == set(range(1, 1 + self.entries)), "a gap in the log")
        held(f"they are the entries 1 to {self.entries}, without a gap")
        originals = {
            line["members"]["original"]["body"].encode()
            for line in good
            if "original" in line["members"]
        }
        records = [record for each in inputs if each.okta for record in each.records]
        kept = sum(cut_secrets(record).record in originals for record in records)
        require(kept == len(records), f"{kept} of {len(records)} Okta records are kept")
        if records:
            held(f"all {kept} Okta records are in them, byte for byte but for secrets")

    def alter_parts(self) -> None:
        """Alter one byte in each part of a receipt, and show what is said to that."""
        folder = self.base / "altered"
        folder.mkdir()
        data = self.smallest_receipt()
        for name, place in parts(data).items():
            path = folder / f"{name}.receipt.json"
            path.write_bytes(altered(data, place))
            code, [line] = self.verify(path)
            require(code == 1 and not line["verified"], f"{name}: not refused")
            held(f"{name} altered at byte {place}")
            shown("said", line["error"])

    def alter_every_byte(self) -> None:
        """Alter every byte of a receipt in turn; not one of these may verify."""
        data = self.smallest_receipt()
        folder = self.base / "every-byte"
        folder.mkdir()
        files = []
        for place in range(len(data)):
            path = folder / f"{place}.json"
            path.write_bytes(altered(data, place))
            files.append(path)
        code, results = self.verify(*files)
        passed = [line["file"] for line in results if line["verified"]]
        require(code == 1 and len(results) == len(data), "not every file was looked at")
        require(not passed, f"{len(passed)} altered receipts verify")
        held(f"each of its {len(data):,} bytes altered in turn: refused every time")

    def smallest_receipt(self) -> bytes:
        """Return the receipt of a given event that has the fewest bytes to alter."""
        return min((path.read_bytes().rstrip() for path in self.given()), key=len)

    def given(self) -> Sequence[Path]:
        """Return the receipts of the events that were not made up: those come last."""
        return self.receipts[:-GENERATED]

    def show_figures(self, inputs: Sequence[Input]) -> None:
        """Print what went in and what came of it."""
        sizes = [path.stat().st_size for path in self.given()]
        database = sum(path.stat().st_size for path in self.server.folder.glob("*.db*"))
        records = sum(len(each.records) for each in inputs)
        shown("records", f"{records:,}, of which {GENERATED} were made up")
        shown("entries", f"{self.entries:,}, and entry 0 with the log's parameters")
        shown("submitting", f"{self.seconds:.1f} s, one process for each file")
        shown(
            "a receipt",
            f"{sum(sizes) // len(sizes):,} bytes on average, without those made up",
        )
        shown("database", f"{database // 1024:,} KiB")

    def checkpoint(self, name: str) -> int:
        """Keep the log's checkpoint in a file and return its size."""
        note = self.provlog("checkpoint")
        (self.elsewhere / name).write_text(note)
        return int(note.splitlines()[1])

    def provlog(self, *arguments: str | Path) -> str:
        """Return what the command `provlog` prints when it knows the server."""
        settings = {
            "PROVLOG_URL": self.server.url,
            "PROVLOG_TOKEN": self.server.tokens["submitter"],
            "PROVLOG_LOG_KEY": self.server.log_key,
            "PROVLOG_STATE": str(self.base / "state"),
        }
        done = self.process({**environment(), **settings}, *arguments)
        # An event that is refused ends in 2, as wrong usage does, but is a result.
        fine = done.returncode == 0 or (done.returncode == 2 and done.stdout)
        require(bool(fine), f"provlog {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def verify(self, *files: Path) -> tuple[int, list[Json]]:
        """Verify files in a process that knows the log's key and nothing else."""
        options = ("verify", "--show", "--json", "--log-key", self.server.log_key)
        done = self.process({"HOME": str(self.elsewhere)}, *options, *files)
        require(done.returncode in (0, 1), f"provlog verify: {done.stderr.strip()}")
        return done.returncode, lines(done.stdout)

    def process(
        self, variables: dict[str, str], *arguments: str | Path
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command `provlog` with these environment variables alone."""
        return subprocess.run(
            [sys.executable, "-m", "provlog.client", *map(str, arguments)],
            env=variables,
            cwd=self.elsewhere,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else ""
    sys.exit(main(Path(given) if given else EXAMPLES))
