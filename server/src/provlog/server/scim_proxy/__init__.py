"""A reverse proxy in front of a SCIM server that records what passes and changes.

`forwarding` is the way of a request, `recording` and `spooling` are where its records
go: into the log at once, or to a spool beside the proxy.
"""
