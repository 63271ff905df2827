-- Schema version 2: how far each polled source has been read.
--
-- A cursor is no part of the log: it only says where to go on asking a provider, and an
-- older one means that records are fetched and recognised a second time. It therefore
-- changes in place, unlike all that entries are made of. Deleted it never is: without
-- it a poller would begin anew, and the provider keeps records for a limited time.
--
-- `position` is the poller's own, `updated` in Unix milliseconds. `digest` is SHA-256
-- over log, source, position and updated: it shows damage, not intent.
CREATE TABLE cursors (
    log      INTEGER NOT NULL,
    source   TEXT    NOT NULL,
    position TEXT    NOT NULL CHECK (length(position) BETWEEN 1 AND 1024),
    updated  INTEGER NOT NULL,
    digest   BLOB    NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (log, source)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER cursors_have_sources BEFORE INSERT ON cursors
WHEN NOT EXISTS (SELECT 1 FROM sources WHERE log = NEW.log AND uri = NEW.source)
BEGIN SELECT RAISE(ABORT, 'a cursor belongs to a registered source'); END;
CREATE TRIGGER cursors_stay BEFORE DELETE ON cursors
BEGIN SELECT RAISE(ABORT, 'a cursor is never deleted'); END;
CREATE TRIGGER cursors_keep BEFORE UPDATE ON cursors
WHEN NEW.log <> OLD.log OR NEW.source <> OLD.source
BEGIN SELECT RAISE(ABORT, 'a cursor keeps its source'); END;
