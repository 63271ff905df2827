"""Transparency-log formats and proofs, pure: no I/O, no clock, no randomness.

Every module stands for one format or one piece of arithmetic and can be read alone:

``errors``         what is raised, and whom it blames
``encoding``       canonical base64, decimals, JSON and times
``hashing``        RFC 6962 leaf and node hashes
``nodes``          coordinates of perfect subtrees
``compact``        compact ranges: append, merge, root
``inclusion``      inclusion proofs: needed nodes, build, verify
``consistency``    consistency proofs: needed nodes, build, verify
``ranges``         proofs of a contiguous range of leaves: needed nodes, build, verify
``subtrees``       subtree inclusion and consistency, verification only
``tiles``          C2SP tlog-tiles: tile and entry-bundle paths and contents
``edge``           the right edge of a tiled tree, and how it grows
``keys``           verifier keys and Ed25519 signing keys
``notes``          C2SP signed notes
``checkpoints``    C2SP tlog-checkpoint
``cosignatures``   C2SP tlog-cosignature messages
``policy``         C2SP tlog-policy
``trust``          a log key or a policy: what decides whether a checkpoint is believed
``proof_file``     C2SP tlog-proof
``disclosures``    RFC 9901 disclosure strings and their digests
``labels``         blinded labels, tags, entry ids and key commitments
``entries``        the leaves of a provlog log, all kinds
``entry_shapes``   the members of each kind of entry
``receipts``       receipts: parse is verify
``announcement_document``  a log's announcements, as they are written
``announcements``  which key replaced which, and where a log ends: parse is verify

Parsing is strict everywhere: a function returns a value for canonical input and
raises `errors.MalformedError` for anything else. Verifying functions return verified
data or raise `errors.VerificationError`.
"""
