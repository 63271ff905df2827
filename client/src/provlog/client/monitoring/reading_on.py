"""The reading of one log's entries beside the looks at it: passes, rules, evidence."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from provlog.client.alerting.alerts import Alert
from provlog.client.auditing_parts import Finding
from provlog.client.errors import RefusedError, UnavailableError, printable
from provlog.client.fetching import LogReader
from provlog.client.memory import FileMemory
from provlog.client.monitoring.clocks import Clock
from provlog.client.monitoring.config import LogConfig
from provlog.client.monitoring.followed import Followed
from provlog.client.monitoring.full import FullReading, Outcome, PassOverError
from provlog.client.monitoring.full_state import FullFile
from provlog.client.monitoring.judging import (
    MAX_EVIDENCE,
    Judgement,
    PassingMemory,
    describe,
)
from provlog.client.monitoring.mirror import Mirror
from provlog.client.monitoring.ruling import open_ruling
from provlog.client.monitoring.symptoms import Symptom
from provlog.merkle.announcements import follow
from provlog.merkle.encoding import JsonValue
from provlog.merkle.errors import InconsistencyError, MerkleError
from provlog.merkle.trust import SignedCheckpoint

SAVE_EVERY: Final = 20
MAX_REFUSED: Final = 20
"""Entries that a log does not give, or gives wrongly, before the rest has to wait."""

Tell = Callable[[Sequence[Alert]], Awaitable[None]]


class ReadingOn:
    """Reads the entries of one log as it grows; what it finds is a `Judgement`.

    Raises `UsageError` for a mirror that cannot be one, and for rules with a mistake.
    """

    def __init__(
        self,
        config: LogConfig,
        memory: FileMemory,
        clock: Clock,
        reader: LogReader,
        tell: Tell,
        parallel: int,
        limit: asyncio.Semaphore,
    ) -> None:
        self._config = config
        self._memory = memory
        self._clock = clock
        self._reader = reader
        self._tell = tell
        self._limit = limit
        self._mirror = None
        if config.mirror is not None:
            self._mirror = Mirror(config.mirror, config.log, config.origin)
            self._mirror.published()
        self._evidence = PassingMemory(memory.folder, lambda: reader.keys.trust)
        self._entries, self._ruling = open_ruling(config, self._evidence)
        path = memory.path("monitor", config.origin, "full.json")
        self._full = FullReading(
            reader,
            FullFile(path, config.origin),
            mirror=self._mirror,
            note=None if self._ruling is None else self._ruling.note,
            parallel=parallel,
            crowded=limit.locked,
        )
        self._judging = 0
        self._shown: bytes | None = None
        self._broken_place: str | None = None
        self._kept: str | None = None
        # By what they show: of what anybody who answers can bring about there may be
        # much, and of what the log signed there is room all the same.
        self._places: dict[str, list[str]] = {}

    @property
    def size(self) -> int:
        """How many entries were read and verified."""
        return self._full.state.size

    @property
    def recorded(self) -> int | None:
        """When the last of them was recorded, in Unix milliseconds."""
        return self._full.state.recorded

    def due(self, signed: SignedCheckpoint | None) -> bool:
        """Tell whether there is something to read, to copy or to judge."""
        if signed is None:
            return False
        if self._full.state.todo.pending or signed.checkpoint.size > self.size:
            return True
        return self._mirror is not None and signed.note != self._shown

    def show(self, followed: Followed) -> None:
        """Write down how far it is."""
        followed.read_size = self.size
        followed.findings = len(self._full.state.broken)
        if self._mirror is not None and self._shown is not None:
            followed.mirror_size = self.size

    async def read(self, signed: SignedCheckpoint) -> tuple[Judgement, bool]:
        """Read up to a verified checkpoint; return what is wrong, and whether all was.

        What cannot be read now is to be read again later.
        """
        try:
            async with self._limit:
                symptoms = await self._read(signed)
            symptoms += await self._rule(signed)
        except PassOverError:
            return Judgement(self._broken(), frozenset()), False
        except UnavailableError as error:
            # A log that serves its head and not its entries is not unreachable.
            text = f"entries cannot be read: {printable(str(error))}"
            withheld = Symptom("withheld", text)
            return Judgement((withheld, *self._broken()), frozenset()), False
        except RefusedError as error:
            text = f"entries cannot be read: {error}"
            return Judgement((Symptom("unread", text),), frozenset()), False
        except MerkleError as error:
            text = f"the copy and the log do not agree: {printable(str(error))}"
            return Judgement((Symptom("unread", text),), frozenset()), False
        except Exception as error:  # one log's trouble is no other log's
            text = f"entries cannot be read: {describe(error)}"
            return Judgement((Symptom("unread", text),), frozenset()), False
        judged = frozenset(
            {"withheld", "unread", "rules", "wrong-content", "broken-rules"}
        )
        return Judgement((*symptoms, *self._broken()), judged), not symptoms

    async def close(self) -> None:
        """Close all connections."""
        if self._entries is not None:
            await self._entries.close()

    async def _read(self, signed: SignedCheckpoint) -> list[Symptom]:
        if not self._full.due(signed):
            await self._full.refresh(signed)
            await self._announce(signed)
            self._shown = signed.note
            return []
        outcome = await self._full.catch_up(signed)
        if outcome.wrong:
            place = await self._keep("wrong-content", outcome, self._kept)
            self._kept = place
            return [_symptom("wrong-content", outcome.wrong, place)]
        await self._announce(signed)
        self._shown, self._kept = signed.note, None
        if outcome.fresh:
            place = await self._keep("broken-rules", outcome, None)
            self._broken_place = place
        return []

    def _broken(self) -> tuple[Symptom, ...]:
        broken = self._full.state.broken
        if not broken:
            return ()
        return (_symptom("broken-rules", broken, self._broken_place),)

    async def _keep(self, what: str, outcome: Outcome, known: str | None) -> str | None:
        """Keep what shows it, once as long as it goes on; return where.

        Beyond a few files, so that a log that is wrong again and again fills no disk,
        the last one has to do.
        """
        places = self._places.setdefault(what, [])
        if known is not None or len(places) >= MAX_EVIDENCE:
            return known or places[-1]
        data = await outcome.exhibits.to_file(what, self._reader)
        path = await asyncio.to_thread(
            self._memory.keep, "evidence", f"{what}.json", data
        )
        places.append(str(path))
        return places[-1]

    async def _announce(self, signed: SignedCheckpoint) -> None:
        """Copy what the log announces of its keys and its end, as it was followed.

        After the checkpoint, and only if the copy has all that the proofs speak of: a
        reader of the copy would else hold it to a tree that it has not got yet.
        """
        document = self._reader.keys.document
        if self._mirror is None or document is None:
            return
        proofs = follow(self._reader.keys.given, document).checkpoints()
        if all(e.checkpoint.size <= signed.checkpoint.size for e in proofs):
            await asyncio.to_thread(self._mirror.announce, document)

    async def _rule(self, signed: SignedCheckpoint) -> list[Symptom]:
        """Judge the entries that rules concern; what stays is judged next time.

        A receipt proves itself in a tree of its own: that has to be of the history that
        was read here, or rules would judge what is shown to nobody else.
        """
        if self._ruling is None or self._entries is None:
            return []
        todo = self._full.state.todo
        try:
            if todo.pending:
                self._judging = todo.pending[0]
                await self._entries.hold_to(signed)
            refused = await self._judge_all(todo.pending)
        except (RefusedError, MerkleError) as error:
            place = self._evidence.convicting
            if isinstance(error, InconsistencyError) and place is not None:
                text = printable(f"receipts are of another history: {error}")
                return [Symptom("forked", text, {"evidence": place})]
            return [_unjudged(self._judging, str(error))]
        for index, trouble in refused.items():
            return [_unjudged(index, trouble)]
        if not todo.skipped:
            return []
        return [
            Symptom(
                "rules",
                f"{todo.skipped} entries were not judged: more came than can wait; "
                "try the rules on their receipts",
            )
        ]

    async def _judge_all(self, pending: tuple[int, ...]) -> dict[int, str]:
        """Judge entries; return those that are refused alone, and why."""
        done, refused = 0, dict[int, str]()
        try:
            for index in pending:
                trouble = await self._judge(index)
                done += 1
                if trouble is not None:
                    refused[index] = trouble
                if len(refused) >= MAX_REFUSED:
                    break
                if done % SAVE_EVERY == 0:
                    await self._judged_until((*refused, *pending[done:]))
        finally:
            # Each entry is judged once, whatever ends this; if we crash here, the last
            # few are judged, and told, once more.
            if done:
                await self._judged_until((*refused, *pending[done:]))
        return refused

    async def _judge(self, index: int) -> str | None:
        """Judge one entry; return why it alone is refused, which stops no others.

        Raises where others would fare no better.
        """
        self._judging = index
        if self._ruling is None:
            return None
        try:
            alerts = await self._ruling.judge(index, self._clock.now())
        except InconsistencyError:
            raise
        except MerkleError as error:
            return str(error)
        except RefusedError as error:
            if error.status in (401, 403):
                raise
            return str(error)
        if alerts:
            await self._tell(alerts)
        return None

    async def _judged_until(self, pending: tuple[int, ...]) -> None:
        state = self._full.state
        todo = replace(state.todo, pending=pending)
        await self._full.keep(replace(state, todo=todo))


def _unjudged(index: int, why: str) -> Symptom:
    return Symptom("rules", printable(f"entry {index} cannot be judged: {why}"))


def _symptom(kind: str, findings: Sequence[Finding], place: str | None) -> Symptom:
    first = "; ".join(f"{e.place}: {printable(e.problem)}" for e in findings[:3])
    more = f", and {len(findings) - 3} more" if len(findings) > 3 else ""
    details: dict[str, JsonValue] = {"findings": len(findings)}
    if place is not None:
        details["evidence"] = place
    words = {
        "wrong-content": "what the log serves is not what it signed",
        "broken-rules": "signed entries break the log's own rules",
    }
    return Symptom(kind, f"{words[kind]}: {first}{more}", details)
