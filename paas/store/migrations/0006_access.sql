-- Keys belong to users, users have roles; the audit trail is a chain, and says what was begun as well as what was done.

ALTER TABLE keys ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN sources TEXT NOT NULL DEFAULT '[]';         -- JSON
ALTER TABLE keys ADD COLUMN expires_at TEXT;
UPDATE keys SET user = name;

CREATE TABLE grants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    role TEXT NOT NULL,
    app_id INTEGER REFERENCES apps (id) ON DELETE CASCADE,
    service_id INTEGER REFERENCES services (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    CHECK (app_id IS NULL OR service_id IS NULL)
) STRICT;
CREATE UNIQUE INDEX grants_once ON grants (user, role, coalesce(app_id, 0), coalesce(service_id, 0));
CREATE INDEX grants_app ON grants (app_id);
CREATE INDEX grants_service ON grants (service_id);

-- Until now every key was an admin's.
INSERT INTO grants (user, role, created_at, created_by) SELECT user, 'admin', created_at, 'paas' FROM keys;

-- Of a line: SHA-256 of the line before's and its own content, hex. Lines from before this have none.
ALTER TABLE events ADD COLUMN hash TEXT NOT NULL DEFAULT '';

-- A command that was begun and is not over; its line of the audit trail takes its place.
CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    app TEXT NOT NULL,
    detail TEXT NOT NULL                                    -- JSON
) STRICT;
