"""A record that was exported has the entry of the record that an API handed out."""

import json
from typing import Any

import pytest

from provlog.merkle.errors import ContentError
from support.accounted import Log, new, old
from support.entra import (
    ANN,
    GRAPH_RECORDS,
    SOURCE,
    USER,
    audited,
    entra_events,
    exported,
)


@pytest.mark.parametrize("record", GRAPH_RECORDS)
def test_either_spelling_has_the_entry_of_the_other(record: dict[str, Any]) -> None:
    for one, other in ((record, exported(record)), (exported(record), record)):
        log = Log()
        kept, sent = (json.dumps(each).encode() for each in (one, other))
        [event] = entra_events(one)
        _, index = log.append_event(event)
        log.check([kept], *new(index), source=SOURCE)
        log.check([kept], *old(index), source=SOURCE)
        log.check([sent], *old(index), source=SOURCE)


def test_an_entry_is_not_that_of_an_export_which_mentions_its_id() -> None:
    log = Log()
    sent = json.dumps(exported(audited(USER))).encode()
    [event] = entra_events(audited(id=ANN))
    assert event.id == ANN
    _, index = log.append_event(event)
    with pytest.raises(ContentError, match="not of the record sent"):
        log.check([sent], *old(index), source=SOURCE)
