"""What the CloudEvents SDK for Python sends is what intake reads."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from provlog.server.intake.cloudevents import decode_submission
from provlog.server.intake.event import Event
from support.events import NOW_MS, event_json

_DATA = {
    **event_json()["data"],
    "actor": {"id": "zoë", "name": "Zoë \u2028 \U0001f600"},
}
_EXTENSIONS = {"subject": 'Zoë "x" 50% \\', "traceparent": "00-1", "priority": 7}


def _sent(binary: bool, attributes: dict[str, Any]) -> Event:
    event = CloudEvent(
        {
            "specversion": "1.0",
            "id": "a b%20c",
            "source": "https://idp.example/#1",
            "type": "account.update",
            "time": datetime(2026, 11, 21, 17, 53, 55, 516999, tzinfo=UTC),
            **attributes,
        },
        _DATA,
    )
    message = (to_binary_event if binary else to_structured_event)(event)
    received = decode_submission(
        message.headers.get("content-type"), message.headers, message.body, NOW_MS
    )
    assert isinstance(received, Event)
    return received


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("typed", [{}, {"datacontenttype": "application/json"}])
def test_an_event_of_the_sdk_arrives_whole(binary: bool, typed: dict[str, str]) -> None:
    event = _sent(binary, {**_EXTENSIONS, "sequence": "17", **typed})
    data = dict(_DATA)
    assert (event.id, event.source) == ("a b%20c", "https://idp.example/#1")
    assert (event.type, event.time) == ("account.update", "2026-11-21T17:53:55.516Z")
    assert event.time_sent == "2026-11-21T17:53:55.516999Z"
    assert (event.seq, event.flags) == (17, ())
    assert (event.original, event.data) == (data.pop("original"), data)
    # Headers carry no types: an integer extension arrives as text in binary mode.
    priority = {"priority": "7" if binary else 7}
    assert event.extensions == {**_EXTENSIONS, **priority, **typed}


def test_both_modes_of_the_sdk_send_the_same_event() -> None:
    assert _sent(True, {}).comparison() == _sent(False, {}).comparison()
