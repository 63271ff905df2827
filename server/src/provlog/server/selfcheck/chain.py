"""What each leaf says of its place in the log: kind, n, recorded, epoch, parameters."""

from provlog.merkle.encoding import encode_base64url, format_time
from provlog.merkle.entries import Entry, parse_entry
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import VerifierKey
from provlog.merkle.labels import epoch_key_commitment, id_key_commitment
from provlog.server.announced import KINDS, Announced
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
        self._announced = Announced(log.log_key.decode("utf-8", "replace"))
        self.began: int | None = None
        """When entry 0 was recorded, in Unix milliseconds."""

    @property
    def events(self) -> int | None:
        """How many events there are so far; None right after an unreadable leaf."""
        return self._events

    @property
    def announcements(self) -> int:
        """How many entries announced a key or the log's end so far."""
        return len(self._announced.entries)

    @property
    def frozen(self) -> bool:
        """Whether the log has ended."""
        return self._frozen is not None

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
        if entry.kind in KINDS:
            self._check_announcement(index, leaf)
        return entry

    def finish(self, head: HeadRow) -> None:
        """Compare head and keyring with what the leaves came to."""
        self._check_keyring()
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

    def _check_announcement(self, index: int, leaf: bytes) -> None:
        try:
            self._announced = self._announced.adding(index, leaf)
        except MalformedError as error:
            self._report("entries", index, "leaf", f"cannot be announced: {error}")

    def _check_keyring(self) -> None:
        """Look whether each key that signs is there, or retired."""
        if self._keys is None:
            return
        held, last = self._keys.signers(), self._keys.last
        # The first one was compared with entry 0.
        for key in self._announced.keys[1:]:
            key_id = _key_id(key.vkey)
            is_retired = key.until is not None and key_id in last
            if key.vkey not in held and not is_retired:
                what = f"the key that entry {key.index} announced is not there"
                self._report("keyring", None, f"signing-{key_id.hex()}.key", what)

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
        log_key = str(body["log_key"])
        retired = _key_id(log_key) in self._keys.last
        if log_key not in self._keys.signers() and not retired:
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


def _key_id(vkey: str) -> bytes:
    """Return a key's ID, an empty one for what is no key: then nothing has it."""
    try:
        return VerifierKey.parse(vkey).key_id
    except MalformedError:
        return b""
