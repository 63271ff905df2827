"""The head that cosignatures are collected for, and what there is of them. No I/O."""

from collections.abc import Sequence

from provlog.merkle.keys import VerifierKey
from provlog.merkle.notes import add_signatures
from provlog.merkle.policy import Policy
from provlog.server.guard import ReleasedHead
from provlog.server.witnessing.answers import Cosigned
from provlog.server.witnessing.settings import Endpoint


class Candidate:
    """A released head, its log-signed note, and the cosignatures it has.

    `wanted` are the labels of the witnesses that have yet to cosign it, `tried` of
    those that were asked since it is the candidate, whatever came of it.
    """

    def __init__(
        self, head: ReleasedHead, text: str, endpoints: Sequence[Endpoint]
    ) -> None:
        self.head = head
        self.text = text
        self.tried: set[str] = set()
        self.wanted = {each.label for each in endpoints}
        self._endpoints = endpoints
        self._found: dict[VerifierKey, Cosigned] = {}
        self._shown: dict[VerifierKey, int] | None = None

    def add(self, found: Sequence[Cosigned]) -> None:
        """Take cosignatures; a newer one of a key takes the place of the older one."""
        for each in found:
            known = self._found.get(each.key)
            if known is None or known.timestamp <= each.timestamp:
                self._found[each.key] = each
        for endpoint in self._endpoints:
            if not endpoint.names.keys().isdisjoint(each.key for each in found):
                self.wanted.discard(endpoint.label)

    def renew(self) -> None:
        """Have every witness asked again: the cosignatures are old."""
        self.tried.clear()
        self.wanted = {each.label for each in self._endpoints}

    def witnesses(self, policy: Policy) -> set[str]:
        """Return the policy's names of the witnesses that cosigned."""
        return {each.name for each in policy.witnesses if each.key in self._found}

    def cosigned_since(self, policy: Policy) -> int | None:
        """Return from when on, in POSIX seconds, enough cosigned it for the policy.

        With two of three needed that is the second newest time. None where its
        cosignatures fall short of the quorum, or there are none.
        """
        found = sorted(self._found.values(), key=lambda each: -each.timestamp)
        keys: set[VerifierKey] = set()
        for each in found:
            keys.add(each.key)
            names = {known.name for known in policy.witnesses if known.key in keys}
            if policy.satisfied_by(names):
                return each.timestamp
        return None

    @property
    def is_shown(self) -> bool:
        """Whether what there is of it was published."""
        return self._shown == self.times()

    def note(self, signed: str) -> bytes:
        """Return the log-signed note with the cosignatures behind its lines."""
        lines = [each.line for each in self._found.values()]
        return add_signatures(signed.encode(), lines) if lines else signed.encode()

    def mark_shown(self, times: dict[VerifierKey, int]) -> None:
        """Note that it was published with the cosignatures of these times."""
        self._shown = times

    def times(self) -> dict[VerifierKey, int]:
        """Return the time of each cosignature, by its key."""
        return {key: each.timestamp for key, each in self._found.items()}
