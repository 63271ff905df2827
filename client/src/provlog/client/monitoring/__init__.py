"""`provlog monitor` for many logs: one process follows, re-reads, copies and tells.

`config` says what to do; a `Follower` does it for one log, and its failures are its
own; `Daemon` runs all of them, with the alerts and the listener they share.
"""
