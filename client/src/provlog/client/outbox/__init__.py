"""The outbox: events on disk before they are in the log, and sent until they are.

::

    from provlog.client import Outbox, Trust

    trust = Trust.from_log_key(LOG_KEY)
    with Outbox("/var/lib/hr/outbox", "https://log.example", trust, token=T) as outbox:
        outbox.put({"source": "urn:hr:acme", "type": "account.create", …})

`put` returns once the event is on disk, with its id; whether the log can be reached
does not matter. A sender delivers in the order in which events were put, for days if it
must, and an event leaves the file in the transaction that stores its verified receipt:

- A process that dies before `put` returned has put all of the events or none.
- One that dies while it sends leaves them where they were. They are sent again under
  the same ids, and those that got in are answered with the entries they have: each is
  in the log exactly once.
- An event that the log refuses for good stays in the file, with the reason, and holds
  up nobody: `failed`, `retry` and `drop` are for a person to decide.
- A log whose answer does not verify is not believed: sending stops, and everything
  stays in the file, with the answer beside it as evidence.

One file serves any number of processes that put, and one at a time that sends.
"""
