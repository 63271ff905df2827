-- Spreads the five large tables of provlog over 16 partitions each, by log. For an
-- instance of many logs; see docs/scaling.md. Run by the owner of the tables while no
-- server runs, for it takes every lock:
--
--   psql -v ON_ERROR_STOP=1 -f deploy/postgres/partition-by-log.sql postgresql://…
--   provlog-server migrate --dir DIR --database postgresql://… --grant-to ROLE
--
-- One transaction: whole, or not at all. It copies every row, so it needs the tables'
-- size once more on the disk.
BEGIN;
SET LOCAL search_path TO provlog, pg_catalog, pg_temp;

DO $$
DECLARE
    name text;
    part integer;
BEGIN
    FOREACH name IN ARRAY '{entries,tiles,keys,private,openings}'::text[] LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_whole');
        EXECUTE format(
            'ALTER TABLE %I RENAME CONSTRAINT %I TO %I',
            name || '_whole', name || '_pkey', name || '_whole_pkey');
        EXECUTE format(
            'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS
             INCLUDING STORAGE, CONSTRAINT %I %s) PARTITION BY HASH (log)',
            name, name || '_whole', name || '_pkey',
            (SELECT pg_get_constraintdef(oid) FROM pg_constraint
             WHERE conname = name || '_whole_pkey'));
        FOR part IN 0..15 LOOP
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I
                 FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                format('%s_%s', name, part), name, part);
        END LOOP;
        EXECUTE format('INSERT INTO %I SELECT * FROM %I', name, name || '_whole');
        EXECUTE format('DROP TABLE %I', name || '_whole');
        -- The second wall: of a partition as well as of the whole.
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE UPDATE%s OR TRUNCATE ON %I
             EXECUTE FUNCTION refuse()',
            name || '_stay',
            CASE WHEN name IN ('private', 'openings') THEN '' ELSE ' OR DELETE' END,
            name);
        FOR part IN 0..15 LOOP
            EXECUTE format(
                'CREATE TRIGGER %I BEFORE UPDATE%s OR TRUNCATE ON %I
                 EXECUTE FUNCTION refuse()',
                name || '_stay',
                CASE WHEN name IN ('private', 'openings') THEN '' ELSE ' OR DELETE' END,
                format('%s_%s', name, part));
        END LOOP;
    END LOOP;
END $$;

COMMIT;
