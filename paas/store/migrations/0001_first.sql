-- Times are UTC, ISO 8601 with six decimals and a Z, so that text order is time order.
-- Columns named in a comment as sealed hold AES-256-GCM output, never plain text.

CREATE TABLE apps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    subnet TEXT NOT NULL UNIQUE,
    locked TEXT NOT NULL DEFAULT '',
    maintenance INTEGER NOT NULL DEFAULT 0,
    stopped INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE app_settings (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (app_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE config (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value BLOB NOT NULL,                                    -- sealed
    PRIMARY KEY (app_id, key)
) STRICT;

CREATE TABLE scale (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (app_id, process_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE limits (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,                             -- empty: all
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (app_id, process_type, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE mounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    read_only INTEGER NOT NULL DEFAULT 0,
    UNIQUE (app_id, target)
) STRICT;

CREATE TABLE builds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    "commit" TEXT NOT NULL,
    tree TEXT NOT NULL,
    subject TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    finished_at TEXT,
    image TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    UNIQUE (app_id, number)
) STRICT;
CREATE INDEX builds_tree ON builds (app_id, tree);
CREATE INDEX builds_app ON builds (app_id, id);
CREATE INDEX builds_state ON builds (state);

CREATE TABLE releases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    image TEXT NOT NULL,
    build_id INTEGER REFERENCES builds (id),
    "commit" TEXT NOT NULL,
    tree TEXT NOT NULL,
    subject TEXT NOT NULL,
    config BLOB NOT NULL,                                   -- sealed JSON
    formation TEXT NOT NULL,                                -- JSON
    exposed TEXT NOT NULL,                                  -- JSON
    healthcheck INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    failure TEXT NOT NULL DEFAULT '',
    live_at TEXT,
    timings TEXT NOT NULL DEFAULT '{}',                     -- JSON
    UNIQUE (app_id, version)
) STRICT;
CREATE UNIQUE INDEX releases_one_live ON releases (app_id) WHERE state = 'live';
CREATE INDEX releases_app_state ON releases (app_id, state);
CREATE INDEX releases_state ON releases (state);
CREATE INDEX releases_build ON releases (build_id);

CREATE TRIGGER releases_fixed
BEFORE UPDATE OF id, app_id, version, image, build_id, "commit", tree, subject, config, formation, exposed,
    healthcheck, created_at, created_by, reason ON releases
BEGIN
    SELECT RAISE(ABORT, 'a release is never altered');
END;

-- A cascade deletes the app's row first, so its releases may follow.
CREATE TRIGGER releases_kept
BEFORE DELETE ON releases
WHEN EXISTS (SELECT 1 FROM apps WHERE id = OLD.app_id)
BEGIN
    SELECT RAISE(ABORT, 'a release goes only with its app');
END;

CREATE TABLE instances (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release_id INTEGER NOT NULL REFERENCES releases (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    address TEXT NOT NULL,
    state TEXT NOT NULL,
    container_id TEXT NOT NULL DEFAULT '',
    port INTEGER NOT NULL DEFAULT 0,
    UNIQUE (app_id, address)
) STRICT;
CREATE INDEX instances_release ON instances (release_id);

CREATE TABLE domains (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    name TEXT NOT NULL UNIQUE,
    generated INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX domains_app ON domains (app_id);

CREATE TABLE certificates (
    app_id INTEGER PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
    chain TEXT NOT NULL,
    names TEXT NOT NULL,                                    -- JSON
    issuer TEXT NOT NULL,
    not_after TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    key BLOB NOT NULL                                       -- sealed
) STRICT;

CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    blob TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release_id INTEGER NOT NULL REFERENCES releases (id) ON DELETE CASCADE,
    command TEXT NOT NULL,                                  -- JSON
    container_id TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    address TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX runs_app ON runs (app_id);
CREATE INDEX runs_release ON runs (release_id);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    app TEXT NOT NULL,
    result TEXT NOT NULL,
    detail TEXT NOT NULL                                    -- JSON
) STRICT;
CREATE INDEX events_app ON events (app, id);
CREATE INDEX events_at ON events (at);

-- Holds one row, and only inside the transaction that trims.
CREATE TABLE event_trim (
    before TEXT NOT NULL
) STRICT;

CREATE TRIGGER events_unaltered
BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'an event is never altered');
END;

CREATE TRIGGER events_kept
BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM event_trim WHERE OLD.at < before)
BEGIN
    SELECT RAISE(ABORT, 'an event goes only by its age');
END;
