"""What each leaf says of its place in the log: kind, n, recorded, epoch, parameters."""

from provlog.merkle.encoding import encode_base64url, format_time
from provlog.merkle.entries import Entry, parse_entry
from provlog.merkle.errors import MalformedError
from provlog.merkle.labels import epoch_key_commitment, id_key_commitment
from provlog.server.keyring import LogKeys
from provlog.server.selfcheck.findings import Report
from provlog.server.selfcheck.rows import HeadRow, LogRow


class Chain:
    """Takes a log's leaves in order and holds each against those before it.

    After a leaf that cannot be read it goes on with what the next one says.
    """

    def __init__(self, log: LogRow, keys: LogKeys | None, report: Report) -> None:
        self._log = log
        self._keys = keys
        self._report = report
        self._events: int | None = 0
        self._epoch: int | None = 1
        self._recorded = 0
        self._frozen: int | None = None
        self.began: int | None = None
        """When entry 0 was recorded, in Unix milliseconds."""

    @property
    def events(self) -> int | None:
        """How many events there are so far; None right after an unreadable leaf."""
        return self._events

    def lose(self) -> None:
        """Note that the next leaf is missing or cannot be read."""
        self._events = self._epoch = None

    def add(self, index: int, leaf: bytes) -> Entry | None:
        """Return the next leaf parsed, None where it is not one this program writes."""
        try:
            entry = parse_entry(leaf)
        except MalformedError as error:
            self._report("entries", index, "leaf", str(error))
            self.lose()
            return None
        if not entry.understood:
            what = "of a version or kind that this program does not write"
            self._report("entries", index, "leaf", what)
            self.lose()
            return None
        self._check_place(index, entry)
        self._check_order(index, entry)
        return entry

    def finish(self, head: HeadRow) -> None:
        """Compare the head with what the leaves came to."""
        for column, stored, found in (
            ("events", head.events, self._events),
            ("epoch", head.epoch, self._epoch),
            ("recorded", head.recorded, self._recorded),
        ):
            if found is not None and stored != found:
                what = f"{stored}, but the entries come to {found}"
                self._report("heads", None, column, what)
        if head.barrier < 0:
            self._report("heads", None, "barrier", "below 0")

    def _check_place(self, index: int, entry: Entry) -> None:
        if (entry.kind == "params") != (index == 0):
            what = f"an entry of kind {entry.kind} cannot stand here"
            self._report("entries", index, "leaf", what)
        elif index == 0:
            self.began = entry.recorded
            self._check_params(entry)
        if self._frozen is not None:
            what = f"stands after the end of the log, entry {self._frozen}"
            self._report("entries", index, "leaf", what)
        if entry.kind == "freeze":
            self._frozen = index

    def _check_order(self, index: int, entry: Entry) -> None:
        if self._events is not None and entry.n != self._events:
            what = f"n is {entry.n} after {self._events} events"
            self._report("entries", index, "leaf", what)
        self._events = entry.n + (entry.kind == "event")
        if entry.recorded < self._recorded:
            what = "recorded is before the entry before it"
            self._report("entries", index, "leaf", what)
        self._recorded = max(self._recorded, entry.recorded)
        begins = entry.kind == "epoch"
        if self._epoch is not None and entry.epoch != self._epoch + begins:
            what = f"epoch is {entry.epoch} after {self._epoch}"
            self._report("entries", index, "leaf", what)
        self._epoch = entry.epoch
        if begins:
            self._check_epoch_key(index, entry)

    def _check_params(self, entry: Entry) -> None:
        log, body = self._log, entry.body
        for column, stored, said in (
            ("origin", log.origin, str(body["origin"])),
            ("log_key", log.log_key, str(body["log_key"])),
            ("created", log.created, format_time(entry.recorded)),
        ):
            if stored != said.encode():
                self._report("logs", log.log, column, "not what entry 0 says")
        if self._keys is None:
            return
        if self._keys.signing.verifier().vkey() != body["log_key"]:
            self._report("keyring", None, "signing.key", "not the key of entry 0")
        committed = encode_base64url(id_key_commitment(self._keys.id_key))
        if committed != body["commit_id"]:
            self._report("keyring", None, "id.key", "not what entry 0 commits to")
        self._check_epoch_key(0, entry)

    def _check_epoch_key(self, index: int, entry: Entry) -> None:
        key = None if self._keys is None else self._keys.epoch_keys.get(entry.epoch)
        if key is None:
            return
        commitment = encode_base64url(epoch_key_commitment(entry.epoch, key))
        if commitment != entry.body["commit_e"]:
            name = f"epoch-{entry.epoch}.key"
            what = f"not what entry {index} commits to"
            self._report("keyring", None, name, what)
