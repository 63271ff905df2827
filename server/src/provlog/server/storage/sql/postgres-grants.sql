-- What the role that serves may do: read, append, and move heads, revocations and
-- cursors on. The quoted name of the role is put into its places, none of which may
-- stand in a comment: a name can have a second line.
GRANT USAGE ON SCHEMA provlog TO :role;
GRANT SELECT ON ALL TABLES IN SCHEMA provlog TO :role;
GRANT INSERT ON
    provlog.logs, provlog.heads, provlog.entries, provlog.tiles, provlog.keys,
    provlog.private, provlog.openings, provlog.sources, provlog.tokens,
    provlog.cursors
TO :role;
GRANT UPDATE (size, root, events, epoch, recorded, barrier) ON provlog.heads TO :role;
GRANT UPDATE (revoked) ON provlog.tokens TO :role;
GRANT UPDATE (position, updated, digest) ON provlog.cursors TO :role;
