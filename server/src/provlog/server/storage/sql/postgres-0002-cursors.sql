-- Schema version 2: how far each polled source has been read.
--
-- A cursor is no part of the log: it only says where to go on asking a provider, and an
-- older one means that records are fetched and recognised a second time. It therefore
-- changes in place, unlike all that entries are made of. Deleted it never is: without
-- it a poller would begin anew, and the provider keeps records for a limited time.
--
-- `position` is the poller's own, `updated` in Unix milliseconds. `digest` is SHA-256
-- over log, source, position and updated: it shows damage, not intent.
SET LOCAL search_path TO provlog, pg_catalog, pg_temp;

CREATE TABLE cursors (
    log      bigint NOT NULL,
    source   text   NOT NULL,
    position text   NOT NULL CHECK (length(position) BETWEEN 1 AND 1024),
    updated  bigint NOT NULL,
    digest   bytea  NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (log, source),
    FOREIGN KEY (log, source) REFERENCES sources (log, uri)
);

CREATE FUNCTION keep_source() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.log <> OLD.log OR NEW.source <> OLD.source THEN
        RAISE EXCEPTION 'provlog: a cursor keeps its source'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER cursors_keep BEFORE UPDATE ON cursors
FOR EACH ROW EXECUTE FUNCTION keep_source();
CREATE TRIGGER cursors_stay BEFORE DELETE OR TRUNCATE ON cursors
EXECUTE FUNCTION refuse();
