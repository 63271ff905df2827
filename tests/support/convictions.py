"""Evidence of two histories, judged: for tests that know that it is that."""

from provlog.client.evidence import Conviction, verify_evidence
from provlog.merkle.trust import Trust


def verify_split(data: bytes, trust: Trust) -> Conviction:
    """Return the conviction of two histories that the file is, or raise."""
    found = verify_evidence(data, trust)
    assert isinstance(found, Conviction)
    return found
