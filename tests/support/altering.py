"""One byte of a receipt altered, in each of its parts."""

import json

from provlog.merkle.disclosures import parse_disclosure
from provlog.merkle.errors import MalformedError


def altered(data: bytes, place: int) -> bytes:
    """Return the data with the lowest bit of one byte turned."""
    return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]


def parts(receipt: bytes) -> dict[str, int]:
    """Return a place inside each part of a receipt, by the part's name.

    Altered there, the part still reads well; it only says something else.
    """
    body = json.loads(receipt)
    last_hash = body["proof"].split("\n\n")[0][-44:]
    signature = body["proof"].split()[-1]
    return {
        "leaf": place_in(receipt, body["leaf"]),
        "disclosure": _disclosure_place(receipt, body["disclosures"][0]),
        "proof": place_in(receipt, last_hash),
        "signature": place_in(receipt, signature),
    }


def place_in(data: bytes, text: str) -> int:
    """Return a place inside a text in the data; altered there, it still reads well."""
    start = data.index(text.encode())
    middle = range(start + len(text) // 2, start + len(text))
    return next(
        each for each in middle if altered(data, each)[each : each + 1].isalnum()
    )


def _disclosure_place(receipt: bytes, text: str) -> int:
    for offset in reversed(range(len(text))):
        try:
            parse_disclosure(altered(text.encode(), offset).decode())
        except MalformedError:
            continue
        return receipt.index(text.encode()) + offset
    raise ValueError("no byte of this disclosure can be altered")
