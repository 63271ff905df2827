"""What a reader of a log makes of its checkpoints and announcements."""

from pathlib import Path
from shutil import copytree

from provlog.merkle.announcements import Followed, follow
from provlog.merkle.keys import VerifierKey
from provlog.merkle.notes import parse_note_unverified
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server.announcements import announcements
from provlog.server.key_changes import announce_key, prepare_key
from provlog.server.keyring import Keyring
from provlog.server.log import Log
from provlog.server.service import Service
from support.homes import Home


def signers(note: str | bytes) -> list[str]:
    """Return the key IDs of a note's signature lines, in order."""
    data = note.encode() if isinstance(note, str) else note
    return [line.key_id.hex() for line in parse_note_unverified(data).signatures]


def id_of(vkey: str) -> str:
    """Return a key's ID as file names have it."""
    return VerifierKey.parse(vkey).key_id.hex()


async def rotate(service: Service, log: Log) -> VerifierKey:
    """Prepare and announce another key; return it."""
    await prepare_key(log)
    key, made = await announce_key(service, log, None, "test")
    assert made.is_new
    return key


async def followed(service: Service, log: Log) -> Followed:
    """Follow what a log announces, knowing nothing but its first key."""
    head = await log.refresh()
    document = await announcements(log, service.storage, head)
    found = follow(Trust.from_log_key(log.record.log_key), document)
    verify_checkpoint(log.note(head).encode(), found.trust)
    return found


def keyring_copy(home: Home, to: Path) -> Home:
    """Return the home as a machine has it that got its keys just now."""
    source = home.keys.files("main").folder
    copytree(source, to / "main")
    return Home(home.make, Keyring(to), home.guard)
