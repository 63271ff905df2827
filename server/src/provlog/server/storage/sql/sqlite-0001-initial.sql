-- Schema version 1. Every key starts with the log.
--
-- Rows of fixed, small size stand in their primary key's own tree (WITHOUT ROWID); the
-- large ones, entries and private, do not: there SQLite would move most of each row to
-- an overflow page of its own.

CREATE TABLE logs (
    log     INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL UNIQUE,
    origin  TEXT    NOT NULL UNIQUE,
    log_key TEXT    NOT NULL,
    public  INTEGER NOT NULL CHECK (public IN (0, 1)),
    created TEXT    NOT NULL
) STRICT;

CREATE TRIGGER logs_are_final BEFORE INSERT ON logs
WHEN EXISTS (SELECT 1 FROM logs
             WHERE log = NEW.log OR name = NEW.name OR origin = NEW.origin)
BEGIN SELECT RAISE(ABORT, 'logs are insert-only'); END;
CREATE TRIGGER logs_stay BEFORE DELETE ON logs
BEGIN SELECT RAISE(ABORT, 'logs are insert-only'); END;
CREATE TRIGGER logs_keep BEFORE UPDATE ON logs
BEGIN SELECT RAISE(ABORT, 'logs are insert-only'); END;

-- The one thing that changes: the newest head of each log. `events` counts the entries
-- of kind event, `recorded` is the newest entry's in Unix milliseconds, and `barrier`
-- counts the commits that were made only to be sure that all before them are durable.
CREATE TABLE heads (
    log      INTEGER PRIMARY KEY REFERENCES logs (log),
    size     INTEGER NOT NULL CHECK (size >= 0),
    root     BLOB    NOT NULL CHECK (length(root) = 32),
    events   INTEGER NOT NULL CHECK (events BETWEEN 0 AND size),
    epoch    INTEGER NOT NULL CHECK (epoch >= 1),
    recorded INTEGER NOT NULL,
    barrier  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TRIGGER heads_only_grow BEFORE UPDATE ON heads
WHEN NEW.log <> OLD.log OR NEW.size < OLD.size OR NEW.events < OLD.events
    OR NEW.recorded < OLD.recorded OR NEW.epoch < OLD.epoch
    OR NEW.barrier < OLD.barrier OR (NEW.size = OLD.size AND NEW.root <> OLD.root)
BEGIN SELECT RAISE(ABORT, 'a head only grows'); END;
CREATE TRIGGER heads_are_final BEFORE INSERT ON heads
WHEN EXISTS (SELECT 1 FROM heads WHERE log = NEW.log)
BEGIN SELECT RAISE(ABORT, 'a head only grows'); END;
CREATE TRIGGER heads_stay BEFORE DELETE ON heads
BEGIN SELECT RAISE(ABORT, 'a head is never deleted'); END;

-- Leaves, byte for byte.
CREATE TABLE entries (
    log  INTEGER NOT NULL,
    idx  INTEGER NOT NULL CHECK (idx >= 0),
    leaf BLOB    NOT NULL CHECK (length(leaf) BETWEEN 2 AND 65535),
    PRIMARY KEY (log, idx)
) STRICT;

CREATE TRIGGER entries_are_final BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE log = NEW.log AND idx = NEW.idx)
BEGIN SELECT RAISE(ABORT, 'entries are insert-only'); END;
CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are insert-only'); END;
CREATE TRIGGER entries_keep BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are insert-only'); END;

-- Full tiles only: 256 hashes and the root of the subtree they span.
CREATE TABLE tiles (
    log    INTEGER NOT NULL,
    level  INTEGER NOT NULL CHECK (level BETWEEN 0 AND 7),
    idx    INTEGER NOT NULL CHECK (idx >= 0),
    root   BLOB    NOT NULL CHECK (length(root) = 32),
    hashes BLOB    NOT NULL CHECK (length(hashes) = 8192),
    PRIMARY KEY (log, level, idx)
) STRICT;

CREATE TRIGGER tiles_are_final BEFORE INSERT ON tiles
WHEN EXISTS (SELECT 1 FROM tiles
             WHERE log = NEW.log AND level = NEW.level AND idx = NEW.idx)
BEGIN SELECT RAISE(ABORT, 'tiles are insert-only'); END;
CREATE TRIGGER tiles_stay BEFORE DELETE ON tiles
BEGIN SELECT RAISE(ABORT, 'tiles are insert-only'); END;
CREATE TRIGGER tiles_keep BEFORE UPDATE ON tiles
BEGIN SELECT RAISE(ABORT, 'tiles are insert-only'); END;

-- Blinded event id -> index: (source, id) is unique in a log.
CREATE TABLE keys (
    log INTEGER NOT NULL,
    id  BLOB    NOT NULL CHECK (length(id) = 32),
    idx INTEGER NOT NULL,
    PRIMARY KEY (log, id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER keys_are_final BEFORE INSERT ON keys
WHEN EXISTS (SELECT 1 FROM keys WHERE log = NEW.log AND id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'keys are insert-only'); END;
CREATE TRIGGER keys_stay BEFORE DELETE ON keys
BEGIN SELECT RAISE(ABORT, 'keys are insert-only'); END;
CREATE TRIGGER keys_keep BEFORE UPDATE ON keys
BEGIN SELECT RAISE(ABORT, 'keys are insert-only'); END;

-- The erasable side of an entry: disclosure strings joined by '~', and the salted
-- digest by which a repeated event is recognised.
CREATE TABLE private (
    log            INTEGER NOT NULL,
    idx            INTEGER NOT NULL,
    disclosures    TEXT    NOT NULL,
    compare_key    BLOB,
    compare_digest BLOB,
    PRIMARY KEY (log, idx)
) STRICT;

CREATE TRIGGER private_keep BEFORE UPDATE ON private
BEGIN SELECT RAISE(ABORT, 'private rows are erased, never changed'); END;

-- Nonce and labels behind an entry's tags; they live as long as their epoch's key.
-- `labels` is a run of 33-byte items: kind, then label.
CREATE TABLE openings (
    log    INTEGER NOT NULL,
    idx    INTEGER NOT NULL,
    epoch  INTEGER NOT NULL,
    nonce  BLOB    NOT NULL CHECK (length(nonce) = 16),
    labels BLOB    NOT NULL CHECK (length(labels) % 33 = 0),
    PRIMARY KEY (log, idx)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER openings_keep BEFORE UPDATE ON openings
BEGIN SELECT RAISE(ABORT, 'openings are destroyed, never changed'); END;

-- A registered origin of events. `idx` is the admin entry that registered it.
CREATE TABLE sources (
    log       INTEGER NOT NULL,
    uri       TEXT    NOT NULL,
    ns        TEXT    NOT NULL,
    connector TEXT,
    idx       INTEGER NOT NULL,
    PRIMARY KEY (log, uri)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER sources_are_final BEFORE INSERT ON sources
WHEN EXISTS (SELECT 1 FROM sources WHERE log = NEW.log AND uri = NEW.uri)
BEGIN SELECT RAISE(ABORT, 'sources are insert-only'); END;
CREATE TRIGGER sources_stay BEFORE DELETE ON sources
BEGIN SELECT RAISE(ABORT, 'sources are insert-only'); END;
CREATE TRIGGER sources_keep BEFORE UPDATE ON sources
BEGIN SELECT RAISE(ABORT, 'sources are insert-only'); END;

-- Bearer tokens. Only a digest of the secret is kept. `logs`, `roles` and `sources` are
-- JSON arrays; `logs` holds log numbers, or is '*'. Times are Unix milliseconds.
CREATE TABLE tokens (
    id      TEXT    PRIMARY KEY,
    digest  BLOB    NOT NULL CHECK (length(digest) = 32),
    logs    TEXT    NOT NULL,
    roles   TEXT    NOT NULL,
    sources TEXT    NOT NULL,
    note    TEXT    NOT NULL,
    rate    REAL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT, WITHOUT ROWID;

CREATE TRIGGER tokens_are_final BEFORE INSERT ON tokens
WHEN EXISTS (SELECT 1 FROM tokens WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'tokens are only revoked'); END;
CREATE TRIGGER tokens_stay BEFORE DELETE ON tokens
BEGIN SELECT RAISE(ABORT, 'tokens are only revoked'); END;
CREATE TRIGGER tokens_keep BEFORE UPDATE ON tokens
WHEN OLD.revoked IS NOT NULL OR NEW.revoked IS NULL
    OR (NEW.id, NEW.digest, NEW.logs, NEW.roles, NEW.sources, NEW.note, NEW.created)
    IS NOT (OLD.id, OLD.digest, OLD.logs, OLD.roles, OLD.sources, OLD.note, OLD.created)
    OR NEW.rate IS NOT OLD.rate OR NEW.expires IS NOT OLD.expires
BEGIN SELECT RAISE(ABORT, 'tokens are only revoked'); END;
