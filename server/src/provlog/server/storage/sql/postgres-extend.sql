-- All that a commit adds to a log, and its new head, in one statement and one round
-- trip. Every part of it runs, whether or not anything reads its result.
WITH entry AS (
    INSERT INTO entries (log, idx, leaf)
    SELECT $1::bigint, * FROM unnest($2::bigint[], $3::bytea[])
), key AS (
    INSERT INTO keys (log, id, idx)
    SELECT $1::bigint, * FROM unnest($4::bytea[], $5::bigint[])
), side AS (
    INSERT INTO private (log, idx, disclosures, compare_key, compare_digest)
    SELECT $1::bigint, *
    FROM unnest($6::bigint[], $7::text[], $8::bytea[], $9::bytea[])
), opening AS (
    INSERT INTO openings (log, idx, epoch, nonce, labels)
    SELECT $1::bigint, idx, $10::bigint, nonce, labels
    FROM unnest($11::bigint[], $12::bytea[], $13::bytea[]) AS o (idx, nonce, labels)
), tile AS (
    INSERT INTO tiles (log, level, idx, root, hashes)
    SELECT $1::bigint, *
    FROM unnest($14::bigint[], $15::bigint[], $16::bytea[], $17::bytea[])
)
UPDATE heads SET size = $18, root = $19, events = $20, epoch = $21, recorded = $22
WHERE log = $1::bigint
