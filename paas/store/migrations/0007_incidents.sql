-- What is wrong and lasts, who is told, and what became of each message; uptime of apps in five-minute pieces.

CREATE TABLE incidents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    object TEXT NOT NULL,
    what TEXT NOT NULL,
    hint TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    closed_at TEXT,
    ending TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX incidents_open ON incidents (kind, object) WHERE closed_at IS NULL;

CREATE TABLE channels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    address BLOB NOT NULL,                                  -- sealed JSON
    kinds TEXT NOT NULL DEFAULT '[]',                       -- JSON
    apps TEXT NOT NULL DEFAULT '[]',                        -- JSON
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    phase TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_at TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    ended_at TEXT,
    summed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (incident_id, channel_id, phase)
) STRICT;
CREATE INDEX deliveries_channel ON deliveries (channel_id, state, id);

-- slot: seconds since 1970, divided by 300. latency: milliseconds, of the answers that counted as good. histogram:
-- (bucket, count) pairs of one and two bytes.
CREATE TABLE uptime (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    checks INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    latency INTEGER NOT NULL,
    histogram BLOB NOT NULL,
    PRIMARY KEY (app_id, slot)
) STRICT, WITHOUT ROWID;
