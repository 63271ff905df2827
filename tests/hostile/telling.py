"""The ways in which lies are told: small pieces, of which the catalogue is made."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from hostile.liar import Answer, Asked, Tell, Telling, each_note

Change: TypeAlias = Callable[[Telling, Any], None]


def notes(change: Callable[[Telling, bytes], bytes]) -> Tell:
    """Tell a false checkpoint wherever there is one."""

    async def tell(telling: Telling) -> Answer | None:
        true = await telling.truth()
        if true.status not in (200, 201):
            return None

        def changed(note: bytes) -> bytes:
            return change(telling, note)

        return each_note(true, telling.asked, changed)

    return tell


def instead(server: str) -> Tell:
    """Answer everything from another server of the same key."""

    async def tell(telling: Telling) -> Answer | None:
        return await telling.ask(telling.asked, server)

    return tell


def checkpoint(make: Callable[[Telling], bytes]) -> Tell:
    """Serve a checkpoint of one's own making, and the truth in everything else."""

    async def tell(telling: Telling) -> Answer | None:
        if telling.asked.what != "checkpoint":
            return None
        return (await telling.truth()).saying(make(telling))

    return tell


def receipts(change: Change) -> Tell:
    """Change each receipt: of one event, and of each in a batch.

    `change` gets an object with `index`, `leaf` and `disclosures`, and `proof` or
    `hashes`.
    """

    async def tell(telling: Telling) -> Answer | None:
        if telling.asked.what not in ("events", "entries"):
            return None
        true = await telling.truth()
        if true.status not in (200, 201):
            return None
        body = true.json()
        for each in body.get("results", [body]):
            change(telling, each)
        return _changed(true, body)

    return tell


def _changed(true: Answer, body: Any) -> Answer | None:  # noqa: ANN401
    # Written anew, what was not changed has other bytes.
    return None if body == true.json() else true.saying(body)


def batches(change: Change) -> Tell:
    """Change the answer to a batch."""
    return _objects(change, lambda asked, body: "results" in body)


def answers(what: str, change: Change) -> Tell:
    """Change the JSON object that answers what is asked below a path."""
    return _objects(change, lambda asked, body: asked.path.startswith(what))


def _objects(change: Change, fits: Callable[[Asked, Any], bool]) -> Tell:
    async def tell(telling: Telling) -> Answer | None:
        if telling.asked.what not in ("events", "entries", "proofs"):
            return None
        true = await telling.truth()
        if true.status not in (200, 201):
            return None
        body = true.json()
        if not fits(telling.asked, body):
            return None
        change(telling, body)
        return _changed(true, body)

    return tell


def texts(change: Callable[[bytes], bytes], *what: str) -> Tell:
    """Change the bytes of an answer as they are."""

    async def tell(telling: Telling) -> Answer | None:
        if what and telling.asked.what not in what:
            return None
        true = await telling.truth()
        return true if true.status >= 300 else true.saying(change(true.data))

    return tell


def parts(changes: dict[str, Callable[[bytes], bytes] | None]) -> Tell:
    """Change tiles and bundles, by the beginning of their path; None is not served."""

    async def tell(telling: Telling) -> Answer | None:
        for path, change in changes.items():
            if telling.asked.path.startswith(path):
                if change is None:
                    return Answer(404, b"", {"Content-Type": "text/plain"})
                true = await telling.truth()
                return true.saying(change(true.data))
        return None

    return tell


def events(change: Callable[[Any], None]) -> Tell:
    """Log something else than what was sent; everything after that is the truth."""

    async def tell(telling: Telling) -> Answer | None:
        asked = telling.asked
        if asked.what != "events":
            return None
        sent = json.loads(asked.body)
        for each in sent if isinstance(sent, list) else [sent]:
            change(each)
        return await telling.ask(replace(asked, body=json.dumps(sent).encode()))

    return tell


def records(change: Callable[[bytes], bytes]) -> Tell:
    """Log other records of a provider than were sent; all after that is the truth."""

    async def tell(telling: Telling) -> Answer | None:
        asked = telling.asked
        if "format" not in asked.query:
            return None
        return await telling.ask(replace(asked, body=change(asked.body)))

    return tell


def always(answer: Callable[[], Answer], *what: str) -> Tell:
    """Answer everything, or what is asked below some paths, with the same."""

    async def tell(telling: Telling) -> Answer | None:
        return answer() if not what or telling.asked.what in what else None

    return tell


async def entry(telling: Telling, index: int) -> Any:  # noqa: ANN401
    """Return the true receipt of another entry, as an auditor sees it."""
    token = telling.world.tokens["auditor"]
    headers = {"Authorization": f"Bearer {token}"}
    asked = replace(
        telling.asked,
        method="GET",
        path=f"entries/{index}",
        query={},
        headers=headers,
        body=b"",
    )
    return (await telling.ask(asked)).json()


def borrowed(index: int, change: Callable[[Any, Any], None]) -> Tell:
    """Change each receipt by what another one, the true one of `index`, says."""

    async def tell(telling: Telling) -> Answer | None:
        if telling.asked.what not in ("events", "entries"):
            return None
        other = await entry(telling, index)
        return await receipts(lambda _, body: change(body, other))(telling)

    return tell


def first_hash(change: Callable[[str], str]) -> Change:
    """Change the first hash of a receipt's proof, in either of its forms."""

    def changed(_: Telling, body: Any) -> None:  # noqa: ANN401
        if "hashes" in body:
            body["hashes"][0] = change(body["hashes"][0])
            return
        lines = body["proof"].split("\n")
        lines[2] = change(lines[2])
        body["proof"] = "\n".join(lines)

    return changed


def hashes(change: Callable[[list[str]], list[str]]) -> Change:
    """Change the list of hashes of a receipt's proof, in either of its forms."""

    def changed(_: Telling, body: Any) -> None:  # noqa: ANN401
        if "hashes" in body:
            body["hashes"] = change(body["hashes"])
            return
        head, _, note = body["proof"].partition("\n\n")
        lines = head.split("\n")
        lines[2:] = change(lines[2:])
        body["proof"] = "\n".join(lines) + "\n\n" + note

    return changed
