-- Services that can be restored to any time: the present epoch of each, and the attempts at bases.

CREATE TABLE pitr (
    service_uid TEXT PRIMARY KEY,
    enabled INTEGER NOT NULL,
    epoch TEXT NOT NULL,
    reason TEXT NOT NULL,
    began_at TEXT NOT NULL,
    target TEXT NOT NULL,                                   -- url
    system TEXT NOT NULL,
    volume TEXT NOT NULL,
    segment_size INTEGER NOT NULL,
    window TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    drilled_at TEXT,
    drill_to TEXT,
    drill_passed INTEGER,
    drill_seconds REAL NOT NULL DEFAULT 0,
    drill_reason TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE TABLE pitr_bases (
    id TEXT PRIMARY KEY,
    service_uid TEXT NOT NULL,
    epoch TEXT NOT NULL,
    target TEXT NOT NULL,                                   -- url
    state TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    size INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    manifest TEXT NOT NULL DEFAULT ''                       -- JSON as stored
) STRICT, WITHOUT ROWID;
CREATE INDEX pitr_bases_service ON pitr_bases (service_uid, id);
