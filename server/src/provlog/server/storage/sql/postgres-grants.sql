-- What the role that serves may do: read, append, and move heads, revocations and
-- cursors on. :role is the role's quoted name.
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
