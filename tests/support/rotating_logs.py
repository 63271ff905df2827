"""A lying log that changes its keys and ends, and announces it; or says otherwise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from click.testing import CliRunner, Result

from provlog.client.cli import cli
from provlog.merkle.announcements import Announcement, format_announcements
from provlog.merkle.checkpoints import Checkpoint
from provlog.merkle.keys import SigningKey
from provlog.merkle.notes import sign_note
from provlog.merkle.proof_file import format_proof
from support.announced_logs import freeze_leaf, key_leaf
from support.lying_log import ORIGIN, SEED, LyingLog, Served, event


class RotatingLog(LyingLog):
    """A log with a line of keys; `retired` are those that no longer sign.

    `document` is served as announcements in place of the true ones, and `silent` says
    that there are none; `asked` counts who asked for them.
    """

    def __init__(self, *, seed: bytes = SEED, origin: str = ORIGIN) -> None:
        self.line: list[tuple[int, SigningKey]] = []
        self.others = 1
        self.ended: int | None = None
        self.retired: set[bytes] = set()
        self.document: bytes | None = None
        self.silent = False
        self.asked = 0
        super().__init__(seed=seed, origin=origin)

    def fork(self) -> "RotatingLog":
        """Return a log that has all entries and keys of this one."""
        twin = RotatingLog(origin=self.origin)
        twin.key = self.key
        twin.leaves = list(self.leaves)
        twin.disclosures = list(self.disclosures)
        twin.ids = dict(self.ids)
        twin.line = list(self.line)
        twin.others, twin.ended = self.others, self.ended
        twin.retired = set(self.retired)
        return twin

    def rotate(self, number: int, *, retire: bool = False) -> SigningKey:
        """Announce a key; with `retire` the one before signs no longer."""
        old, new = (
            self.newest(),
            SigningKey.from_seed(self.origin, bytes((number,)) * 32),
        )
        leaf = key_leaf(new.verifier().vkey(), old.verifier().vkey(), self._count())
        self.line.append((self._add(leaf, []), new))
        self.others += 1
        if retire:
            self.retired.add(old.key_id)
        return new

    def freeze(self, successor: tuple[str, str] | None = None) -> int:
        """End the log; return the last entry's index."""
        self.ended = self._add(freeze_leaf(self._count(), successor), [])
        self.others += 1
        return self.ended

    def newest(self, size: int | None = None) -> SigningKey:
        """Return the key announced last in the tree of that size."""
        return self.signers(len(self.leaves) if size is None else size)[0]

    def signers(self, size: int) -> list[SigningKey]:
        """Return the keys announced in the tree of that size, the newest first."""
        later = [key for index, key in self.line if index < size]
        return [*reversed(later), self.key]

    def note(self, size: int | None = None, keys: Sequence[SigningKey] = ()) -> bytes:
        """Return a signed checkpoint, by default by all keys that are not retired."""
        size = len(self.leaves) if size is None else size
        text = Checkpoint(self.origin, size, self.root(size)).text()
        signers = [k for k in self.signers(size) if k.key_id not in self.retired]
        return sign_note(text, list(keys) or signers)

    def announcements(self) -> list[Announcement]:
        """Return what the log announces, proved in the trees that end with it."""
        places = [index for index, _ in self.line]
        if self.ended is not None:
            places.append(self.ended)
        return [self.announced(index, self.signers(index)[:1]) for index in places]

    def announced(
        self, index: int, keys: Sequence[SigningKey], size: int | None = None
    ) -> Announcement:
        """Return an entry with its proof, by default in the tree that ends with it."""
        size = index + 1 if size is None else size
        note = self.note(size, keys)
        proof = format_proof(index, self.inclusion(index, size), note)
        return Announcement(index, self.leaves[index], proof.encode())

    def announcements_document(self) -> bytes:
        """Return what is served as announcements."""
        if self.document is not None:
            return self.document
        return format_announcements(self.origin, self.announcements())

    def app(self) -> web.Application:
        """Return the log as a web application."""
        app = super().app()
        app.router.add_get("/logs/main/announcements", self._announcements)
        return app

    def _count(self) -> int:
        return len(self.leaves) - self.others

    async def _announcements(self, _: Any) -> web.Response:  # noqa: ANN401
        self.asked += 1
        if self.silent:
            return web.json_response({"detail": "no such path"}, status=404)
        return web.Response(
            body=self.announcements_document(), content_type="application/json"
        )


def filled(events: int = 3) -> RotatingLog:
    """Return a log with so many events."""
    log = RotatingLog()
    for place in range(events):
        log.append(event(id=f"e{place}"))
    return log


def run(served: Served, log: RotatingLog, folder: Path, *arguments: str) -> Result:
    """Return how `provlog` ended for somebody who was given the first key."""
    environment = {
        "PROVLOG_URL": served.url,
        "PROVLOG_LOG_KEY": log.vkey,
        "PROVLOG_STATE": str(folder / "state"),
        "PROVLOG_PATIENCE": "0",
        "XDG_CONFIG_HOME": str(folder),
    }
    return CliRunner().invoke(cli, arguments, env=environment)
