-- Where the lines of apps go besides `logs`, and how far they are there; how full the disks were.

CREATE TABLE drains (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER REFERENCES apps (id) ON DELETE CASCADE,  -- NULL: all apps
    target BLOB NOT NULL,                                   -- sealed JSON: url, headers
    format TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL
) STRICT;
CREATE INDEX drains_app ON drains (app_id);

-- The time of the last line of a container that the drain has taken.
CREATE TABLE drain_positions (
    drain_id INTEGER NOT NULL REFERENCES drains (id) ON DELETE CASCADE,
    container_id TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (drain_id, container_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE disk_samples (
    place TEXT NOT NULL,                                    -- "state", "docker"
    at TEXT NOT NULL,
    free INTEGER NOT NULL,                                  -- bytes
    total INTEGER NOT NULL,
    PRIMARY KEY (place, at)
) STRICT, WITHOUT ROWID;
