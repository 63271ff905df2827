"""What the tests of other people's code share."""

from collections.abc import Iterator

import pytest

from support.interop import Judge


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running
