-- Data services, their links to apps, where and when they are backed up, and what became of each backup.

CREATE TABLE services (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,
    datastore TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    image TEXT NOT NULL,
    state TEXT NOT NULL,
    subnet TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    volume TEXT NOT NULL,
    container_id TEXT NOT NULL DEFAULT '',
    settings TEXT NOT NULL DEFAULT '{}',                    -- JSON
    secrets BLOB NOT NULL,                                  -- sealed JSON
    UNIQUE (datastore, name)
) STRICT;

CREATE TABLE links (
    service_id INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    alias TEXT NOT NULL,
    PRIMARY KEY (service_id, app_id),
    UNIQUE (app_id, alias)
) STRICT, WITHOUT ROWID;

-- service_uid '': the server's own, for every service without one.
CREATE TABLE backup_targets (
    service_uid TEXT PRIMARY KEY,
    target BLOB NOT NULL                                    -- sealed JSON: it holds keys
) STRICT, WITHOUT ROWID;

CREATE TABLE backup_schedules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    service_uid TEXT NOT NULL,
    schedule TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    UNIQUE (service_uid, schedule)
) STRICT;

-- They outlive their service: so does what they stand for.
CREATE TABLE backups (
    id TEXT PRIMARY KEY,
    service_uid TEXT NOT NULL,
    datastore TEXT NOT NULL,
    service TEXT NOT NULL,
    state TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    target TEXT NOT NULL,                                   -- url
    started_at TEXT NOT NULL,
    finished_at TEXT,
    size INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    held INTEGER NOT NULL DEFAULT 0,
    manifest TEXT NOT NULL DEFAULT ''                       -- JSON as stored
) STRICT, WITHOUT ROWID;
CREATE INDEX backups_service ON backups (service_uid, id);
CREATE INDEX backups_state ON backups (state);

CREATE TABLE drills (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    backup_id TEXT NOT NULL,
    service_uid TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    passed INTEGER,
    restore_seconds REAL NOT NULL DEFAULT 0,
    data_age REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX drills_service ON drills (service_uid, id);
