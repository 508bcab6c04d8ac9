-- SQLite files of apps that are streamed to the target.

CREATE TABLE protected_files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    uid TEXT NOT NULL UNIQUE,                               -- names its objects in the target
    name TEXT NOT NULL,
    path TEXT NOT NULL,                                     -- in the app's containers
    owner TEXT NOT NULL,                                    -- "UID:GID" of the file
    epoch TEXT NOT NULL DEFAULT '',
    enabled INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    UNIQUE (app_id, name),
    UNIQUE (app_id, path)
) STRICT;
