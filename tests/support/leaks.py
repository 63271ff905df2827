"""What servers show beside their answers, searched for secrets and personal data.

Shown are log records, metrics pages, bodies and headers of refusals, and what processes
print. The secrets are every token that was minted and every key that was made or
loaded; the personal data are those of the tests' own events (`leak_markers`).
`leak_plugin` fills and empties the one `WATCH` for every test.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from support.leak_markers import personal_markers

LOG, METRICS, PROBLEM, OUTPUT = (
    "log lines",
    "metrics pages",
    "problem bodies",
    "outputs of processes",
)

_WINDOW = 43
"""Characters of 32 random bytes in base64; of other forms the first 43 are searched."""

_RUN = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_TOKEN = re.compile(r"plt_([0-9a-z]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that was shown: what kind of thing, where it came from, its text."""

    kind: str
    place: str
    text: str


class Watch:
    """Collects what is shown, and finds in it what must not be."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}
        self._pieces: list[Piece] = []
        self._counts: Counter[str] = Counter()
        self._clean: set[str] = set()
        self._personal = [
            (form, marker)
            for marker in personal_markers()
            for form in dict.fromkeys((marker, quote(marker, safe="")))
        ]

    def note_token(self, text: str) -> None:
        """Take a token for a secret; it is reported by its public id."""
        match = _TOKEN.fullmatch(text)
        assert match is not None
        self._secrets[match[2]] = f"token {match[1]}"

    def note_tokens(self, text: str) -> None:
        """Take every token in a text for a secret."""
        for match in _TOKEN.finditer(text):
            self.note_token(match[0])

    def note_key(self, name: str, key: bytes) -> None:
        """Take 32 or more bytes for a secret, in base64, base64url and hex."""
        standard = base64.b64encode(key).decode()
        url = base64.urlsafe_b64encode(key).decode()
        for form in (standard, url, key.hex()):
            self.note_text(name, form)

    def note_text(self, name: str, secret: str) -> None:
        """Take a secret's text of `_WINDOW` or more characters as it is."""
        assert len(secret) >= _WINDOW
        self._secrets[secret[:_WINDOW]] = name

    def saw(self, kind: str, place: str, text: str) -> None:
        """Remember something that was shown, until it is searched."""
        self._counts[kind] += 1
        self._pieces.append(Piece(kind, place, text))

    def findings(self) -> list[str]:
        """Search what was shown since the last call; return where what stands."""
        pieces, self._pieces = self._pieces, []
        return sorted({each for piece in pieces for each in self._search(piece)})

    def take_counts(self) -> dict[str, int]:
        """Return how many things of each kind were shown since the last call."""
        counts, self._counts = dict(self._counts), Counter()
        return counts

    def _search(self, piece: Piece) -> Iterator[str]:
        where = f"{piece.kind}: {piece.place}"
        if piece.kind != METRICS:
            for name in self._hits(piece.text):
                yield f"{name} in {where}"
            return
        # Pages repeat each other but for the numbers. A secret that is made later
        # cannot stand in a line that was clean before.
        lines = {line.rpartition(" ")[0] for line in piece.text.splitlines()}
        for line in lines - self._clean:
            found = [*self._hits(line)]
            if not found:
                self._clean.add(line)
            for name in found:
                yield f"{name} in {where} ({re.split('[{ ]', line)[0]})"

    def _hits(self, shown: str) -> Iterator[str]:
        """Yield the name of everything that stands in a text, in base64 too."""
        for text in (shown, *_unwrapped(shown)):
            for token in _TOKEN.finditer(text):
                yield f"token {token[1]}"
            for run in _RUN.findall(text):
                for start in range(len(run) - _WINDOW + 1):
                    name = self._secrets.get(run[start : start + _WINDOW])
                    if name is not None:
                        yield name
            for form, marker in self._personal:
                if form in text and re.search(
                    rf"(?<![0-9A-Za-z]){re.escape(form)}(?!\w)", text
                ):
                    yield f"personal data {marker!r}"


def _unwrapped(text: str) -> Iterable[str]:
    """Yield what the base64 in a text says: disclosures, for one, travel so."""
    for run in _RUN.findall(text):
        whole = run[: len(run) // 4 * 4].replace("-", "+").replace("_", "/")
        try:
            yield base64.b64decode(whole, validate=True).decode("latin-1")
        except binascii.Error:
            continue


WATCH = Watch()
