"""The witness's own secrets: files of mode 0600 beside the database.

``keys/1-ed25519.key`` and ``keys/1-mldsa44.key`` are the first pair, generation 1. All
generations sign, the newest first, until one is retired, which gives its files another
ending. A copy of the database is therefore not enough to sign.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provlog.merkle.cosigners import Cosigner
from provlog.merkle.errors import MalformedError
from provlog.merkle.keys import SEED_SIZE, KeyType
from provlog.server.errors import ConfigurationError
from provlog.server.files import flush_path, read_private, write_private

FOLDER: Final = "keys"
KINDS: Final = {
    KeyType.COSIGNATURE_ED25519: "ed25519",
    KeyType.COSIGNATURE_MLDSA44: "mldsa44",
}

_FILE = re.compile(r"([1-9][0-9]{0,3})-(?:ed25519|mldsa44)\.key", re.ASCII)
_RETIRED = ".retired"


@dataclass(frozen=True, slots=True)
class Generation:
    """The keys that were made together."""

    number: int
    cosigners: tuple[Cosigner, ...]

    @property
    def name(self) -> str:
        """The witness's name, which each of its keys has."""
        return self.cosigners[0].verifier().name

    def vkeys(self) -> list[str]:
        """Return the public halves."""
        return [each.verifier().vkey() for each in self.cosigners]


def policy_lines(
    generations: Sequence[Generation], url: str | None = None
) -> list[str]:
    """Return the lines of a tlog-policy that name these keys as one witness.

    They stand in a group of which any one is enough: two keys of one witness, be they
    of two kinds or an old and a new one, must not count as two witnesses.
    """
    end = "" if url is None else f" {url}"
    keys = {
        f"{each.name}/{each.number}-{KINDS[key.key_type]}": key
        for each in generations
        for key in (cosigner.verifier() for cosigner in each.cosigners)
    }
    lines = [f"witness {name} {key.vkey()}{end}" for name, key in keys.items()]
    return [*lines, f"group {generations[0].name} any {' '.join(keys)}"]


class KeyFolder:
    """The folder of a witness's keys."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def create(self, name: str, *, ed25519_only: bool) -> Generation:
        """Make the keys of a new witness, durably.

        Raises `ConfigurationError` where there are keys, or for a name that cannot be.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if any(self._folder.iterdir()):
            raise ConfigurationError(f"there are keys in {self._folder} already")
        return self._make(1, name, ed25519_only=ed25519_only)

    def load(self) -> tuple[Generation, ...]:
        """Return the generations that sign, the newest first.

        Raises `ConfigurationError` where there is none, or a file is damaged or open to
        others.
        """
        found: dict[int, list[Cosigner]] = {}
        for path in sorted(self._paths()):
            found.setdefault(_number(path), []).append(_read(path))
        if not found:
            raise ConfigurationError(
                f"there are no keys in {self._folder}: a witness is made with"
                " provlog-server witness init"
            )
        names = {each.verifier().name for keys in found.values() for each in keys}
        if len(names) > 1:
            raise ConfigurationError(f"keys in {self._folder} have different names")
        return tuple(
            Generation(number, tuple(found[number]))
            for number in sorted(found, reverse=True)
        )

    def rotate(self) -> Generation:
        """Make a further generation, of the kinds that the newest one has, durably.

        If we crash between its two files, the one that is there signs, and the next
        rotation makes a whole generation.
        """
        newest, *_ = self.load()
        kinds = {each.verifier().key_type for each in newest.cosigners}
        only = KeyType.COSIGNATURE_MLDSA44 not in kinds
        number = max(map(_number, self._every()), default=0) + 1
        return self._make(number, newest.name, ed25519_only=only)

    def retire(self, number: int) -> None:
        """Let a generation sign nothing any more, durably; its files are kept.

        Raises `ConfigurationError` where there is no such one, or no other that signs.
        """
        numbers = {each.number for each in self.load()}
        if number not in numbers:
            raise ConfigurationError(f"there is no generation {number} that signs")
        if numbers == {number}:
            raise ConfigurationError(
                "these are the only keys: make others with witness key rotate first"
            )
        for path in self._paths():
            if _number(path) == number:
                path.rename(path.with_suffix(_RETIRED))
        flush_path(self._folder)

    def stamp(self) -> frozenset[tuple[str, int]]:
        """Return what changes when a file of a key does."""
        return frozenset((path.name, path.stat().st_mtime_ns) for path in self._paths())

    def _make(self, number: int, name: str, *, ed25519_only: bool) -> Generation:
        kinds = [each for each in KINDS if not (ed25519_only and "ml" in KINDS[each])]
        try:
            made = [
                Cosigner(name, each, secrets.token_bytes(SEED_SIZE)) for each in kinds
            ]
        except MalformedError as error:
            raise ConfigurationError(f"--name: {error}") from None
        # Each appears whole: half a key, on a full disk, would keep a witness from
        # starting that goes on well with the keys it has.
        paths = [self._folder / f"{number}-{KINDS[kind]}.key" for kind in kinds]
        for path, cosigner in zip(paths, made, strict=True):
            write_private(_staged(path), cosigner.encode() + "\n")
        for path in paths:
            _staged(path).rename(path)
        flush_path(self._folder)
        return Generation(number, tuple(made))

    def _paths(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return [each for each in self._folder.iterdir() if _FILE.fullmatch(each.name)]

    def _every(self) -> Iterable[Path]:
        """Return the files of retired generations too: no number is used again."""
        return [
            each
            for each in self._folder.iterdir()
            if _FILE.fullmatch(each.with_suffix(".key").name)
        ]


def _staged(path: Path) -> Path:
    return path.with_suffix(".new")


def _number(path: Path) -> int:
    return int(path.name.partition("-")[0])


def _read(path: Path) -> Cosigner:
    try:
        cosigner = Cosigner.parse(read_private(path))
    except (MalformedError, ValueError):
        raise ConfigurationError(f"the key in {path} is damaged") from None
    if not path.name.endswith(f"-{KINDS[cosigner.verifier().key_type]}.key"):
        raise ConfigurationError(f"the key in {path} is of another kind")
    return cosigner
