"""Every tool that a log can lie to, run as its users run it, and what it says."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from hostile.desk import CAUGHT, FINE, HURRIED, PATIENT, Desk, Outcome
from hostile.worlds import KNOWN, event_id
from provlog.client import AsyncClient, Outbox
from provlog.client.errors import ClientError, UnavailableError
from provlog.merkle.errors import MerkleError
from support.services import SOURCE

_numbers = itertools.count(1)


def events(count: int) -> list[dict[str, Any]]:
    """Return the first events of a source that is new."""
    number = next(_numbers)
    return [
        {
            "specversion": "1.0",
            "id": f"lie-{place}",
            "source": f"urn:hr:{number}",
            "type": "role.assign",
            "time": "2026-11-21T17:53:55.516Z",
            "sequence": str(place),
            "data": {
                "actor": {"id": "00u1", "type": "user"},
                "target": {"id": f"00u{place}", "type": "user"},
            },
        }
        for place in range(1, count + 1)
    ]


def submit(desk: Desk) -> Outcome:
    """Submit two events with `provlog submit`, or two records of a provider."""
    if desk.liar.lie.records:
        return _submit_records(desk)
    path = desk.folder / "events.ndjson"
    path.write_text("".join(json.dumps(each) + "\n" for each in events(2)))
    return desk.command("submit", path, role="submitter")


def _submit_records(desk: Desk) -> Outcome:
    source = f"urn:okta:{next(_numbers)}"
    path = desk.folder / "records.ndjson"
    path.write_text("".join(json.dumps(each) + "\n" for each in records(2)))
    options = ["--format", "okta", "--source", source]
    return desk.command("submit", path, *options, role="submitter")


def records(count: int) -> list[dict[str, Any]]:
    """Return records as Okta's system log has them."""
    return [
        {
            "uuid": f"00000000-0000-0000-0000-{place:012}",
            "published": "2026-11-21T17:53:55.516Z",
            "eventType": "user.lifecycle.create",
            "outcome": {"result": "SUCCESS"},
            "actor": {"id": "00u1", "type": "User"},
            "target": [{"id": f"00u{place}", "type": "User"}],
            "debugContext": {"debugData": {"reason": "joiner"}},
        }
        for place in range(1, count + 1)
    ]


async def _submit_one(desk: Desk) -> None:
    async with AsyncClient(**desk.client(), patience=0.0) as client:
        await client.submit(events(1)[0])


def async_client(desk: Desk) -> Outcome:
    """Submit an event with `AsyncClient.submit`."""
    try:
        asyncio.run(_submit_one(desk))
    except MerkleError as error:
        return Outcome(CAUGHT, str(error))
    except ClientError as error:
        return Outcome(3 if isinstance(error, UnavailableError) else 2, str(error))
    return Outcome(FINE, "")


def outbox(desk: Desk) -> Outcome:
    """Put two events into an `Outbox`, and see them sent, or in trouble."""
    box = Outbox(desk.folder / "spool", **desk.client())
    box.start()
    try:
        box.put_many(events(2))
        trouble = _sent(box)
        failed = box.failed()
    except MerkleError as error:
        return Outcome(CAUGHT, str(error))
    finally:
        box.__exit__(Exception, Exception(), None)
    if trouble is not None:
        return Outcome(3, trouble)
    details = [each.failure.detail for each in failed if each.failure is not None]
    return Outcome(2 if failed else FINE, "; ".join(details))


def _sent(box: Outbox) -> str | None:
    """Return None once all is sent, or what keeps it from that."""
    deadline = time.monotonic() + PATIENT
    while time.monotonic() < deadline:
        with contextlib.suppress(UnavailableError):
            box.flush(0.05)
            return None
        trouble = box.status().trouble
        # One that has stopped raises at the next flush.
        if trouble is not None and not trouble.startswith("stopped: "):
            return trouble
    raise TimeoutError


def checkpoint(desk: Desk) -> Outcome:
    """Print the newest checkpoint."""
    return desk.command("checkpoint", role="monitor")


def entry(desk: Desk) -> Outcome:
    """Fetch an entry, with an auditor's token."""
    lie = desk.liar.lie
    asked = [str(lie.index)]
    if lie.lookup:
        asked = ["--source", SOURCE, "--id", event_id(lie.index)]
    return desk.command("entry", *asked, role="auditor")


def proof(desk: Desk) -> Outcome:
    """Have it proved that an entry stands in the log."""
    return desk.command("proof inclusion", str(desk.liar.lie.index), role="monitor")


def monitor(desk: Desk) -> Outcome:
    """Look at the log once."""
    return desk.command("monitor", "--once", role="monitor")


def full_monitor(desk: Desk) -> Outcome:
    """Look at the log once, and read its entries, and how old its cosignatures are."""
    fresh = ["--max-age", "1h"] if desk.liar.lie.cosigned else []
    return desk.command("monitor", "--once", "--full", *fresh, role="monitor")


def audit(desk: Desk) -> Outcome:
    """Recompute the whole log."""
    return desk.command("audit", role="monitor")


def gaps(desk: Desk) -> Outcome:
    """Ask what the sources of the log did not send."""
    return desk.command("gaps", "--late", "3650d", "--silent", "3650d", role="monitor")


def verify(desk: Desk) -> Outcome:
    """Verify, offline, the receipt that the log hands out for an entry."""
    before, handed = desk.liar.told, desk.liar.lie.handed
    data = _handed_out(desk)
    if handed is not None:
        desk.liar.told, data = 1, handed(desk.liar.world)
    if data is None:
        # There is nothing to look at.
        desk.liar.told = before
        return Outcome(FINE, "")
    path = desk.folder / "entry.receipt.json"
    path.write_bytes(data)
    return desk.command("verify", path)


def _handed_out(desk: Desk) -> bytes | None:
    """Return whatever the log says is the receipt of an entry, None for no answer."""
    host, _, port = desk.liar.url.removeprefix("http://").partition(":")
    token = desk.liar.world.tokens["auditor"]
    seconds = HURRIED if desk.liar.lie.hurried else PATIENT
    asking = HTTPConnection(host, int(port), timeout=seconds)
    try:
        asking.request(
            "GET",
            f"/logs/{desk.liar.lie.log}/entries/{desk.liar.lie.index}",
            headers={"Authorization": f"Bearer {token}"},
        )
        answer = asking.getresponse()
        whole = answer.status == 200 and answer.length is not None
        whole &= "Content-Encoding" not in answer.headers
        return answer.read() if whole else None
    except (OSError, HTTPException):
        return None
    finally:
        asking.close()


def compare(desk: Desk) -> Outcome:
    """Hold the log's head against the one that somebody else saw."""
    if desk.liar.lie.log != "main":
        # There is nobody else who saw it.
        return Outcome(FINE, "")
    theirs = desk.folder / "theirs.checkpoint"
    theirs.write_bytes(desk.liar.world.notes[KNOWN])
    return desk.command("compare", theirs, role="monitor")


TOOLS: Final[dict[str, Callable[[Desk], Outcome]]] = {
    "submit": submit,
    "AsyncClient": async_client,
    "Outbox": outbox,
    "checkpoint": checkpoint,
    "entry": entry,
    "proof": proof,
    "verify": verify,
    "monitor": monitor,
    "full": full_monitor,
    "audit": audit,
    "gaps": gaps,
    "compare": compare,
}
"""By the name that the catalogue calls them by; `full` is `monitor --full`."""
