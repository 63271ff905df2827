"""The document in which a log announces its keys and its end, each entry proved.

An announcement of a key is proved to those who know the key it replaces: by a
checkpoint that this one signed, today's while it signs, its last one once it is
retired.
"""

import logging

from provlog.merkle.announcements import (
    Announcement,
    format_announcements,
)
from provlog.merkle.errors import MerkleError
from provlog.merkle.hashing import leaf_hash
from provlog.merkle.keys import VerifierKey
from provlog.merkle.proof_file import format_proof, verify_proof
from provlog.merkle.trust import Trust, verify_checkpoint
from provlog.server import announced
from provlog.server.errors import UnavailableError
from provlog.server.guard import ReleasedHead
from provlog.server.log import Log
from provlog.server.reader import LogReader
from provlog.server.storage.base import Reads

logger = logging.getLogger(__name__)

NAME = "announcements"
"""Of the file beside a log's checkpoint, and of the route."""


async def announcements(log: Log, reads: Reads, head: ReleasedHead) -> bytes:
    """Return the document, of all that is announced below a released head.

    Every proof in it was verified as its reader will. `UnavailableError` where one
    does not, because a file in the keyring is missing or damaged.
    """
    reader = LogReader(log, reads)
    made = []
    for entry in log.announced.entries:
        if entry.index < head.size:
            proof = await _prove(log, reader, entry, head)
            made.append(Announcement(entry.index, entry.leaf, proof))
    return format_announcements(log.origin, made)


async def _prove(
    log: Log, reader: LogReader, entry: announced.Announcement, head: ReleasedHead
) -> bytes:
    key = VerifierKey.parse(entry.replaces or log.announced.newest)
    trust = Trust((key,), log.origin)
    note = log.signer.keys.last.get(key.key_id)
    try:
        if note is None:
            note, size = log.note(head).encode(), head.size
        else:
            size = verify_checkpoint(note, trust).checkpoint.size
        hashes = await reader.inclusion(entry.index, size)
        proof = format_proof(entry.index, hashes, note).encode()
        verify_proof(proof, leaf_hash(entry.leaf), trust)
    except (MerkleError, LookupError) as error:
        logger.critical(
            "log %s: entry %d cannot be proved under the key that it replaces: %s; put"
            " the last checkpoint of that key in its place again",
            log.origin,
            entry.index,
            error,
        )
        raise UnavailableError("an announcement cannot be proved") from None
    return proof
